"""Rooms, channels, noises and gains in the order in which sound meets them, each in its share of the utterances.

Each stage keeps the number of samples, and returns 0 past an utterance's length.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxtriplet.models import padding
from jaxtriplet.speech.augmentation import signals
from jaxtriplet.speech.augmentation.channels import filter_channel, reverberate
from jaxtriplet.speech.augmentation.noise import add_noise, change_gain
from jaxtriplet.speech.augmentation.strengths import WaveformAugmentation

_USUAL = WaveformAugmentation()


def augment_waveforms(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    strengths: WaveformAugmentation = _USUAL,
    *,
    sample_rate: int = 16000,
) -> jax.Array:
    """Returns a random variant of each utterance: room, channel, noise and gain, each in its share of the utterances.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T]; what lies past an utterance's length does not matter.
        lengths: Number of samples of each utterance, [B].
        strengths: How often and how much; a stage that is switched off is not even compiled.
        sample_rate: Samples per second.

    Returns:
        Samples, [B, T], 0 past an utterance's length.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech import augment_waveforms
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(augment_waveforms)(keys, jnp.ones((2, 1600)), jnp.array([1600, 800])).shape
        (2, 1600)
    """
    return list(stages(keys, waveforms, lengths, strengths, sample_rate=sample_rate).values())[-1]


def stages(
    keys: jax.Array,
    waveforms: jax.Array,
    lengths: jax.Array,
    strengths: WaveformAugmentation = _USUAL,
    *,
    sample_rate: int = 16000,
) -> dict[str, jax.Array]:
    """Returns the utterances after each stage of `augment_waveforms`, to look at.

    Args:
        keys: One PRNG key per utterance, [B].
        waveforms: Samples, [B, T].
        lengths: Number of samples of each utterance, [B].
        strengths: How often and how much.
        sample_rate: Samples per second.

    Returns:
        Samples [B, T] under "original" and, in order, the stages that are switched on: "room", "channel", "noise",
        "gain"; those under the last are what `augment_waveforms` returns. (`jax.jit` sorts the names.)

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech import WaveformAugmentation, stages
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> list(stages(keys, jnp.ones((2, 1600)), jnp.array([1600, 800]), WaveformAugmentation(room=0.0, noise=0.0)))
        ['original', 'channel', 'gain']
    """
    waveforms, lengths = signals.checked(keys, waveforms, lengths)
    after = {"original": waveforms}
    for place, (name, share, change) in enumerate(_plan(strengths, sample_rate)):
        if share > 0:
            own_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, place)
            change_keys, chance_keys = padding.split_keys(own_keys, 2)
            before = list(after.values())[-1]
            chosen = signals.uniform(chance_keys, (0.0, 1.0), before.dtype) < share
            after[name] = jnp.where(chosen, change(change_keys, before, lengths), before)
    return after


Stage = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def _plan(strengths: WaveformAugmentation, sample_rate: int) -> list[tuple[str, float, Stage]]:
    """Returns name, share and function of each stage, in the order in which sound passes them."""
    s = strengths
    room = partial(
        reverberate,
        reverberation_time=s.reverberation_time,
        direct_to_reverberant=s.direct_to_reverberant,
        sample_rate=sample_rate,
    )
    channel = partial(
        filter_channel, equalizer=s.equalizer, low_cut=s.low_cut, high_cut=s.high_cut, sample_rate=sample_rate
    )
    noise = partial(add_noise, snr=s.snr, slope=s.slope, sample_rate=sample_rate)
    gain = partial(change_gain, decibels=s.decibels)
    return [("room", s.room, room), ("channel", s.channel, channel), ("noise", s.noise, noise), ("gain", s.gain, gain)]

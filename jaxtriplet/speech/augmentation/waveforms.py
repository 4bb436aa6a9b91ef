"""Rooms, channels, noises and gains in the order in which sound meets them, each in its share of the utterances.

Each stage keeps the number of samples, and returns 0 past an utterance's length.
"""

import dataclasses
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxtriplet.models import padding
from jaxtriplet.speech.augmentation import changes, signals
from jaxtriplet.speech.augmentation.changes import WaveformAugmentation

_USUAL = WaveformAugmentation()
# In the order in which sound passes them. What a stage takes beside the batch are fields of `WaveformAugmentation`.
_STAGES: dict[str, Callable[..., jax.Array]] = {
    "room": changes.reverberate,
    "channel": changes.filter_channel,
    "noise": changes.add_noise,
    "gain": changes.change_gain,
}


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
    settings = dataclasses.asdict(strengths) | {"sample_rate": sample_rate}
    after, last = {"original": waveforms}, waveforms
    for place, (stage, change) in enumerate(_STAGES.items()):
        if settings[stage] > 0:
            own_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, place)
            change_keys, chance_keys = padding.split_keys(own_keys, 2)
            options = {
                option: settings[option] for option in inspect.signature(change).parameters if option in settings
            }
            chosen = signals.uniform(chance_keys, (0.0, 1.0), last.dtype) < settings[stage]
            after[stage] = last = jnp.where(chosen, change(change_keys, last, lengths, **options), last)
    return after

"""Random masks for log-mel features."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxtriplet.models import padding


@dataclasses.dataclass(frozen=True)
class FeatureAugmentation:
    """Number and size of the masks on log-mel features; 0 masks switch a part off.

    Attributes:
        time_masks: Masks over time in each utterance.
        time_width: Most frames that one of them covers.
        time_share: Largest fraction of an utterance that one of them covers.
        band_masks: Masks over mel bands in each utterance.
        band_width: Most bands that one of them covers.
    """

    time_masks: int = 2  # as in SpecAugment's strongest policies
    time_width: int = 20  # 0.2 s, about one syllable
    time_share: float = 0.1  # short prompts keep four fifths of their frames
    band_masks: int = 2  # as in SpecAugment's strongest policies
    band_width: int = 10  # an eighth of 80 bands each; wider ones hide the formants that tell speakers apart


def mask_features(
    keys: jax.Array,
    features: jax.Array,
    counts: jax.Array,
    strengths: FeatureAugmentation = FeatureAugmentation(),
) -> jax.Array:
    """Sets random runs of frames and of bands to 0, the middle of normalised features.

    The width of a mask is uniform from 0 to the most that is allowed, its place uniform over an utterance's own frames.

    Args:
        keys: One PRNG key per utterance, [B].
        features: Normalised log-mel features, [B, N, F]; what lies past an utterance's end does not matter.
        counts: Number of frames of each utterance, [B].
        strengths: How many masks, and how wide.

    Returns:
        Features, [B, N, F], 0 past an utterance's last frame.

    Raises:
        ValueError: Shapes do not match.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech import mask_features
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> jax.jit(mask_features)(keys, jnp.ones((2, 97, 80)), jnp.array([97, 47])).shape
        (2, 97, 80)

    Reference:
        Park, Chan, Zhang, Chiu, Zoph, Cubuk and Le, "SpecAugment", 2019.
    """
    features, counts = padding.checked("features", features, "[B, T, F]", counts, keys)
    s = strengths
    time_keys, band_keys = padding.split_keys(keys, 2)
    share = jnp.floor(s.time_share * counts.astype(features.dtype)).astype(counts.dtype)
    most = jnp.minimum(s.time_width, share)
    bands = jnp.full_like(counts, features.shape[2])
    frames = _masks(time_keys, counts, most, s.time_masks, features.shape[1])[:, :, None]
    width = jnp.minimum(s.band_width, bands)
    hidden = frames | _masks(band_keys, bands, width, s.band_masks, features.shape[2])[:, None, :]
    return padding.keep(jnp.where(hidden, 0, features), counts)


def _masks(keys: jax.Array, extents: jax.Array, most: jax.Array, number: int, size: int) -> jax.Array:
    """Returns where any of a number of runs within the first `extent` of `size` places lies, [B] -> [B, size]."""

    def one(key: jax.Array, extent: jax.Array, most: jax.Array) -> jax.Array:
        width_key, start_key = jax.random.split(key)
        width = jax.random.randint(width_key, (number, 1), 0, most + 1, extent.dtype)
        start = jax.random.randint(start_key, (number, 1), 0, extent - width + 1, extent.dtype)
        place = jnp.arange(size, dtype=extent.dtype)[None, :]
        return jnp.any((start <= place) & (place < start + width), axis=0)

    return jax.vmap(one)(keys, extents, most)

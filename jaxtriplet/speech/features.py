"""Acoustic features: standardisation by the training frames, and augmentation of one utterance."""

import dataclasses
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp

from jaxtriplet.models import padding


class Standardizer(NamedTuple):
    """Mean and standard deviation of each feature over valid frames.

    Attributes:
        mean: [F].
        std: [F].

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxtriplet.speech import Standardizer
        >>> frames, lengths = jnp.array([[[1.0], [3.0], [0.0]]]), jnp.array([2])
        >>> Standardizer.fit(frames, lengths)(frames, lengths).ravel().tolist()
        [-1.0, 1.0, 0.0]
    """

    mean: jax.Array
    std: jax.Array

    @classmethod
    def fit(cls, features: jax.Array, lengths: jax.Array) -> Self:
        """Measures mean and standard deviation over the valid frames of a data set.

        Args:
            features: Frames, [N, T, F].
            lengths: Number of valid frames of each utterance, [N]; at least one of them is positive.

        Returns:
            The fitted standardizer; a feature that never changes has standard deviation 1.
        """
        features = jnp.asarray(features)
        valid = padding.valid(jnp.asarray(lengths), features.shape[1])[:, :, None]
        mean = jnp.mean(features, axis=(0, 1), where=valid)
        std = jnp.std(features, axis=(0, 1), where=valid)
        return cls(mean, jnp.where(std > 0, std, 1))

    def __call__(self, features: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns `(features - mean) / std` where frames are valid, 0 where they are padding.

        Args:
            features: Frames, [..., T, F].
            lengths: Number of valid frames, [...].

        Returns:
            Standardised frames, [..., T, F].
        """
        mean, std = (jnp.expand_dims(x, range(features.ndim - 1)) for x in self)
        return padding.keep((features - mean) / std, jnp.asarray(lengths))


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentation, for standardised features; 0 switches a part off.

    The values were chosen on folds of the training utterances of JapaneseVowels alone.

    Attributes:
        noise: Standard deviation of the Gaussian noise on every value.
        offset: Standard deviation of a constant per utterance and feature.
        crop: Largest fraction of the frames that is cut away.
        warp: Largest fraction by which an utterance is made slower or faster.
    """

    noise: float = 0.2  # a cepstrum estimated from one short frame is uncertain
    offset: float = 0.3  # another microphone or room adds a constant to a cepstrum; batch-hard sticks with too much
    crop: float = 0.2  # nobody cuts speech out at exactly the same points
    warp: float = 0.2  # the same speaker talks faster and slower


def augment(
    key: jax.Array,
    features: jax.Array,
    length: jax.Array,
    *,
    noise: float = Augmentation.noise,
    offset: float = Augmentation.offset,
    crop: float = Augmentation.crop,
    warp: float = Augmentation.warp,
) -> tuple[jax.Array, jax.Array]:
    r"""Returns a random variant of one utterance; `jax.vmap` over all three arrays makes a batch of them.

    $$y_i = x(s + i \tfrac{m - 1}{n - 1}) + \mathcal N(0, noise^2) + c, \qquad c \sim \mathcal N(0, offset^2),$$

    where $x$ is interpolated linearly between frames; of its frames the $m$ from $s$ on are kept and become $n$.

    Args:
        key: PRNG key of this utterance.
        features: Standardised frames, [T, F], float32 or float64.
        length: Number of valid frames, an integer from 0 to T.
        noise: Standard deviation of the noise on every value.
        offset: Standard deviation of the constant that is added to each feature.
        crop: Largest fraction of the frames to cut away, in [0, 1).
        warp: Largest fraction by which to change the length of what is kept, in [0, 1].

    Returns:
        Frames [T, F], zero past the new length, and the new length: at most T, at least 2 unless it was less before.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet.speech import augment
        >>> frames, length = augment(jax.random.key(0), jnp.ones((29, 12)), jnp.array(20))
        >>> frames.shape, 2 <= int(length) <= 29
        ((29, 12), True)
    """
    resample_key, noise_key, offset_key = jax.random.split(key, 3)
    x = padding.keep(features, length)
    grid = jnp.arange(x.shape[0], dtype=x.dtype)
    positions, length = _resample(resample_key, length, grid, crop=crop, warp=warp)
    y = jax.vmap(jnp.interp, in_axes=(None, None, 1), out_axes=1)(positions, grid, x)
    y += noise * jax.random.normal(noise_key, x.shape, x.dtype)
    y += offset * jax.random.normal(offset_key, (1, x.shape[1]), x.dtype)
    return padding.keep(y, length), length


def _resample(
    key: jax.Array, length: jax.Array, grid: jax.Array, *, crop: float, warp: float
) -> tuple[jax.Array, jax.Array]:
    """Returns the positions [T] at which a random crop and warp reads its frames, and how many of them count."""
    cut_key, start_key, stretch_key = jax.random.split(key, 3)
    most = jnp.floor(crop * length.astype(grid.dtype)).astype(length.dtype)
    cut = jax.random.randint(cut_key, (), 0, most + 1, length.dtype)
    start = jax.random.randint(start_key, (), 0, cut + 1, length.dtype).astype(grid.dtype)
    kept = (length - cut).astype(grid.dtype)
    stretch = jax.random.uniform(stretch_key, (), grid.dtype, 1 - warp, 1 + warp)
    count = jnp.clip(jnp.round(kept * stretch).astype(length.dtype), jnp.minimum(length, 2), len(grid))
    step = (kept - 1) / jnp.maximum(count - 1, 1).astype(grid.dtype)
    return start + step * grid, count

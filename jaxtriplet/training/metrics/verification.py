"""The equal error rate of all pairs of a batch, by histograms of their scores."""

from functools import partial
from typing import NamedTuple, Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxtriplet import _checks, distances, numerics
from jaxtriplet.engine import ranks
from jaxtriplet.engine.ranks import Wide
from jaxtriplet.engine.rows import meet
from jaxtriplet.training.metrics.retrieval import same_kind
from jaxtriplet.types import AxisName

# An odd number: cosines of 0, which rows without a common feature have, are in the middle of a bin, not at an edge.
BINS = 2047


class EstimatedRate(NamedTuple):
    """A rate, and how far the exact one may be from it."""

    rate: jax.Array
    error: jax.Array


class EqualErrorRate(struct.PyTreeNode):
    """The equal error rate of all trials so far, of whose scores histograms are kept; see `equal_error_rate`."""

    counts: Wide
    """Of impostor trials and of target trials, [2, bins + 1]: the last bin is that of scores that are NaN."""
    low: float = struct.field(pytree_node=False, default=-1.0)
    """Where the first bin begins."""
    high: float = struct.field(pytree_node=False, default=1.0)
    """Where the last bin ends, but for that of NaN."""

    @classmethod
    def empty(cls, *, low: float = -1.0, high: float = 1.0, bins: int = BINS) -> Self:
        """Returns the metric of no trial; arguments are those of `from_scores`."""
        _checks.positive_integer("bins", bins)
        return cls(Wide.of(jnp.zeros((2, bins + 1), jnp.int32)), *_range(low, high))

    @classmethod
    def from_model_output(
        cls,
        labels: ArrayLike,
        embeddings: ArrayLike,
        *,
        bins: int = BINS,
        where: ArrayLike | None = None,
        axis_name: AxisName = None,
    ) -> Self:
        """Returns the metric of all pairs of a batch; arguments are those of `equal_error_rate`."""
        return cls(_of_pairs(labels, embeddings, bins=bins, where=where, axis_name=axis_name))

    @classmethod
    def from_scores(
        cls,
        scores: ArrayLike,
        same: ArrayLike,
        *,
        low: float = -1.0,
        high: float = 1.0,
        bins: int = BINS,
        where: ArrayLike | None = None,
        axis_name: AxisName = None,
    ) -> Self:
        """Returns the metric of given trials.

        Args:
            scores: Floats [T], higher is more alike.
            same: Truth, booleans [T].
            low: Where the first bin begins; a lower score is in it too.
            high: Where the last bin ends; a higher score is in it too.
            bins: How many bins there are.
            where: Booleans [T], False for padding; None: all trials count.
            axis_name: The mapped axes over which trials are spread, or None.

        Raises:
            ValueError: Shapes or types do not fit.
        """
        _checks.positive_integer("bins", bins)
        low, high = _range(low, high)
        scores, same = jnp.asarray(scores), jnp.asarray(same)
        is_real = jnp.issubdtype(scores.dtype, jnp.floating)
        if not is_real or scores.ndim != 1 or same.shape != scores.shape or same.dtype != bool:
            seen = f"{_checks.seen(scores)} and {_checks.seen(same)}"
            raise ValueError(f"scores must be floats of shape [T], and same booleans of that shape; got {seen}")
        mask = _checks.mask(where, scores[:, None])
        within = jnp.ones_like(same) if mask is None else mask
        counts = _of_scores(numerics.widen(scores), same, within, low=low, high=high, bins=bins)
        return cls(Wide.of(counts).everywhere(axis_name), low, high)

    def merge(self, other: Self) -> Self:
        """Returns the metric of the trials of both, whose bins must be the same."""
        same_kind(self, other)
        return self.replace(counts=self.counts.plus(other.counts))

    def reduce(self) -> Self:
        """Returns the metric of the trials of all, along the first axis of each array."""
        return self.replace(counts=self.counts.total())

    def compute(self) -> jax.Array:
        """Returns the rate, a float; NaN if there is no target trial or no impostor trial, or if a score is NaN."""
        return self.estimate().rate

    def estimate(self) -> EstimatedRate:
        """Returns the rate, and a bound of its error."""
        counts = self.counts.floats()
        impostors, targets = counts[:, :-1]
        is_sound = (jnp.sum(impostors) > 0) & (jnp.sum(targets) > 0) & (jnp.sum(counts[:, -1]) == 0)
        # At the thresholds between bins, the lowest first.
        rejected = jnp.pad(jnp.cumsum(targets), (1, 0)) / jnp.maximum(jnp.sum(targets), 1)
        accepted = jnp.pad(jax.lax.cumsum(impostors, reverse=True), (0, 1)) / jnp.maximum(jnp.sum(impostors), 1)
        # The last at which fewer are rejected than accepted: the rates are equal before the next.
        at = jnp.sum(rejected[1:-1] < accepted[1:-1], dtype=jnp.int32)
        (low_0, high_0), (high_1, low_1) = ((rejected[one], accepted[one]) for one in (at, at + 1))
        share = (high_0 - low_0) / jnp.maximum((high_0 - low_0) + (high_1 - low_1), jnp.finfo(counts.dtype).tiny)
        rate = low_0 + share * (high_1 - low_0)
        error = jnp.maximum(rate - jnp.maximum(low_0, low_1), jnp.minimum(high_0, high_1) - rate)
        return EstimatedRate(jnp.where(is_sound, rate, jnp.nan), jnp.where(is_sound, error, jnp.nan))


def equal_error_rate(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    bins: int = BINS,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> EstimatedRate:
    """Returns the equal error rate of all pairs of valid rows, scored by their cosines.

    Cosines are counted in bins, of targets (pairs of one label) and of impostors; the rates at the thresholds between
    bins are exact (to float32's rounding), and the exact equal error rate is between those at which they cross.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D]; half precision is computed in float32.
        bins: How many bins there are from -1 to 1; static.
        where: Booleans [B], False for padding; None: all rows count.
        axis_name: The mapped axes over which the batch is spread, or None.

    Returns:
        The rate and a bound of its error, scalars that are the same on every device; NaN if there is no pair of one
        label, or none of two.

    Raises:
        ValueError: Shapes or types do not fit.

    Example:
        >>> rows = jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.3]])
        >>> [round(float(value), 4) for value in equal_error_rate(jnp.array([0, 0, 1, 1]), rows)]
        [0.5, 0.0]
    """
    found = EqualErrorRate.from_model_output(labels, embeddings, bins=bins, where=where, axis_name=axis_name)
    return found.estimate()


def _range(low: float, high: float) -> tuple[float, float]:
    _checks.finite("low", low)
    _checks.finite("high", high)
    if low >= high:
        raise ValueError(f"low must be below high; got {low} and {high}")
    return float(low), float(high)


@_checks.entry
def _of_pairs(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    bins: int = BINS,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> Wide:
    _checks.positive_integer("bins", bins)
    anchors, candidates = meet(labels, embeddings, where, axis_name)
    look = partial(_of_tile, bins=bins)
    return ranks.over_pairs(look, anchors, candidates, distances.cosine).everywhere(axis_name)


def _of_tile(apart: jax.Array, positive: jax.Array, negative: jax.Array, *, bins: int) -> jax.Array:
    return _of_scores(1 - apart, positive, positive | negative, low=-1.0, high=1.0, bins=bins)


def _of_scores(
    scores: jax.Array, same: jax.Array, counts: jax.Array, *, low: float, high: float, bins: int
) -> jax.Array:
    """Returns how many scores of each truth are in each bin, [2, bins + 1], of those that count."""
    within = jnp.clip((scores - low) * (bins / (high - low)), 0, bins - 1)
    place = jnp.where(jnp.isnan(scores), bins, jnp.where(jnp.isnan(within), 0, within).astype(jnp.int32))
    place = place + jnp.where(same, bins + 1, 0)
    nowhere = 2 * (bins + 1)
    found = jnp.zeros(nowhere, jnp.int32).at[jnp.where(counts, place, nowhere)].add(1, mode="drop")
    return found.reshape(2, bins + 1)

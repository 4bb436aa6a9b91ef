"""Recall at k and R-precision of a batch."""

import dataclasses
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from jaxtriplet import _checks, distances, numerics
from jaxtriplet.engine import ranks
from jaxtriplet.engine.rows import meet
from jaxtriplet.types import AxisName, DistanceFn


def same_kind(one: Any, other: Any) -> None:
    """Raises a `ValueError` unless two metrics can be merged."""
    _checks.given("other", other, struct.PyTreeNode, f"a {type(one).__name__}")
    kinds = [(jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (one, other)]
    if kinds[0] != kinds[1]:
        seen = " and ".join(f"{type(tree).__name__}{_settings(tree)}" for tree in (one, other))
        raise ValueError(f"metrics of one kind, with the same settings, are merged; got {seen}")


def _settings(metric: Any) -> str:
    """Returns what a metric is told beside arrays, and the shapes of these."""
    static = [one.name for one in dataclasses.fields(metric) if not one.metadata.get("pytree_node", True)]
    shapes = [list(jnp.shape(leaf)) for leaf in jax.tree.leaves(metric)]
    return f"({', '.join([*(f'{name}={getattr(metric, name)}' for name in static), f'arrays of {shapes}'])})"


class _Mean(struct.PyTreeNode):
    """A mean over queries, of all batches so far."""

    total: jax.Array
    """The sum over queries with a positive."""
    count: jax.Array
    """How many these are."""

    def merge(self, other: Self) -> Self:
        """Returns the metric of the queries of both."""
        same_kind(self, other)
        return self.replace(total=self.total + other.total, count=self.count + other.count)

    def reduce(self) -> Self:
        """Returns the metric of the queries of all, along the first axis of each array."""
        return self.replace(total=jnp.sum(self.total, 0), count=jnp.sum(self.count, 0, jnp.int32))

    def compute(self) -> jax.Array:
        """Returns the mean, a float; NaN if there is no query."""
        return jnp.where(self.count > 0, self.total, jnp.nan) / jnp.maximum(self.count, 1).astype(self.total.dtype)


class RecallAtK(_Mean):
    """The share of rows with a row of their own label among the k nearest; see `recall_at_k`."""

    k: int = struct.field(pytree_node=False, default=1)

    @classmethod
    def empty(cls, *, k: int = 1) -> Self:
        """Returns the metric of no query."""
        _checks.positive_integer("k", k)
        return cls(total=jnp.zeros(()), count=jnp.zeros((), jnp.int32), k=k)

    @classmethod
    def from_model_output(
        cls,
        labels: ArrayLike,
        embeddings: ArrayLike,
        *,
        k: int = 1,
        distance_fn: DistanceFn = distances.cosine,
        where: ArrayLike | None = None,
        axis_name: AxisName = None,
    ) -> Self:
        """Returns the metric of a batch; arguments are those of `recall_at_k`."""
        options: dict[str, Any] = {"distance_fn": distance_fn, "where": where, "axis_name": axis_name}
        total, count = _recalled(labels, embeddings, k=k, **options)
        return cls(total=total, count=count, k=k)


class RPrecision(_Mean):
    """The share of rows of the own label among the R nearest; see `r_precision`."""

    @classmethod
    def empty(cls) -> Self:
        """Returns the metric of no query."""
        return cls(jnp.zeros(()), jnp.zeros((), jnp.int32))

    @classmethod
    def from_model_output(
        cls,
        labels: ArrayLike,
        embeddings: ArrayLike,
        *,
        distance_fn: DistanceFn = distances.cosine,
        where: ArrayLike | None = None,
        axis_name: AxisName = None,
    ) -> Self:
        """Returns the metric of a batch; arguments are those of `r_precision`."""
        return cls(*_precise(labels, embeddings, distance_fn=distance_fn, where=where, axis_name=axis_name))


def recall_at_k(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    k: int = 1,
    distance_fn: DistanceFn = distances.cosine,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> jax.Array:
    """Returns the share of rows with another row of their label among the k nearest; others are left out.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D]; half precision is computed in float32.
        k: How many of the nearest to look at; static. Where fewer rows are valid than that, all of them are.
        distance_fn: A pairwise distance; static.
        where: Booleans [B], False for padding; None: all rows count.
        axis_name: The mapped axes over which the batch is spread, or None.

    Returns:
        The recall, a scalar that is the same on every device; NaN if no row has another of its label.

    Raises:
        ValueError: Shapes or types do not fit, or the batch of all devices has no k other rows.

    Example:
        >>> float(recall_at_k(jnp.array([0, 0, 1, 1]), jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.3]])))
        0.75
    """
    options: dict[str, Any] = {"k": k, "distance_fn": distance_fn, "where": where, "axis_name": axis_name}
    return RecallAtK.from_model_output(labels, embeddings, **options).compute()


def r_precision(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    distance_fn: DistanceFn = distances.cosine,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> jax.Array:
    """Returns the mean share of rows of the own label among the R nearest, R being how many of these there are.

    Args:
        labels: Integers [B].
        embeddings: Floats [B, D]; half precision is computed in float32.
        distance_fn: A pairwise distance; static.
        where: Booleans [B], False for padding; None: all rows count.
        axis_name: The mapped axes over which the batch is spread, or None.

    Returns:
        The precision, a scalar that is the same on every device; NaN if no row has another of its label.

    Raises:
        ValueError: Shapes or types do not fit.

    Example:
        >>> float(r_precision(jnp.array([0, 0, 1, 1]), jnp.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.3]])))
        0.75
    """
    return RPrecision.from_model_output(
        labels, embeddings, distance_fn=distance_fn, where=where, axis_name=axis_name
    ).compute()


@_checks.entry
def _recalled(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    k: int = 1,
    distance_fn: DistanceFn = distances.cosine,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> tuple[jax.Array, jax.Array]:
    anchors, candidates = meet(labels, embeddings, where, axis_name)
    _checks.positive_integer("k", k)
    if k >= len(candidates.labels):
        raise ValueError(f"k={k} of the {len(candidates.labels) - 1} other rows of a batch: there are fewer than that")
    group, evidence = ranks.for_each_anchor(ranks.nearest_positive, anchors, candidates, distance_fn)
    return _summed(ranks.expected_recall(group, k), group.positives, evidence, axis_name)


@_checks.entry
def _precise(
    labels: ArrayLike,
    embeddings: ArrayLike,
    *,
    distance_fn: DistanceFn = distances.cosine,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
) -> tuple[jax.Array, jax.Array]:
    anchors, candidates = meet(labels, embeddings, where, axis_name)
    (group, number), evidence = ranks.for_each_anchor(ranks.last_of_positives, anchors, candidates, distance_fn)
    return _summed(ranks.expected_precision(group, number), number, evidence, axis_name)


def _summed(
    values: jax.Array, positives: jax.Array, evidence: jax.Array, axis_name: AxisName
) -> tuple[jax.Array, jax.Array]:
    """Returns the sum over the rows of all devices, and how many of them have positives; NaN without evidence."""
    found = jnp.sum(numerics.poison(values, evidence)), jnp.sum(positives > 0, dtype=jnp.int32)
    return found if axis_name is None else jax.lax.psum(found, axis_name)

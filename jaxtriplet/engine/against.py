"""Rows against the weights of classes: who is of which class, and where rows and classes are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, numerics
from jaxtriplet.distances.forms import ANGLES
from jaxtriplet.engine.apart import Apart, axes, varied
from jaxtriplet.engine.measuring import measure
from jaxtriplet.engine.outcome import Found, conclude, norms
from jaxtriplet.engine.rows import Rows, keep, of_class, share_of
from jaxtriplet.engine.separable import Separable
from jaxtriplet.types import AxisName, Precision, ReduceFn


class Against(NamedTuple):
    """Rows of a batch, and the classes that they are compared with."""

    rows: Rows
    """The rows of this device."""
    classes: Rows
    """The classes of this device, whose labels are their numbers among all."""
    number: int
    """How many classes there are, on all devices."""
    apart: Apart | None
    axis_name: AxisName
    """The mapped axes over which rows or classes are spread."""
    rows_over: tuple[str, ...]
    """Those over which rows are."""
    precision: Precision
    """How products of float32 matrices are made."""

    def of_own_class(self, number: ArrayLike) -> jax.Array:
        """Returns a number that is one for all, or that of each row's class, of one for each class [C]."""
        return self._of(jnp.asarray(number), self.rows)

    def _of(self, number: jax.Array, rows: Rows) -> jax.Array:
        if number.ndim == 0:
            return number
        _checks.for_each_class(number, self.number)
        return jnp.take(number, rows.labels, mode="clip")

    @property
    def evidence(self) -> jax.Array:
        """NaN for a row whose label is no class, else 0."""
        labels, valid = self.rows.labels, self.rows.valid
        return numerics.nan_where(valid & ((labels < 0) | (labels >= self.number)), self.rows.values.dtype)

    def of_each_class(self, number: ArrayLike) -> jax.Array:
        """Returns a number for each class of this device, of one that is one for all, or one for each class [C]."""
        each = jnp.broadcast_to(self._of(jnp.asarray(number), self.classes), self.classes.labels.shape)
        return varied(each, axes(self.axis_name))

    def find(self, loss: Separable, numbers: Any, *, each: bool, block_size: int | None, theirs: Any = None) -> Found:
        """Returns what the rows hold of a loss of their cosines to all classes."""
        return measure(
            *(loss, self.rows, self.classes, numbers, ANGLES),
            each=each,
            strangers=True,
            pairs_fn=of_class,
            theirs=theirs,
            apart=self.apart,
            precision=self.precision,
            columns=block_size,
            evidence=(self.evidence,),
        )

    def find_of_classes(
        self, loss: Separable, numbers: tuple[ArrayLike, ...], *, each: bool, block_size: int | None
    ) -> Found:
        """Returns what the classes hold of a loss whose anchors they are, and whose candidates the rows of all devices.

        Devices that have the same classes share them; numbers may be one for each class [C]. The loss gets three more:
        whether it is a class, 1 or 0, since padding fills up the last share; how many classes have rows, and how many
        there are, on all devices.
        """
        rows, classes, over = self.rows, self.classes, axes(self.axis_name)
        apart = self.apart.over if self.apart else ()
        alike = tuple(axis for axis in self.rows_over if axis not in apart)
        classes = share_of(classes, alike) if alike else classes
        rows = jax.lax.all_gather(rows, self.rows_over, tiled=True) if self.rows_over else rows
        rows = varied(rows, tuple(axis for axis in apart if axis not in self.rows_over))
        own = [self._of(jnp.asarray(number), classes) for number in numbers]
        counts = [classes.valid, *_classes_with_rows(rows, classes, over)]
        told = jnp.sum(self.evidence) + jnp.sum(jax.lax.stop_gradient(numerics.evidence(classes.values)))
        found = measure(
            *(loss, classes, rows, (*own, *(count.astype(rows.values.dtype) for count in counts)), ANGLES),
            each=each,
            block_size=block_size,
            precision=self.precision,
            strangers=True,
            evidence=(jax.lax.psum(told, over) if over else told,),
        )
        of_rows = norms(self.rows.values, self.rows.valid)
        return found._replace(norms=self.apart.counted_once(of_rows) if self.apart else of_rows)

    def loss(
        self,
        loss: Separable,
        numbers: Any,
        reduce_fn: ReduceFn | None,
        has_aux: bool,
        block_size: int | None,
        *,
        theirs: Any = None,
    ) -> Any:
        """Returns a loss of which every row has a term, reduced as `conclude` does it.

        Args:
            loss: The definition, of cosines.
            numbers: Its numbers, scalars or one for each row.
            reduce_fn: The reduction.
            has_aux: Whether to return statistics too.
            block_size: How many classes to compare at a time, or None.
            theirs: Something of each class of this device.
        """
        found = self.find(loss, numbers, each=reduce_fn is None, block_size=block_size, theirs=theirs)
        if reduce_fn is None and self.apart is not None and self.apart.copied:
            found = found._replace(terms=jax.lax.psum(found.terms, self.apart.copied))
        return conclude(found, reduce_fn, self.axis_name, has_aux)


def against(
    labels: ArrayLike,
    embeddings: ArrayLike,
    weights: ArrayLike,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    precision: Precision = "exact",
    *,
    name: str = "weights",
    several: bool = True,
) -> Against:
    """Returns the rows of this device and the classes that they meet.

    Args:
        labels: Integers [B] from 0 to C - 1.
        embeddings: Floats [B, D].
        weights: Floats [C, D], or [C, K, D] for several centres of each class; with `class_axis_name` those of this
            device's classes, a share of all.
        where: Booleans [B], False for padding, or None.
        axis_name: The mapped axes over which the rows are spread, or None.
        class_axis_name: The mapped axes over which the classes are spread, or None; rows that are spread over the same
            come together.
        precision: How products of float32 matrices are made, those of the gradient too; static.
        name: What the weights are called.
        several: Whether a class may have several centres.

    Raises:
        ValueError: The shapes or types do not fit.
    """
    own, given, mask = _checks.batch(labels, embeddings, where)
    values, valid = keep(given, mask)
    centers = numerics.widen(_checks.class_weights(weights, given, name, several=several)).astype(values.dtype)
    own = own.astype(jnp.int64 if own.dtype.itemsize == 8 else jnp.int32)
    apart, count = Apart.of(class_axis_name, axis_name), len(centers)
    shares, share = (jax.lax.axis_size(apart.over), jax.lax.axis_index(apart.over)) if apart else (1, 0)
    classes = share * count + jnp.arange(count, dtype=own.dtype)
    everywhere = axes(axis_name) + tuple(axis for axis in axes(class_axis_name) if axis not in axes(axis_name))
    return Against(
        Rows(values, own, valid, jnp.arange(len(own), dtype=jnp.int32)),
        Rows(varied(centers, everywhere), classes, jnp.ones_like(classes, bool), classes.astype(jnp.int32)),
        shares * count,
        apart,
        everywhere or None,
        axes(axis_name),
        precision,
    )


def _classes_with_rows(rows: Rows, classes: Rows, over: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
    """Returns how many classes have valid rows, and how many there are, of all devices; without a valid row none."""
    place, count = rows.labels - classes.labels[0], len(classes.labels)
    is_here = rows.valid & (place >= 0) & (place < count)
    has_rows = jnp.zeros_like(classes.valid).at[jnp.where(is_here, place, count)].set(True, mode="drop")
    counts = jnp.sum(classes.valid & has_rows), jnp.sum(classes.valid & jnp.any(rows.valid))
    return jax.lax.psum(counts, over) if over else counts

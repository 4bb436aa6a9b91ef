"""A few of many classes: those of the batch, and others drawn at random."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.engine.apart import Apart, axes
from jaxtriplet.types import AxisName


def sample_classes(
    key: jax.Array,
    labels: ArrayLike,
    num_classes: int,
    size: int,
    *,
    where: ArrayLike | None = None,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
) -> tuple[jax.Array, jax.Array]:
    """Draws the classes that a step compares with: those of the batch, and others at random, as Partial FC does.

    Args:
        key: PRNG key of the step, the same on every device.
        labels: Integers [B], from 0 to C - 1.
        num_classes: The number of classes C; with `class_axis_name` that of this device's classes, a share of all.
        size: How many to draw, of this device's; at least as many as the batch may have of them, or its loss is NaN.
        where: Booleans [B], False for padding, or None.
        axis_name: Mapped axes over which the batch is spread.
        class_axis_name: Mapped axes over which the classes are spread.

    Returns:
        The numbers of the drawn classes, [size], in order, to take the weights by; and the labels [B] among them.

    Raises:
        ValueError: There are fewer classes than are to be drawn, or the shapes or types do not fit.

    Example:
        >>> import jaxtriplet
        >>> labels, weights = jnp.array([7, 2, 7]), jax.random.normal(jax.random.key(0), (1000, 4))
        >>> classes, own = sample_classes(jax.random.key(1), labels, 1000, 50)
        >>> loss = jaxtriplet.aam_softmax(own, jnp.ones((3, 4)), weights[classes])
        >>> classes.shape, bool((classes[own] == labels).all())
        ((50,), True)

    Reference:
        An et al., "Partial FC: Training 10 Million Identities on a Single Machine", 2020.
    """
    _checks.positive_integer("size", size)
    _checks.positive_integer("num_classes", num_classes)
    if size > num_classes:
        raise ValueError(f"size must be at most the number of classes, {num_classes}; got {size}")
    labels = _checks.integers(labels)
    labels = labels.astype(jnp.int64 if labels.dtype.itemsize == 8 else jnp.int32)
    mask = _checks.mask(where, labels)
    valid = jnp.ones_like(labels, bool) if mask is None else mask
    apart, rows_over = Apart.of(class_axis_name, axis_name), axes(axis_name)
    over = apart.over if apart else ()
    together = apart.come((labels, valid)) if apart else (labels, valid)
    index, everyone = jax.lax.axis_index(over) if over else 0, together
    if rest := tuple(axis for axis in rows_over if axis not in over):  # which draw the same classes of all their rows
        everyone = jax.lax.all_gather(everyone, rest, tiled=True)
    local = everyone[0] - index * num_classes
    is_here = everyone[1] & (local >= 0) & (local < num_classes)
    in_batch = jnp.zeros(num_classes, bool).at[jnp.where(is_here, local, num_classes)].set(True, mode="drop")
    chance = jax.random.uniform(jax.random.fold_in(key, index), (num_classes,))
    classes = jnp.sort(jax.lax.top_k(jnp.where(in_batch, 2, chance), size)[1])
    mine = together[0] - index * num_classes
    classes = classes.astype(mine.dtype)
    place = jnp.clip(jnp.searchsorted(classes, mine), 0, size - 1).astype(jnp.int32)
    found = classes[place] == mine
    own = jnp.where(found, index * size + place + 1, 0)  # one device at most has it
    own = jax.lax.psum(own, over) - 1 if over else own - 1
    own = apart.own(own) if apart else own
    return classes.astype(jnp.int32), own

"""Candidates that stay apart: each device holds its share of the classes, and rows go to meet them."""

from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from jaxtriplet.types import AxisName

_Tree = TypeVar("_Tree")


class Apart(NamedTuple):
    """How classes are shared among devices, and rows with them; static."""

    over: tuple[str, ...]
    """The axes over which classes are spread."""
    gathered: tuple[str, ...]
    """Those of them over which rows are spread too: the rows of these devices come together."""

    @classmethod
    def of(cls, class_axis_name: AxisName, axis_name: AxisName) -> "Apart | None":
        """Returns how, by the names of the axes of classes and of rows; None if no class is apart."""
        over, rows = axes(class_axis_name), axes(axis_name)
        return cls(over, tuple(axis for axis in over if axis in rows)) if over else None

    @property
    def copied(self) -> tuple[str, ...]:
        """The axes of classes along which devices have the same rows."""
        return tuple(axis for axis in self.over if axis not in self.gathered)

    def come(self, tree: _Tree) -> _Tree:
        """Returns something of each row of this device as that of the rows of all that share classes with it.

        In plain autodiff: its transpose adds up what each device finds of the gradient.
        """
        tree = varied(tree, self.copied)  # the same on these devices; what they make of it is not
        return jax.lax.all_gather(tree, self.gathered, tiled=True) if self.gathered else tree

    def own(self, tree: _Tree) -> _Tree:
        """Returns, of something of each row that has come, that of this device's rows."""
        if not self.gathered:
            return tree
        size, index = jax.lax.axis_size(self.gathered), jax.lax.axis_index(self.gathered)

        def cut(part: jax.Array) -> jax.Array:
            count = len(part) // size
            return jax.lax.dynamic_slice_in_dim(part, index * count, count)

        return jax.tree.map(cut, tree)

    def cotangent_of_rows(self, cotangent: _Tree) -> _Tree:
        """Returns the cotangent of something of each row that has come, from that of this device's rows."""
        return self.come(self.cotangent_of_sum(cotangent))

    def cotangent_of_sum(self, cotangent: _Tree) -> _Tree:
        """Returns the cotangent of a sum over this device's rows, from its own of each device with the same rows."""
        return jax.lax.psum(cotangent, self.copied) if self.copied else cotangent

    def merged(self, kinds: list[Any], states: list[Any]) -> list[Any]:
        """Returns the states of statistics of the candidates of all devices."""
        everywhere = [kind.across(state, self.over) for kind, state in zip(kinds, states, strict=True)]
        # The same on all of them, but not to be differentiated as one number: the transpose of that is a psum.
        return varied(everywhere, self.over)

    def on_first(self, tree: _Tree) -> _Tree:
        """Returns on one device what all devices that share these classes know, and zeros on the others."""
        return _where_first(self.over, tree)

    def counted_once(self, tree: _Tree) -> _Tree:
        """Returns on one device what those with the same rows have in common, and zeros on the others."""
        return _where_first(self.copied, tree) if self.copied else tree


def axes(axis_name: AxisName) -> tuple[str, ...]:
    """Returns the names of mapped axes, none, one or several."""
    if axis_name is None:
        return ()
    return (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)


def varied(tree: _Tree, names: tuple[str, ...]) -> _Tree:
    """Returns arrays as they are, which to shard_map's check vary over these axes from here on."""
    if not names:
        return tree
    here = jax.lax.axis_index(names) >= 0
    return jax.tree.map(lambda part: jnp.where(here, part, part), tree)


def _where_first(names: tuple[str, ...], tree: _Tree) -> _Tree:
    first = jax.lax.axis_index(names) == 0
    return jax.tree.map(lambda part: jnp.where(first, part, 0), tree)

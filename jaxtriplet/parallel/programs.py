"""A loss and its arguments, compiled with its gradient for one device and for many, in each setting that JAX has."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtriplet import _checks
from jaxtriplet.parallel.automatic import of_automatic_axes
from jaxtriplet.parallel.meshes import check_divides, on_this_process, replicated
from jaxtriplet.parallel.sharding import ROW_KEYWORDS, by_position, check_classes, declared_classes, declared_rows
from jaxtriplet.types import AxisName

GLOBAL_VIEW, SHARD_MAP, PMAP = SETTINGS = ("global view", "shard_map", "pmap")


class Found(NamedTuple):
    """What a program has found."""

    values: np.ndarray
    """The value that each device returns."""
    gradients: dict[int, np.ndarray]
    """The gradient by each floating argument, by its place."""


Program = Callable[[Sequence[Any]], Found]


@dataclass(frozen=True)
class Call:
    """A loss and its arguments, as a list of arrays and numbers."""

    loss_fn: Callable[..., Any]
    leaves: list[Any]
    names: list[str]
    is_spread: list[bool]
    """Which are rows, a share of which is on each device."""
    is_apart: list[bool]
    """Which are class weights, likewise."""
    structure: Any
    static: Mapping[str, Any]

    @property
    def floating(self) -> list[int]:
        """The places of what the gradient is taken by."""
        return [i for i, leaf in enumerate(self.leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]

    def value(self, leaves: Sequence[Any], axis_name: AxisName, class_axis_name: AxisName = None) -> Any:
        """Returns what the loss makes of the arguments, its statistics left out."""
        arguments, keywords = jax.tree.unflatten(self.structure, leaves)
        keywords |= {"class_axis_name": class_axis_name} if class_axis_name else {}
        found = self.loss_fn(*arguments, axis_name=axis_name, **keywords, **self.static)
        return found[0] if isinstance(found, tuple) else found

    def graded(self, value: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
        """Returns a function to the value and the gradient by what is floating."""

        def both(leaves: Sequence[Any]) -> Any:
            moved = {i: leaves[i] for i in self.floating}
            return jax.value_and_grad(lambda moved: value([moved.get(i, leaf) for i, leaf in enumerate(leaves)]))(moved)

        return both


def call_of(
    loss_fn: Callable[..., Any],
    mesh: Mesh,
    axes: Sequence[str],
    arguments: Any,
    keywords: Any,
    apart: Sequence[str] = (),
) -> Call:
    """Returns the call of a loss, by the conventions of `sharded`, having tried it on one device.

    Keywords that are floats are traced if the loss can take them so.

    Raises:
        ValueError: An argument is no array or number, rows or classes do not divide, or what is returned is no scalar.
    """
    declared, (names, given) = declared_rows(loss_fn), by_position(loss_fn, arguments, keywords)
    of_classes = declared_classes(loss_fn) if apart else ()

    def listed(traced: Mapping[str, Any]) -> Call:
        told = [(name, one, _are_rows(name, declared)) for name, one in zip(names, given, strict=True)]
        told += [(name, one, name in ROW_KEYWORDS) for name, one in sorted(traced.items())]  # as JAX lists a dict
        leaves, labels, spread, weights = [], [], [], []
        for name, argument, rows in told:
            for path, leaf in jax.tree.leaves_with_path(argument):
                labels.append(name + jax.tree_util.keystr(path))
                leaves.append(_on_host(labels[-1], leaf))
                weights.append(name in of_classes and np.ndim(leaf) > 1)
                spread.append(not weights[-1] and (np.ndim(leaf) > 0 if rows is None else rows))
        static = {name: one for name, one in keywords.items() if name not in traced}
        return Call(loss_fn, leaves, labels, spread, weights, jax.tree.structure((given, dict(traced))), static)

    arrays = {name: one for name, one in keywords.items() if _is_of(one, jax.Array | np.ndarray | np.generic)}
    call = listed(arrays | {name: one for name, one in keywords.items() if _is_of(one, float)})
    if not any(call.is_spread):
        raise ValueError("no argument is rows: give them by position, labels and embeddings, say")
    for leaf, is_spread in zip(call.leaves, call.is_spread, strict=True):
        if is_spread:
            check_divides(len(leaf), mesh, axes)
    if apart:
        check_classes(list(itertools.compress(call.leaves, call.is_apart)), mesh, apart)
    try:
        found = jax.eval_shape(lambda leaves: call.value(leaves, None), call.leaves)
    except Exception:  # whatever a loss raises that looks at its numbers; raised again if that was not the reason
        call = listed(arrays)
        found = jax.eval_shape(lambda leaves: call.value(leaves, None), call.leaves)
    if getattr(found, "shape", None) != () or not jnp.issubdtype(found.dtype, jnp.floating):
        raise ValueError(f"loss_fn must return a float, alone or before statistics; got {_checks.seen(found)}")
    return call


def _are_rows(name: str, declared: Sequence[str] | None) -> bool | None:
    """Returns whether an argument is rows; None where its axes say it."""
    return None if declared is None else name in declared


def _is_of(tree: Any, kind: Any) -> bool:
    leaves = jax.tree.leaves(tree)
    return bool(leaves) and all(isinstance(leaf, kind) for leaf in leaves)


def _on_host(name: str, leaf: Any) -> Any:
    """Returns an array as every process holds it; numbers stay Python's, whose type gives way to that of arrays."""
    if isinstance(leaf, jax.core.Tracer):
        raise ValueError(f"numbers are compared: call `check` outside `jax.jit` ({name} is traced)")
    if isinstance(leaf, bool | int | float):
        return leaf
    if not isinstance(leaf, jax.Array):
        return _checks.taken(leaf, f"{name} must be an array or a number; give functions and words by keyword")
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    if not leaf.is_fully_addressable and not leaf.is_fully_replicated:
        raise ValueError(f"{name} lies on several processes: give each process all rows, as a NumPy array")
    return np.asarray(leaf.addressable_data(0) if leaf.is_fully_replicated else leaf)


def on_one_device(call: Call, mesh: Mesh) -> Program:
    """Returns the loss on one device; it takes shares of the rows too."""
    alone = Mesh(np.array(mesh.local_devices[:1]), ("alone",))
    graded = call.graded(lambda leaves: call.value(leaves, None))

    def both(leaves: Sequence[Any]) -> Found:
        value, gradients = graded(leaves)
        return Found(value.reshape(1), gradients)

    return _compiled(both, alone, [PartitionSpec()] * len(call.leaves))


def over_devices(call: Call, mesh: Mesh, axes: tuple[str, ...], setting: str, apart: tuple[str, ...] = ()) -> Program:
    """Returns the loss over the devices of a mesh, in one of the settings."""
    mesh = of_automatic_axes(mesh)
    axis_name: AxisName = axes[0] if len(axes) == 1 else axes
    everywhere = axes + tuple(axis for axis in apart if axis not in axes)
    kinds = zip(call.is_spread, call.is_apart, strict=True)
    over = [axes if is_spread else apart if is_apart else () for is_spread, is_apart in kinds]
    specs = [PartitionSpec(names) if names else PartitionSpec() for names in over]

    def value(leaves: Sequence[Any]) -> Any:
        return call.value(leaves, axis_name, apart)

    def inside(leaves: Sequence[Any]) -> Found:
        found, gradients = call.graded(value)(leaves)
        if setting == PMAP:
            # Of what all devices held whole, each would have the gradient by its own share: their mean.
            for i, gradient in gradients.items():
                copied = tuple(axis for axis in everywhere if axis not in over[i])
                mean = jax.lax.pmean(gradient, copied) if copied else gradient
                gradients[i] = mean / jax.lax.axis_size(over[i]) if over[i] else mean
        return Found(found.reshape(1), gradients)

    def outside(leaves: Sequence[Any]) -> Found:
        mapped = jax.shard_map(value, mesh=mesh, in_specs=(specs,), out_specs=PartitionSpec())
        found, gradients = call.graded(mapped)(leaves)
        return Found(found.reshape(1), gradients)

    if setting == GLOBAL_VIEW:
        return _compiled(outside, mesh, specs)
    by_place = {i: specs[i] for i in call.floating}
    out_specs = Found(PartitionSpec(axes), by_place)  # type: ignore[arg-type]
    # `pmap` is `shard_map` without the check, for meshes of one axis.
    mapped = jax.shard_map(inside, mesh=mesh, in_specs=(specs,), out_specs=out_specs, check_vma=setting != PMAP)
    return _compiled(mapped, mesh, specs)


def _compiled(function: Callable[..., Found], mesh: Mesh, specs: Sequence[PartitionSpec]) -> Program:
    lies = [NamedSharding(mesh, spec) for spec in specs]
    compiled = jax.jit(function, in_shardings=(lies,), out_shardings=replicated(mesh))

    def run(leaves: Sequence[Any]) -> Found:
        with jax.set_mesh(mesh):  # of whatever mesh the caller has set
            return jax.device_get(on_this_process(compiled(list(leaves))))

    return run

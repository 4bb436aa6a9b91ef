"""The way into a public function of rows: checked by its signature, then compiled."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, cast

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxtriplet import numerics
from jaxtriplet._checks import arrays, callables, calls, conversion, words
from jaxtriplet.types import AxisName

_Args = ParamSpec("_Args")

# Keywords that are arrays, or trees of them.
ARRAYS = ("where", "ids", "memory")


def _nowhere(word: str) -> str:
    return ""


def entry(
    function: Callable[_Args, Any],
    elsewhere_fn: Callable[[str], str] = _nowhere,
    angles: Sequence[str] = (),
) -> Callable[_Args, Any]:
    """Compiles a public function of rows, behind the checks that its signature asks for.

    - Positional arguments without a default are rows; if the first are `labels`, they are looked at before they are
      traced: JAX turns 64-bit NumPy integers into 32-bit ones without a word, so that two speakers could become one.
    - Those with a default, and keywords whose default is a float, are numbers: traced scalars, in the dtype to compute
      the rows in. The margin of a loss with class weights, its third rows, may be one for each class.
    - Other keywords are static: functions (`*_fn`), sizes (`int | None`, `int`), words (`Literal`), flags, axes; but
      for `where`, `ids` and `memory`, which are arrays.

    Args:
        function: The function.
        elsewhere_fn: What to say of a keyword that the function has not, where others have it.
        angles: Which of its numbers are angles, in radians.
    """
    name_of = "" if function.__name__.startswith("_") else function.__name__
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    rows, numbers = rows_of(signature), numbers_of(signature)
    of_classes = rows[:1] == ["labels"] and len(rows) > 2
    arrays_by_name = [name for name in ARRAYS if name in signature.parameters]
    keywords = [name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY]
    fixed = [name for name in keywords if name not in arrays_by_name and name not in numbers]
    axes = [name for name in fixed if hints.get(name) == AxisName]

    def taken(name: str, value: Any) -> Any:
        """Returns what is compiled for, or traced."""
        if name in fixed:
            static(name, value, hints.get(name))
            return value
        if name in arrays_by_name:
            return None if value is None else conversion.by_name(name, value)
        if name in numbers:
            return arrays.number(name, value)
        return conversion.rows_as_given(name, value)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        for name in [*rows, *arrays_by_name]:
            given.arguments[name] = jax.tree.map(_whole, given.arguments[name])
        first = given.arguments[rows[:2][-1]]
        dtype = numerics.compute_dtype(first)
        for name in numbers:
            check = arrays.scalar_or_vector if of_classes and name == "margin" else arrays.scalar
            given.arguments[name] = check(name, given.arguments[name], dtype)
        _forms(given.arguments, first, dtype)
        return function(*given.args, **given.kwargs)

    jitted: Any = jax.jit(checked, static_argnames=fixed)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = calls.bound(name_of, signature, args, kwargs, rows, elsewhere_fn)
        calls.order(name_of, {name: given.arguments[name] for name in rows})
        given.arguments.update({name: taken(name, value) for name, value in given.arguments.items()})
        ranges(name_of, signature, angles, given.arguments)
        try:
            return jitted(*given.args, **given.kwargs)
        except NameError as error:
            if said := calls.unbound(error, {name: given.arguments.get(name) for name in axes}):
                raise ValueError(said) from error
            raise

    return cast(Callable[_Args, Any], call)


def rows_of(signature: inspect.Signature) -> list[str]:
    """Returns the names of the arguments that are rows: those that must be given."""
    return [name for name, one in signature.parameters.items() if one.default is one.empty]


def numbers_of(signature: inspect.Signature) -> dict[str, Any]:
    """Returns the numbers of a loss, with their defaults: positional arguments that need not be given, and floats."""
    return {
        name: one.default
        for name, one in signature.parameters.items()
        if isinstance(one.default, float) or (one.kind is one.POSITIONAL_OR_KEYWORD and one.default is not one.empty)
    }


def ranges(name_of: str, signature: inspect.Signature, angles: Sequence[str], given: Mapping[str, Any]) -> None:
    """Raises a `ValueError` if a Python number lies where none of its kind does, as degrees do.

    Temperatures must be above 0. An option, as `margin_type`, may say that an angle is none.
    """
    kinds = {name: signature.parameters.get(f"{name}_type") for name in angles}
    for name, kind in kinds.items():
        if kind is None or given.get(kind.name, kind.default) == "angle":
            words.angle(f"{name} of {name_of}", given.get(name))
    words.temperature(f"temperature of {name_of}", given.get("temperature"))


def words_of(hint: Any) -> tuple[str, ...]:
    """Returns the words that an option takes by its annotation, none if it takes something else."""
    return tuple(word for word in typing.get_args(hint) if isinstance(word, str))


def static(name: str, value: Any, hint: Any) -> None:
    """Checks a keyword that is compiled for, by its annotation."""
    if name.endswith("_fn"):
        callables.functions(**{name: value})
    elif known := words_of(hint):
        words.option(name, value, known)
    elif hint == int | None and value is not None:
        words.positive_integer(name, value)
    elif hint is int:
        words.whole_number(name, value)
    elif hint is bool or hint == Literal[False]:
        words.flag(name, value)
    elif hint == AxisName:
        words.axes(value)


def _whole(array: Any) -> Any:
    """Returns an array of which every device holds all, if its type says that it is spread (a mesh of Explicit axes).

    There, no operation guesses how its result should lie; the gradient is spread as the array was.
    """
    if not any(jax.typeof(array).sharding.spec):
        return array
    return jax.sharding.reshard(array, NamedSharding(jax.typeof(array).sharding.mesh, PartitionSpec()))


def _forms(given: dict[str, Any], rows: jax.Array, dtype: jnp.dtype) -> None:
    """Checks what a user's functions make of shapes."""
    shapes: dict[str, tuple[Any, ...]] = {"hinge_fn": ((2, 3), (2, 3)), "reduce_fn": ((), (), (), ())}
    if rows.ndim == 2:  # else it is the rows that are refused
        shapes["distance_fn"] = ((2, 3), (2, rows.shape[1]), (3, rows.shape[1]))
    for name, (found, *takes) in shapes.items():
        if given.get(name) is not None:
            callables.makes(name, given[name], found, tuple(takes), dtype)

"""What losses there are: each is declared once, beside its function, and everything else asks here."""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, ParamSpec, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import _checks, numerics, reductions
from jaxtriplet.losses.arguments import documented
from jaxtriplet.types import LossFunction

_Args = ParamSpec("_Args")

OF_ENGINE = ("block_size", "precision", "exchange")
"""How the engine is to go about it, of losses that compare all rows."""
# What every loss takes, and callers of losses in general pass on their own account.
SHARED = ("where", "reduce_fn", "axis_name", "has_aux", "memory", "ids", "class_axis_name", *OF_ENGINE)
OF_CLASSES = ("centers", "sample")
"""What `weighted` takes of a loss of rows and class weights: centres of each class, classes of a step."""
_DIVISORS = {reductions.mean: "all terms", reductions.mean_active: "terms above zero", reductions.sum: "sum"}


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss and what is to be known of it; most of that is its signature."""

    name: str
    """Its name, with underscores; a variant's ends with its words, such as "semi_hard_all"."""
    function: LossFunction[...]
    """What users call."""
    term: str
    """For what it has a term, in words."""
    also: Mapping[str, str]
    """Other words for that, by the option that makes them true, such as 'negatives="all"'."""
    sees: Literal["embeddings", "logits"]
    """What its rows are."""
    trained: tuple[str, ...]
    """Which of its numbers are trained along with the encoder."""
    anchors: Literal["rows", "classes"] = "rows"
    """What its terms are of: rows (or given ones), or class weights."""
    centers: int = 1
    """How many centres of each class to draw, if it has class weights."""
    angles: tuple[str, ...] = ()
    """Which of its numbers are angles, in radians: of no sense beyond pi, where degrees would be."""
    called: tuple[str, ...] = ()
    """What else people call it."""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The options that make the variant."""

    row_arguments: ClassVar[tuple[str, ...]] = ("labels", "rows")
    """Which arguments are rows of the batch, to be spread over devices."""
    class_arguments: ClassVar[tuple[str, ...]] = ("params",)
    """Which arguments hold class weights, if any: those of two axes or more."""

    @property
    def command(self) -> str:
        """The name on the command line."""
        return self.name.replace("_", "-")

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """The arguments of the function."""
        return inspect.signature(self.function)

    @property
    def rows(self) -> Literal["batch", "thirds", "given"]:
        """How its rows come: a batch with labels; anchors, positives and negatives in thirds; or as given pairs."""
        first = next(iter(self.signature.parameters))
        kinds: dict[str, Literal["batch", "thirds"]] = {"labels": "batch", "embeddings": "thirds"}
        return kinds.get(first, "given")

    @property
    def class_weights(self) -> str | None:
        """The argument that holds a row for each class, trained along with the encoder; None if there is none."""
        return next(iter(_checks.rows_of(self.signature)[2:]), None) if self.rows == "batch" else None

    @property
    def meets_classes(self) -> bool:
        """Whether each row has a term, against class weights of which a class may have several."""
        return self.class_weights is not None and self.anchors == "rows"

    @property
    def takes_memory(self) -> bool:
        """Whether rows of earlier batches can be candidates."""
        return "memory" in self.signature.parameters

    @property
    def numbers(self) -> dict[str, Any]:
        """Its traced numbers, with their defaults."""
        return _checks.numbers_of(self.signature)

    @property
    def options(self) -> dict[str, Any]:
        """Its own keywords, with their defaults; those of the variant are taken."""
        known = {*SHARED, *self.fixed, *self.numbers}
        parameters = self.signature.parameters.items()
        return {name: one.default for name, one in parameters if one.kind is one.KEYWORD_ONLY and name not in known}

    @functools.cached_property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words that some of the options take."""
        hints = typing.get_type_hints(self.function)
        return {name: words for name in self.options if (words := _checks.words_of(hints.get(name)))}

    @property
    def divided_by(self) -> str:
        """By what the sum of its terms is divided, in words."""
        return _DIVISORS.get(self.signature.parameters["reduce_fn"].default, "as it says")

    @functools.cached_property
    def variants(self) -> "list[Loss]":
        """The loss by each other word of its options."""
        return [
            dataclasses.replace(self, name=f"{self.name}_{word}".replace("-", "_"), fixed={option: word})
            for option, words in self.words.items()
            for word in words
            if word != self.options[option]
        ]

    def __call__(self, labels: Any, rows: Any, /, *params: Any, **options: Any) -> Any:
        """Calls the function, whether or not it takes labels.

        Args:
            labels: Integers [B].
            rows: What it compares, [B, D] (embeddings or logits).
            *params: Class weights, if it has any, and numbers.
            **options: Keywords.
        """
        given = (rows, *params) if self.rows == "thirds" else (labels, rows, *params)
        return cast(Any, self.function)(*given, **self.fixed, **options)

    def check(self, options: Mapping[str, Any]) -> None:
        """Raises a `ValueError` if options are not those of the loss, or of no use to it."""
        hints = typing.get_type_hints(self.function)
        shared = (name for name in ("reduce_fn", *OF_ENGINE) if name in self.signature.parameters)
        known = [*self.numbers, *self.options, *shared, *(OF_CLASSES if self.meets_classes else [])]
        for name, value in options.items():
            if name in OF_CLASSES and name in known:
                _checks.positive_integer(f"{name} of {self.name}", value)
                continue
            if name not in known:
                hint = _checks.nearest(name, known) or f"; it has {', '.join(known)}"
                raise ValueError(f"{self.name} has no option {name!r}{hint}")
            if name not in self.numbers:
                _checks.static(name, value, hints.get(name))
            elif not callable(value) and not isinstance(value, jax.Array | np.ndarray):
                _checks.finite(f"{name} of {self.name}", value)
        _checks.ranges(self.name, self.signature, self.angles, {**options, **self.fixed})


LOSSES: dict[str, Loss] = {}
"""Every loss by its name, in the order of their declarations."""


def loss(
    *,
    term: str,
    also: Mapping[str, str] = MappingProxyType({}),
    sees: Literal["embeddings", "logits"] = "embeddings",
    trained: tuple[str, ...] = (),
    anchors: Literal["rows", "classes"] = "rows",
    centers: int = 1,
    angles: tuple[str, ...] = (),
    called: tuple[str, ...] = (),
) -> Callable[[Callable[_Args, Any]], LossFunction[_Args]]:
    """Returns the decorator that declares a loss: compiled, checked, documented, and known by its name.

    Its signature says the rest: arguments that must be given are rows (with `labels`, a batch; a third one is class
    weights), those with a default are traced numbers, and keywords are options; see `_checks.entry`. The shared
    keywords are `where`, `reduce_fn`, `axis_name`, `has_aux` and, of batches, `block_size` and `precision`; what the
    docstring says of them itself stands, the rest is put in.

    Args:
        term: For what it has a term, in words, as `docs/losses/index.md` says it.
        also: Other words for that, by the option that makes them true.
        sees: What its rows are.
        trained: Which of its numbers are trained along with the encoder.
        anchors: What its terms are of, if it has class weights.
        centers: How many centres of each class to draw, likewise.
        angles: Which of its numbers are angles, in radians.
        called: What else people call it.

    Returns:
        A decorator; the function it returns is what users call.
    """

    def declare(function: Callable[_Args, Any]) -> LossFunction[_Args]:
        function.__doc__ = documented(function)
        name, signature = function.__name__, inspect.signature(function)
        if lacking := [word for word in SHARED[:4] if word not in signature.parameters]:
            raise TypeError(f"{name} lacks keywords that every loss takes: {', '.join(lacking)}")
        if name in LOSSES and LOSSES[name].function.__module__ != function.__module__:
            raise ValueError(f"there is a loss {name} already, in {LOSSES[name].function.__module__}")
        public: Any = _checks.entry(_sound(function), _of_others, angles)
        public.__signature__ = _as_called(signature)
        found = LOSSES[name] = Loss(name, public, term, also, sees, trained, anchors, centers, angles, called)
        public.row_arguments = [name for name in _checks.rows_of(found.signature) if name != found.class_weights]
        public.class_arguments = [found.class_weights] if found.class_weights else []
        return cast(LossFunction[_Args], public)

    return declare


def _of_others(word: str) -> str:
    """Returns which losses have an argument of a name that another has not."""
    have = [one.name for one in LOSSES.values() if word in one.signature.parameters]
    return f"; {', '.join(have[:4])}{' and others' if len(have) > 4 else ''} have it" if have else ""


def _sound(function: Callable[_Args, Any]) -> Callable[_Args, Any]:
    """Returns a loss that is NaN, and has no gradient but NaN, if one of its numbers is: no hinge swallows it."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: _Args.args, **kwargs: _Args.kwargs) -> Any:
        found = function(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments
        numbers = [jnp.where(jnp.isinf(given[name]), 0, given[name]) for name in _checks.numbers_of(signature)]
        if not numbers:
            return found
        loss, *stats = found if kwargs["has_aux"] else (found,)
        return (numerics.poison(loss, *numbers), *stats) if stats else numerics.poison(loss, *numbers)

    return call


def _as_called(signature: inspect.Signature) -> inspect.Signature:
    """Returns the signature of a loss with either value of `has_aux`, for `help`; types have overloads instead."""
    has_aux = signature.parameters["has_aux"].replace(annotation=bool)
    parameters = (has_aux if one.name == "has_aux" else one for one in signature.parameters.values())
    return signature.replace(parameters=[*parameters], return_annotation="jax.Array | tuple[jax.Array, Stats]")


def named() -> dict[str, Loss]:
    """Returns every loss and variant by its name."""
    return {one.name: one for base in LOSSES.values() for one in (base, *base.variants)}


def trainable() -> dict[str, Loss]:
    """Returns the losses that an encoder can be trained with, not those of given pairs, by their names in commands."""
    return {one.command: one for one in named().values() if one.rows != "given"}


def find(name: str) -> Loss:
    """Returns a loss by its name, with hyphens or underscores.

    Args:
        name: Such as "semi_hard", "semi-hard", or of a variant, "semi-hard-all".

    Raises:
        ValueError: There is none; the message names the nearest.

    Example:
        >>> find("ge2e-contrast").fixed
        {'method': 'contrast'}
    """
    known = named()
    _checks.word("a loss", name, such_as=getattr(name, "__name__", "semi_hard"))
    if name.replace("-", "_") not in known:
        commands = [one.command for one in known.values()]
        meant = [one.command for one in LOSSES.values() if name.lower().replace("_", "-") in one.called]
        hint = f"; did you mean {meant[0]}?" if meant else _checks.nearest(name, commands)
        raise ValueError(f"unknown loss {name!r}{hint} (known: {', '.join(commands)})")
    return known[name.replace("-", "_")]


def find_trainable(name: str) -> Loss:
    """Returns a loss that an encoder can be trained with, by its name; see `find`.

    Raises:
        ValueError: There is none, or it is a loss of given rows.
    """
    loss = find(name)
    if loss.rows == "given":
        raise ValueError(f"{name} is a loss of given rows, and no batch has them")
    return loss


def check_sum(losses: Sequence[Loss]) -> None:
    """Raises a `ValueError` if losses do not see the same rows, and so cannot be summed.

    Args:
        losses: The losses.
    """
    words = {"batch": "all rows of a batch", "thirds": "anchors, positives and negatives"}
    for kind in ("sees", "rows"):
        takes = {getattr(loss, kind): loss.command for loss in losses}
        if len(takes) > 1:
            (one, first), (other, second), *_ = takes.items()
            seen = f"{first} takes {words.get(one, one)}, {second} takes {words.get(other, other)}"
            raise ValueError(f"{seen}: they cannot be summed")

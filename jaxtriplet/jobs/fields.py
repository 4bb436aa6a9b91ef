"""The fields of nested dataclasses by flat names: what files, the command line and Python call the numbers of a job.

A field is `Annotated[int, described("Turns.", ge=1)] = 9`, or `Annotated[int, described("...")] | None = None`.
"""

import dataclasses
import operator
import pkgutil
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from jaxtriplet import _checks


def described(
    words: str,
    *,
    choices: Any = None,
    hints: Any = None,
    only: str | None = None,
    needs: str | None = None,
    option: bool = True,
    **bounds: Any,
) -> msgspec.Meta:
    """Returns the metadata of a field.

    Args:
        words: What it is, and why it is so: a sentence for the command line's help.
        choices: The words that it can be, or where these are, as `pkgutil.resolve_name` reads it (an iterable, or a
            function that returns one), to be imported when they are needed.
        hints: Words of which it can be made up, likewise.
        only: The one source of data that has a use for it.
        needs: The field, by its flat name, that must be set for this one to be of use: neither 0 nor "none".
        option: Whether the command line has an option for it.
        **bounds: As `msgspec.Meta` takes them: `ge`, `le`, `gt`, `lt`.
    """
    extra = {"choices": choices, "hints": hints, "only": only, "needs": needs, "option": option}
    return msgspec.Meta(description=words, extra=extra, **bounds)


class Field(NamedTuple):
    """A number or word of a config."""

    name: str
    """Unique among all sections: the field's own name, or its section's if it is called `name`."""
    path: str
    """The section that it lies in, if any, and its own name: "training.steps"."""
    kind: type
    """What it is, if it is not None: int, float or str."""
    meta: msgspec.Meta

    @property
    def extra(self) -> Mapping[str, Any]:
        """What its metadata says beyond bounds and words."""
        return self.meta.extra or {}

    def words(self, use: Literal["choices", "hints"]) -> tuple[str, ...]:
        """Returns the words that it can be, or can be made up of; none if it is free."""
        words: Any = self.extra.get(use) or ()
        if isinstance(words, str):
            words = pkgutil.resolve_name(words)
        return tuple(words() if callable(words) else words)

    def of(self, config: Any) -> Any:
        """Returns its value in a config."""
        return operator.attrgetter(self.path)(config)


def fields_of(config: Any, section: str = "") -> dict[str, Field]:
    """Returns the fields of a dataclass and of those in it, by their flat names.

    Args:
        config: The dataclass.
        section: The name of the field that it is the section of, in the outer one.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Plan:
        ...     rounds: typing.Annotated[int, described("Turns.", ge=1)] = 9
        >>> fields_of(Plan)["rounds"].of(Plan())
        9
    """
    found, hints = dict[str, Field](), typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        hint, path = hints[field.name], f"{section}.{field.name}".lstrip(".")
        if dataclasses.is_dataclass(hint):
            found |= fields_of(hint, path)
            continue
        # `Annotated[int, Meta(...)] | None` has its metadata inside.
        kind, meta = typing.get_args(hint if hasattr(hint, "__metadata__") else typing.get_args(hint)[0])
        name = section if field.name == "name" else field.name
        found[name] = Field(name, path, kind, meta)
    return found


def elsewhere(owner: str, name: str, take_fn: Callable[[Any], Any] = lambda found: found) -> Any:
    """Returns a field whose default has its home in another module, which is imported when it is needed.

    Args:
        owner: What holds the default, as `pkgutil.resolve_name` reads it.
        name: The default's name there.
        take_fn: From what is found there to the default, such as `min` of several numbers.

    Example:
        >>> elsewhere("math", "pi").default_factory()
        3.141592653589793
    """
    return dataclasses.field(default_factory=lambda: take_fn(getattr(pkgutil.resolve_name(owner), name)))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values in their sections.

    Args:
        values: The values, by the paths of their fields.

    Example:
        >>> nested({"recipe": "best", "training.steps": 3})
        {'recipe': 'best', 'training': {'steps': 3}}
    """
    whole = dict[str, Any]()
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        (whole.setdefault(section, {}) if section else whole)[name] = value
    return whole


def build(config: type, values: Mapping[str, Any]) -> Any:
    """Returns a config of values by flat names; what is not among them is as usual.

    Args:
        config: The dataclass.
        values: The values.

    Raises:
        ValueError: One is unknown, of another type, out of its bounds, or not among its words.

    Example:
        >>> from jaxtriplet.jobs.config import Config
        >>> build(Config, {"stepz": 3})
        Traceback (most recent call last):
        ValueError: unknown field `stepz`; did you mean steps?
    """
    fields, placed = fields_of(config), dict[str, Any]()
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"unknown field `{name}`{_checks.nearest(name, fields)}")
        if isinstance(value, float):
            _checks.finite(f"`{name}`", value)
        placed[fields[name].path] = value
    try:
        built: Any = msgspec.convert(nested(placed), config)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        name = next(field.name for field in fields.values() if field.path == path.rstrip("`"))
        words = words.replace("`", "").replace("Expected", "must be").replace("null", "None")
        raise ValueError(f"`{name}` {words}") from None
    for name, value in values.items():
        if known := fields[name].words("choices"):
            _checks.option(f"`{name}`", value, known)
    return built

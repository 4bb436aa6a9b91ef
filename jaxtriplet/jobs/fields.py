"""The fields of nested dataclasses by flat names: what files, the command line and Python call the numbers of a job.

A field is `Annotated[int, described("Turns.", ge=1)] = 9`, or `Annotated[int, described("...")] | None = None`.
"""

import dataclasses
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from jaxtriplet import _checks


def described(
    words: str,
    *,
    choices: str | Iterable[str] | None = None,
    hints: str | Iterable[str] | None = None,
    only: str | None = None,
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
        option: Whether the command line has an option for it.
        **bounds: As `msgspec.Meta` takes them: `ge`, `le`, `gt`, `lt`.
    """
    return msgspec.Meta(
        description=words, extra={"choices": choices, "hints": hints, "only": only, "option": option}, **bounds
    )


class Field(NamedTuple):
    """A number or word of a config."""

    name: str
    """Unique among all sections: the field's own name, or its section's if it is called `name`."""
    path: tuple[str, ...]
    """The sections that it lies in, and its own name."""
    kind: type
    """What it is, if it is not None: int, float or str."""
    meta: msgspec.Meta
    default_fn: Callable[[], Any]
    """From nothing to its default."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """What its metadata says beyond bounds and words."""
        return self.meta.extra or {}

    def words(self, use: Literal["choices", "hints"]) -> tuple[str, ...] | None:
        """Returns the words that it can be, or can be made up of; None if it is free."""
        words: Any = self.extra.get(use)
        if isinstance(words, str):
            words = pkgutil.resolve_name(words)
        return None if words is None else tuple(words() if callable(words) else words)

    def of(self, config: Any) -> Any:
        """Returns its value in a config."""
        for part in self.path:
            config = getattr(config, part)
        return config


def fields_of(config: type) -> dict[str, Field]:
    """Returns the fields of a dataclass and of those in it, by their flat names.

    Args:
        config: The dataclass.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Plan:
        ...     rounds: typing.Annotated[int, described("Turns.", ge=1)] = 9
        >>> fields_of(Plan)["rounds"].default_fn()
        9
    """
    return {field.name: field for field in _walk(config, ())}


def _walk(config: type, above: tuple[str, ...]) -> Iterator[Field]:
    hints = typing.get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        hint, path = hints[field.name], (*above, field.name)
        if dataclasses.is_dataclass(hint):
            yield from _walk(typing.cast(type, hint), path)
            continue
        # `Annotated[int, Meta(...)] | None` has its metadata inside.
        parts = next((part for part in (hint, *typing.get_args(hint)) if hasattr(part, "__metadata__")), None)
        kind, meta = typing.get_args(parts)[:2] if parts else (hint, msgspec.Meta())
        default = field.default
        default_fn = (lambda value=default: value) if default is not dataclasses.MISSING else field.default_factory
        yield Field(path[-2] if field.name == "name" else field.name, path, kind, meta, typing.cast(Any, default_fn))


def elsewhere(owner: str, name: str, item: int | None = None) -> Any:
    """Returns a field whose default has its home in another module, which is imported when it is needed.

    Args:
        owner: What holds the default, as `pkgutil.resolve_name` reads it.
        name: The default's name there.
        item: Which of several numbers it is; None for the one.

    Example:
        >>> elsewhere("math", "pi").default_factory()
        3.141592653589793
    """

    def default() -> Any:
        found = getattr(pkgutil.resolve_name(owner), name)
        return found if item is None else found[item]

    return dataclasses.field(default_factory=default)


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
    fields, nested = fields_of(config), dict[str, Any]()
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"unknown field `{name}`{_checks.nearest(name, fields)}")
        *sections, last = fields[name].path
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    try:
        built: Any = msgspec.convert(nested, config)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$.")
        name = next((one.name for one in fields.values() if ".".join(one.path) == path.rstrip("`")), path)
        words = words.replace("`", "").replace("Expected", "must be").replace("null", "None")
        raise ValueError(f"`{name}` {words}") from None
    for field in fields.values():
        if field.name in values and (known := field.words("choices")) is not None:
            _checks.option(f"`{field.name}`", field.of(built), known)
    return built

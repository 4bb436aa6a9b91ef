"""Names and values of settings in words, as the pages show them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_WORDS = {"backend": "back-end", "dim": "dimension", "snr": "SNR", "dcf": "DCF", "num": "number of"}
_NAMES = {"as_norm": "AS-norm"}
_PREFIXES = {"fine_tuning": "fine_tune_"}  # and of all other sections, their own name


class Told(NamedTuple):
    """A setting that whoever hands it over has put into words.

    Attributes:
        value: What it is.
        meaning: What it does, a sentence or "".
    """

    value: str
    meaning: str = ""


def name_in_words(name: str) -> str:
    """Return the name of a setting or figure in words; what is no such name is returned as it is.

    Args:
        name: The name.

    >>> name_in_words("backend_layer"), name_in_words("rates.first"), name_in_words("My own: x_1")
    ('back-end layer', 'rates, first', 'My own: x_1')
    """
    if name in _NAMES:
        return _NAMES[name]
    if not _KEY.fullmatch(name):
        return name
    return ", ".join(" ".join(_WORDS.get(word, word) for word in part.split("_")) for part in name.split("."))


def in_words(value: Any) -> str:
    """Return a value as it stands on a page: without quotes, brackets, and words of programming languages.

    Args:
        value: The value.

    >>> in_words(None), in_words(True), in_words(1e-5), in_words((0.9, 1)), in_words({"a_b": None})
    ('not set', 'yes', '0.00001', '0.9, 1', 'a b: not set')
    """
    match value:
        case None:
            return "not set"
        case bool() | np.bool_():
            return "yes" if value else "no"
        case float() | np.floating() if not np.isfinite(value):
            return "not a number" if np.isnan(value) else "without bound"
        case float() | np.floating():
            return np.format_float_positional(value, trim="-")
        case str():
            return value
        case Mapping():
            return ", ".join(f"{name_in_words(str(name))}: {in_words(one)}" for name, one in value.items()) or "none"
        case Iterable():
            return ", ".join(map(in_words, value)) or "none"
    return str(value)


def sections(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Told]]]]:
    """Return settings in words, those of each mapping inside in a section of their own.

    Args:
        settings: The settings; mappings inside may hold others.

    Returns:
        Headings, "" for what lies outside of all sections, each with names and values.

    >>> found = sections({"steps": 9, "backend": {"backend_each": 2}})
    >>> [(heading, [name for name, _ in rows]) for heading, rows in found]
    [('', ['steps']), ('back-end', ['each'])]
    """
    outside = [(name_in_words(name), _told(value)) for name, value in settings.items() if not _is_section(value)]
    found = [("", outside)] if outside else []
    for section, inside in settings.items():
        if _is_section(inside):
            prefix = _PREFIXES.get(section, f"{section}_")
            rows = [(name_in_words(name.removeprefix(prefix)), value) for name, value in _flat(inside)]
            found.append((name_in_words(section), rows))
    return found


def _flat(settings: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Told]]:
    for name, value in settings.items():
        if _is_section(value):
            yield from _flat(value, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", _told(value)


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _told(value: Any) -> Told:
    return value if isinstance(value, Told) else Told(in_words(value))

"""Options of the command line made of the fields of configs."""

import dataclasses
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from jaxtriplet.jobs.recipes import RECIPES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_TYPES = {int: click.IntRange, float: click.FloatRange}


class Number(click.Option):
    """An option for a field of a config, with the title under which help shows it."""

    def __init__(self, *declarations: Any, section: str = "Options", **settings: Any) -> None:
        """Remembers the title."""
        super().__init__(*declarations, **settings)
        self.section = section


class Sections(click.Command):
    """A command whose help shows options under titles."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if record := option.get_help_record(ctx):
                sections.setdefault(getattr(option, "section", "Options"), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def options_of(config: type) -> Decorator:
    """Returns a decorator that gives a command an option for each number of a config."""
    return _with_options(_option(config, field) for field in dataclasses.fields(config))


def options_of_both(first: type, second: type) -> Decorator:
    """Returns a decorator that gives a command an option for each number of two configs, None where it is not given."""
    names = [{field.name for field in dataclasses.fields(config)} for config in (first, second)]
    both = names[0] & names[1]
    shared, alone = "[default: {}; with --data that of the recipe]", "[default: {}]"
    set_by_recipes = {name for numbers in RECIPES.values() for name in numbers}
    options = []
    for title, config, chosen, default in (
        ("Numbers", second, both, shared),
        ("Numbers, with --data alone", first, names[0] - both, alone),
        ("Numbers, without --data alone", second, names[1] - both, alone),
    ):
        for field in dataclasses.fields(config):
            if field.name in chosen:
                words = field.metadata["why"]
                if field.default is not None:
                    by_recipe = config is first and field.name in set_by_recipes
                    words += "  " + ("[default: that of the recipe, or {}]" if by_recipe else default).format(
                        field.default
                    )
                options.append(_option(config, field, cls=Number, section=title, default=None, help=words))
    return _with_options(options)


def belonging(numbers: Mapping[str, Any], config: type, when: str) -> dict[str, Any]:
    """Returns the numbers, if all of them are fields of a config.

    Raises:
        ValueError: One is not; `when` says when the config is used.
    """
    known = {field.name for field in dataclasses.fields(config)}
    if strangers := [f"--{name.replace('_', '-')}" for name in numbers if name not in known]:
        raise ValueError(f"{', '.join(strangers)}: of no use {when}")
    return dict(numbers)


def recipes_in_words() -> str:
    """Returns what each recipe sets."""
    lines = [
        f"  {name}: {', '.join(f'{key} {value}' for key, value in numbers.items()) or 'the defaults above'}"
        for name, numbers in RECIPES.items()
    ]
    return "\n\n".join(["Recipes for recordings; each loss and encoder can be had with any of them:", *lines])


def _option(config: type, field: "dataclasses.Field[Any]", **settings: Any) -> Decorator:
    kind = _type(typing.get_type_hints(config)[field.name], field.metadata)
    usual = {"default": field.default, "show_default": True, "help": field.metadata["why"]}
    if "default" in settings:
        usual["show_default"] = False
    return click.option(f"--{field.name.replace('_', '-')}", type=kind, **{**usual, **settings})


def _with_options(options: Iterable[Decorator]) -> Decorator:
    options = list(options)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _type(hint: Any, bounds: Mapping[str, Any]) -> Any:
    kind = next((one for one in typing.get_args(hint) if one is not type(None)), hint)
    return str if kind is str else _TYPES[kind](bounds["least"], bounds["most"])

"""One configuration of everything that is trained: nested sections, which files hold, and flat names of all fields.

    config = Config.of_recipe("best", steps=800)  # a recipe is a set of values
    config = Config.read("runs/1/config.json").replace(margin=0.3)

The command line has an option for each field. `fields.py` says what their metadata may hold.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from jaxtriplet import _checks, _files
from jaxtriplet.jobs.fields import build, described, fields_of, nested
from jaxtriplet.jobs.objective import NUMBERS, has_hinge, losses_of, takes
from jaxtriplet.jobs.recipes import OF_LOSS, RECIPES
from jaxtriplet.jobs.sections import Augmentation, Data, Encoder, Judging, Loss, Optimizer, Training

FORMAT = 3
"""Of config.json and the run beside it; those of 2 had no checksums, the first ones were flat and had no number."""
READABLE = (2, 3)
"""The numbers that this version reads."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What a run is made with.

    Example:
        >>> config = Config.of_recipe("ge2e", steps=10)
        >>> config.optimizer.learning_rate, config.training.steps, config.flat()["loss"]
        (0.01, 10, 'ge2e')
    """

    recipe: Annotated[
        str, described("Named settings, which other options change; see the list below.", choices=RECIPES)
    ] = "best"
    data: Data = dataclasses.field(default_factory=Data)
    encoder: Encoder = dataclasses.field(default_factory=Encoder)
    loss: Loss = dataclasses.field(default_factory=Loss)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    training: Training = dataclasses.field(default_factory=Training)
    judging: Judging = dataclasses.field(default_factory=Judging)

    @property
    def num_outputs(self) -> int | None:
        """How many logits the loss sees; None if it sees embeddings."""
        return self.encoder.outputs if losses_of(self.loss.name)[0].sees == "logits" else None

    @property
    def num_rows(self) -> int:
        """How many rows a batch has: P x K, or the most of these that are in thirds."""
        rows = self.data.speakers * self.data.utterances
        return rows // 3 * 3 if self.loss.in_thirds else rows

    @classmethod
    def of_recipe(cls, recipe: str, **numbers: Any) -> Self:
        """Returns the settings of a recipe.

        Args:
            recipe: Its name.
            **numbers: What is to be otherwise, by flat names.

        Raises:
            ValueError: There is no such recipe, or a number does not fit.
        """
        _checks.option("`recipe`", recipe, RECIPES)
        given = {**RECIPES[recipe], "recipe": recipe}
        chosen, loss = OF_LOSS.get(recipe, {}), numbers.get("loss", given.get("loss", Loss().name))
        values = _for_loss(given, loss)
        for one in reversed(losses_of(loss)):
            values |= chosen.get(one.command, {})
        return cls._made(values, numbers)

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Reads the config.json of a run, of earlier versions too.

        Args:
            path: The file.

        Raises:
            ValueError: It is no config, or one of a newer version; a field is unknown, or does not fit.
        """
        return cls.read_with_format(path)[0]

    @classmethod
    def read_with_format(cls, path: Path | str) -> tuple[Self, int]:
        """Reads the config.json of a run, and returns the number of its format too: 1 for what had none."""
        try:
            content = _files.read_object(Path(path))
            if "format" not in content:
                return cls._of_0_1(content), 1
            if (found := content.pop("format")) not in READABLE or isinstance(found, bool | float):
                known = f"{' and '.join(map(str, READABLE))} and what version 0.1 wrote"
                raise ValueError(f"its format is {found!r}, and this version knows {known}")
            return cls._of_nested(content), found
        except ValueError as error:
            reason = str(error).replace("`", "'")  # what a file holds was no argument of anybody's
            raise ValueError(f"{path} is no config of a run that this version reads: {reason}") from None

    @classmethod
    def _of_nested(cls, content: dict[str, Any]) -> Self:
        names, values = {field.path: field.name for field in fields_of(cls).values()}, dict[str, Any]()
        for section, inside in content.items():
            if isinstance(inside, dict):
                values |= {f"{section}.{key}": value for key, value in inside.items()}
            else:
                values[section] = inside
        if unknown := [path for path in values if path not in names]:
            raise ValueError(f"unknown field `{unknown[0]}`{_checks.nearest(unknown[0], names)}")
        return cls._made({names[path]: value for path, value in values.items()}, {})

    @classmethod
    def _of_0_1(cls, content: dict[str, Any]) -> Self:
        if not {"loss", "steps"} <= content.keys():
            raise ValueError("it has neither a format nor a loss and steps")
        recipe = content.get("recipe", "japanese-vowels")
        return cls._made({**RECIPES.get(str(recipe), {}), "recipe": recipe, **content}, {})

    @classmethod
    def _made(cls, values: Mapping[str, Any], asked: Mapping[str, Any]) -> Self:
        """Returns a config that makes sense.

        Args:
            values: What is set.
            asked: What somebody asked for, in place of that.
        """
        loss = asked.get("loss", values.get("loss", Loss().name))
        parts = losses_of(loss)
        useless = {name for name in NUMBERS if not any(takes(part, name) for part in parts)}
        for name in useless:  # no loss of the sum has it, but it must be a number
            if values.get(name) is not None:
                _checks.finite(f"`{name}`", values[name])
        merged = {**_for_loss(values, loss), **dict.fromkeys(useless), **asked}
        source = merged.get("source", Data().source)
        config: Self = build(cls, merged)
        if strangers := [f"`{name}`" for name in asked if fields_of(cls)[name].extra["only"] not in (None, source)]:
            when = {"recordings": "with `data`", "japanese-vowels": "without `data`"}.get(source, f"with {source}")
            raise ValueError(f"{', '.join(strangers)}: of no use {when}")
        for name in NUMBERS:
            if name in useless and getattr(config.loss, name) is not None:
                trained = any(name in part.trained for part in parts)
                raise ValueError(f"{loss} has no {name}{' to set: it is trained along' * trained}")
        if config.loss.hinge != "relu" and not any(map(has_hinge, parts)):
            raise ValueError(f"{loss} has no `hinge` to choose")
        if config.loss.memory and not any(part.takes_memory for part in parts):
            raise ValueError(f"`memory`: {loss} takes none")
        if "preset" in asked:
            from jaxtriplet.models import PRESETS  # not before an encoder is asked for

            _checks.option("`preset`", config.encoder.preset, PRESETS[config.encoder.name])
        _ = config.data.crop_seconds, config.data.speed_factors
        return config

    def replace(self, **numbers: Any) -> Self:
        """Returns another config.

        Args:
            **numbers: What is to be otherwise, by flat names.

        Raises:
            ValueError: A number does not fit.

        Example:
            >>> Config().replace(steps=7).training.steps
            7
        """
        return self._made({name: field.of(self) for name, field in fields_of(type(self)).items()}, numbers)

    def flat(self) -> dict[str, Any]:
        """Returns what its source of data has a use for, by flat names."""
        fields, source = fields_of(type(self)).values(), self.data.source
        return {field.name: field.of(self) for field in fields if field.extra["only"] in (None, source)}

    def nested(self) -> dict[str, Any]:
        """Returns what its source of data has a use for, section by section, as config.json holds it."""
        fields = fields_of(type(self))
        return {"format": FORMAT, **nested({fields[name].path: value for name, value in self.flat().items()})}


def _for_loss(values: Mapping[str, Any], loss: str) -> dict[str, Any]:
    """Returns what is set, for another loss: without the numbers and the hinge of a loss that this one does not name.

    Args:
        values: What is set, by flat names.
        loss: The loss.
    """
    before, after = (losses_of(name) for name in (values.get("loss", Loss().name), loss))
    if before == after:
        return dict(values)
    own = {name for name in (*NUMBERS, "hinge") if any(takes(one, name) for one in before if one in after)}
    others = {name: none for name, none in {**dict.fromkeys(NUMBERS), "hinge": "relu"}.items() if name not in own}
    return {**values, **others, "loss": loss}

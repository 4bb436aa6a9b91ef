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
from jaxtriplet.jobs.objective import NUMBERS, OF_CLASSES, UNSET, losses_of, of_no_use, takers, takes, terms_of
from jaxtriplet.jobs.recipes import OF_LOSS, OF_OTHERS, RECIPES
from jaxtriplet.jobs.sections import (
    Augmentation,
    Backend,
    Data,
    Encoder,
    FineTuning,
    Judging,
    Loss,
    Optimizer,
    Training,
)

FORMAT = 3
"""Of config.json and the run beside it; those of 2 had no checksums, the first ones were flat and had no number."""
READABLE = (2, 3)
"""The numbers that this version reads."""
_OF_ANY_CLASSES = ("margin_schedule", "class_rate", "class_decay")


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
    fine_tuning: FineTuning = dataclasses.field(default_factory=FineTuning)
    backend: Backend = dataclasses.field(default_factory=Backend)
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

    @property
    def tuned_from(self) -> int | None:
        """The number of the first update that fine-tunes, from 0; None if none does."""
        return self.training.steps - self.fine_tuning.fine_tune if self.fine_tuning.fine_tune else None

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
        own = given.get("loss", Loss().name)
        chosen, loss = OF_LOSS.get(recipe, {}), numbers.get("loss", own)
        values = _for_loss(given, loss)
        if losses_of(loss) != losses_of(own):
            values |= OF_OTHERS.get(recipe, {})
        for one in reversed(losses_of(loss)):
            values |= chosen.get(one.command, {})
        for name in NUMBERS:  # which are one for all losses of a sum: if not found for all, each has its own
            if len({chosen.get(one.command, {}).get(name) for one in takers(loss, name)}) > 1:
                values[name] = None
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
        # Its other numbers are all there; what a recipe says now was not said then.
        source = {name: value for name, value in RECIPES.get(str(recipe), {}).items() if name == "source"}
        return cls._made({**source, "recipe": recipe, **content}, {})

    @classmethod
    def _made(cls, values: Mapping[str, Any], asked: Mapping[str, Any]) -> Self:
        """Returns a config that makes sense.

        Args:
            values: What is set.
            asked: What somebody asked for, in place of that.
        """
        loss = asked.get("loss", values.get("loss", Loss().name))
        useless = {name: reason for name in UNSET if (reason := of_no_use(loss, name))}
        for name in useless.keys() & {*NUMBERS}:  # no loss of the sum has it, but it must be a number
            if values.get(name) is not None:
                _checks.finite(f"`{name}`", values[name])
        merged = {**_for_loss(values, loss), **dict.fromkeys(useless.keys() & {*NUMBERS}), **asked}
        if "encoder" in asked and "preset" not in asked:
            from jaxtriplet.models import PRESETS  # not before an encoder is asked for

            # A recipe's preset may be one that its own encoder alone has.
            if merged.get("preset") not in PRESETS.get(asked["encoder"], ()):
                merged.pop("preset", None)
        source, fields = merged.get("source", Data().source), fields_of(cls)
        config: Self = build(cls, merged)
        if strangers := [f"`{name}`" for name in asked if fields[name].extra["only"] not in (None, source)]:
            when = {"recordings": "with `data`", "japanese-vowels": "without `data`"}.get(source, f"with {source}")
            raise ValueError(f"{', '.join(strangers)}: of no use {when}")
        for name, reason in useless.items():
            if fields[name].of(config) != UNSET[name]:
                raise ValueError(reason)
        for name, value in asked.items():
            switch = fields[name].extra["needs"]
            unused = (None, 0, values.get(name), fields[name].of(cls()))
            if switch and fields[switch].of(config) in (0, "none") and value not in unused:
                raise ValueError(f"`{name}`: of no use without `{switch}`")
        if "preset" in asked:
            from jaxtriplet.models import PRESETS  # likewise

            _checks.option("`preset`", config.encoder.preset, PRESETS[config.encoder.name])
        config._check_together()
        return config

    def _check_together(self) -> None:
        """Refuses what does not go together."""
        _ = self.data.crop_seconds, self.fine_tuning.crop_seconds
        speeds = self.data.speed_factors
        fitted = self.backend.speed_factors
        if fitted[0] != 1 or len({*fitted}) < len(fitted):
            given = self.backend.backend_speeds
            raise ValueError(f"`backend_speeds` must be different numbers, first 1; got {given!r}")
        if self.data.batches == "shuffled" and self.loss.in_thirds:
            reason = f"{self.loss.name} takes anchors, positives and negatives, which are drawn"
            raise ValueError(f'`batches="shuffled"`: {reason}')
        if self.loss.margin_schedule != "none" and not self.loss.margin_end:
            raise ValueError("`margin_schedule` needs `margin_end`: after how many updates is the margin whole?")
        if self.loss.margin_end < self.loss.margin_begin:
            begin, end = self.loss.margin_begin, self.loss.margin_end
            raise ValueError(f"`margin_end` must be at least `margin_begin`; got {end} and {begin}")
        for loss, _, own in terms_of(self.loss.name):
            margins = [self.loss.margin if own is None else own] if takes(loss, "margin") else []
            margins += [self.fine_tuning.fine_tune_margin] if takes(loss, "fine_tune_margin") else []
            for margin in margins:
                loss.check({} if margin is None else {"margin": margin})
        if self.tuned_from is not None:
            if self.tuned_from < 1:
                raise ValueError(f"`fine_tune` must be below `steps`, {self.training.steps}")
            if 1 not in speeds:
                raise ValueError(f"`fine_tune` is at speed 1, which is not among `speeds`, {self.data.speeds}")

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
    """Returns what is set, for another loss: without what belongs to losses that this one does not name.

    A number stays if all losses that will take it had it before; how class weights are trained stays while there are
    any, and rows are shuffled for losses with class weights alone.

    Args:
        values: What is set, by flat names.
        loss: The loss.
    """
    before, after = (losses_of(name) for name in (values.get("loss", Loss().name), loss))
    if before == after:
        return {**values, "loss": loss}
    others = {"loss": loss}
    for name in (*NUMBERS, "hinge", *OF_CLASSES):
        having = takers(loss, name)
        if not having or not (name in _OF_ANY_CLASSES or all(one in before for one in having)):
            others[name] = UNSET[name]
    if not all(one.class_weights for one in after):
        others["batches"] = Data().batches
    return {**values, **others}

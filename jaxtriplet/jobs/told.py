"""The settings of jobs in words, for their pages: what was of use, and what stood for what was not set."""

import re
from collections.abc import Mapping
from typing import Any

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fields import Field, fields_of, nested
from jaxtriplet.jobs.objective import UNSET, of_no_use
from jaxtriplet.pages.wording import Told, in_words

_OF_OPTIMIZER = {
    "adamw": {"warmup", "weight_decay"},
    "sgd": {"halve_every", "projection_scale", "loss_scale"},
}
_SWITCHES = {"equalizer": "channel_share", "lowest_snr": "noise_share"}


def flat_words(config: Config) -> dict[str, Told]:
    """Returns the settings that a run had a use for, by flat names.

    Args:
        config: The numbers of the run.

    Example:
        >>> found = flat_words(Config.of_recipe("ge2e"))
        >>> found["encoder"].value, found["embedding_dim"].value, "margin" in found, "backend_layer" in found
        ('lstm', "the preset's", False, False)
    """
    values = config.flat()
    fields = fields_of(Config)
    return {name: _told(fields[name], value) for name, value in values.items() if _is_of_use(config, fields, name)}


def section_words(config: Config) -> dict[str, Any]:
    """Returns the same, section by section.

    Args:
        config: The numbers of the run.
    """
    fields = fields_of(Config)
    return nested({fields[name].path: told for name, told in flat_words(config).items()})


def asked_words(settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns what a job was asked for, without what it was not.

    Args:
        settings: The settings, by their names.

    Example:
        >>> asked_words({"run": "runs/mine", "cohort": None, "as_norm": False, "threshold": 0.0})
        {'run': 'runs/mine', 'threshold': '0'}
    """
    return {name: in_words(value) for name, value in settings.items() if value is not None and value is not False}


def _is_of_use(config: Config, fields: Mapping[str, Field], name: str) -> bool:
    switch = fields[name].extra["needs"] or _SWITCHES.get(name)
    if switch and fields[switch].of(config) in (0, "none"):
        return False
    if name == "outputs":
        return config.num_outputs is not None
    if any(name in names for kind, names in _OF_OPTIMIZER.items() if kind != config.optimizer.name):
        return False
    return name not in UNSET or of_no_use(config.loss.name, name) is None


def _told(field: Field, value: Any) -> Told:
    meaning = (field.meta.description or "").replace("; see the list below", "")
    pattern = r"else (.+?)\.?$" if value is None else r"\b0: (\w+)" if value == 0 else None
    if pattern and (found := re.search(pattern, meaning)):
        return Told(found[1], meaning)
    return Told(in_words(value), meaning)

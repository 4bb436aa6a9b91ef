"""The loss of a run in words: a weighted sum of losses by name, and what the registry says of those."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxtriplet.losses import registry

NUMBERS = ("margin", "temperature", "scale")
"""The numbers of losses that a config may set."""
OF_CLASSES: Mapping[str, Any] = MappingProxyType(
    {"centers": None, "margin_schedule": "none", "class_rate": 1.0, "class_decay": None, "fine_tune_margin": None}
)
"""What is of use to losses with class weights alone, and what stands where there are none."""
UNSET: Mapping[str, Any] = MappingProxyType({**dict.fromkeys(NUMBERS), "hinge": "relu", "memory": 0, **OF_CLASSES})
"""What only some losses have a use for, and what stands where it is not set."""


def parse_loss(text: str) -> dict[str, float]:
    """Reads a weighted sum of losses, such as "semi-hard+0.1*ge2e".

    Args:
        text: Terms `NAME` or `WEIGHT*NAME`, joined by "+"; spaces do not matter.

    Returns:
        The weight of each loss, by its name on the command line.

    Raises:
        ValueError: A loss is unknown or named twice, a weight is not a number above 0, or the losses do not see the
            same: one takes logits and another embeddings, or one rows in thirds and another a whole batch.

    Example:
        >>> parse_loss("semi-hard + 0.1*ge2e")
        {'semi-hard': 1.0, 'ge2e': 0.1}
    """
    if not isinstance(text, str):
        raise ValueError(f"`loss` must be text, such as 'semi-hard+0.1*ge2e'; got {text!r}")
    weights: dict[str, float] = {}
    for term in text.split("+"):
        factor, star, name = (part.strip() for part in term.rpartition("*"))
        if not name:
            raise ValueError(f"{text!r} lacks a loss; known: {', '.join(registry.trainable())}")
        loss = registry.find_trainable(name)
        if loss.command in weights:
            raise ValueError(f"{text!r} names {loss.command} twice")
        says = f"the weight {factor!r} in {text!r} is not a number above 0"
        weights[loss.command] = positive(factor, says) if star else 1.0
    registry.check_sum([registry.find(name) for name in weights])
    return weights


def positive(word: str, says: str) -> float:
    """Returns the number that a word is.

    Args:
        word: The word.
        says: The error, if it is no number above 0.
    """
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(says)
    return number


def losses_of(text: str) -> list[registry.Loss]:
    """Returns the losses of a weighted sum, in its order; see `parse_loss`."""
    return [registry.find(name) for name in parse_loss(text)]


def takes(loss: registry.Loss, name: str) -> bool:
    """Returns whether a loss has a use for a number, or what else belongs to losses: not for one that is trained along.

    Args:
        loss: The loss.
        name: One of `UNSET`.

    Example:
        >>> [takes(loss, "scale") for loss in losses_of("circle+ge2e+batch-hard")]
        [True, False, False]
    """
    if name == "hinge":
        return has_hinge(loss)
    if name == "memory":
        return loss.takes_memory
    if name in OF_CLASSES:
        return loss.class_weights is not None and ("margin" not in name or takes(loss, "margin"))
    return name in loss.numbers and name not in loss.trained


def of_no_use(text: str, name: str) -> str | None:
    """Returns the reason why no loss of a sum has a use for what is set; None if one has.

    Args:
        text: The weighted sum.
        name: One of `UNSET`.

    Example:
        >>> of_no_use("ge2e+semi-hard", "scale"), of_no_use("semi-hard", "centers"), of_no_use("semi-hard", "margin")
        ('ge2e+semi-hard has no scale to set: it is trained along', '`centers`: semi-hard has no class weights', None)
    """
    parts = losses_of(text)
    if any(takes(part, name) for part in parts):
        return None
    if name in NUMBERS:
        return f"{text} has no {name}{' to set: it is trained along' * any(name in part.trained for part in parts)}"
    others = {"hinge": f"{text} has no `hinge` to choose", "memory": f"`memory`: {text} takes none"}
    has_classes = any(part.class_weights for part in parts)
    return others.get(name) or f"`{name}`: {text} has no class weights{' with a margin' * has_classes}"


def has_hinge(loss: registry.Loss) -> bool:
    """Returns whether the hinge of a loss, of distances, can be another.

    Example:
        >>> [has_hinge(loss) for loss in losses_of("batch-hard+semi-hard")]
        [True, False]
    """
    return "hinge_fn" in loss.options and loss.sees == "embeddings"


def counts_wrong(loss: registry.Loss) -> bool:
    """Returns whether `fraction_active` is the share of the rows that are nearer to another class than to their own."""
    return loss.class_weights is not None and loss.name != "proxy_anchor"

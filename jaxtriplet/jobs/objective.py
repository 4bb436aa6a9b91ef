"""The loss of a run in words: a weighted sum of losses by name, and what the registry says of those."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxtriplet.losses import registry

NUMBERS = ("margin", "temperature", "scale")
"""The numbers of losses that a config may set."""
OF_CLASSES: Mapping[str, Any] = MappingProxyType(
    {
        "centers": None,
        "class_sample": None,
        "margin_schedule": "none",
        "class_rate": 1.0,
        "class_decay": None,
        "fine_tune_margin": None,
    }
)
"""What is of use to losses with class weights alone, and what stands where there are none."""
UNSET: Mapping[str, Any] = MappingProxyType({**dict.fromkeys(NUMBERS), "hinge": "relu", "memory": 0, **OF_CLASSES})
"""What only some losses have a use for, and what stands where it is not set."""


class Term(NamedTuple):
    """A loss of a weighted sum."""

    loss: registry.Loss
    weight: float
    margin: float | None
    """Its own one; None for that of all."""


def terms_of(text: str) -> list[Term]:
    """Reads a weighted sum of losses, such as "semi-hard+0.1*ge2e".

    Args:
        text: Terms `NAME` or `WEIGHT*NAME`, each with or without a margin of its own, `NAME:MARGIN`, joined by "+";
            spaces do not matter.

    Returns:
        The terms in their order.

    Raises:
        ValueError: A loss is unknown or named twice, a weight is not a number above 0, a margin not one of at least 0
            or of a loss that has none, or the losses do not see the same: one takes logits and another embeddings, or
            one rows in thirds and another a whole batch.

    Example:
        >>> [(term.loss.name, term.weight, term.margin) for term in terms_of("semi-hard:0.6 + 0.1*ge2e")]
        [('semi_hard', 1.0, 0.6), ('ge2e', 0.1, None)]
    """
    if not isinstance(text, str):
        raise ValueError(f"`loss` must be text, such as 'semi-hard+0.1*ge2e'; got {text!r}")
    found: list[Term] = []
    for term in text.split("+"):
        factor, star, named = (part.strip() for part in term.rpartition("*"))
        name, colon, gap = (part.strip() for part in named.partition(":"))
        if not name:
            raise ValueError(f"`loss`: {text!r} lacks a loss; known: {', '.join(registry.trainable())}")
        if name[0] in "0123456789.":
            raise ValueError(f"{term.strip()!r} in {text!r}: a weight and * stand before a loss, as in 0.5*semi-hard")
        loss = registry.find_trainable(name)
        if any(loss == other.loss for other in found):
            raise ValueError(f"{text!r} names {loss.command} twice")
        if colon and not takes(loss, "margin"):
            raise ValueError(f"{loss.command} has no margin, as {text!r} says")
        weight = positive(factor, f"the weight {factor!r} in {text!r} is not a number above 0") if star else 1.0
        says = f"the margin {gap!r} in {text!r} is not a number of at least 0"
        found.append(Term(loss, weight, positive(gap, says, or_zero=True) if colon else None))
    registry.check_sum([term.loss for term in found])
    return found


def parse_loss(text: str) -> dict[str, float]:
    """Returns the weight of each loss of a weighted sum, by its name on the command line; see `terms_of`.

    Example:
        >>> parse_loss("semi-hard + 0.1*ge2e")
        {'semi-hard': 1.0, 'ge2e': 0.1}
    """
    return {term.loss.command: term.weight for term in terms_of(text)}


def positive(word: str, says: str, *, or_zero: bool = False) -> float:
    """Returns the number that a word is.

    Args:
        word: The word.
        says: The error, if it is no number above 0.
        or_zero: Whether 0 will do too.
    """
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or (number == 0 and not or_zero):
        raise ValueError(says)
    return number


def losses_of(text: str) -> list[registry.Loss]:
    """Returns the losses of a weighted sum, in its order; see `parse_loss`."""
    return [term.loss for term in terms_of(text)]


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
    if name in ("centers", "class_sample"):
        return loss.meets_classes
    if name in OF_CLASSES:
        return loss.class_weights is not None and ("margin" not in name or takes(loss, "margin"))
    return name in loss.numbers and name not in loss.trained


def takers(text: str, name: str) -> list[registry.Loss]:
    """Returns the losses of a weighted sum that have a use for what is set; see `takes`.

    Args:
        text: The weighted sum.
        name: One of `UNSET`; a loss with a margin of its own in the sum has no use for another.

    Example:
        >>> [loss.name for loss in takers("semi-hard:0.6+circle+ge2e", "margin")]
        ['circle']
    """
    terms = [term for term in terms_of(text) if name != "margin" or term.margin is None]
    return [term.loss for term in terms if takes(term.loss, name)]


def of_no_use(text: str, name: str) -> str | None:
    """Returns the reason why no loss of a sum has a use for what is set; None if one has.

    Args:
        text: The weighted sum.
        name: One of `UNSET`.

    Example:
        >>> of_no_use("ge2e+semi-hard", "scale"), of_no_use("semi-hard", "centers"), of_no_use("semi-hard", "margin")
        ('ge2e+semi-hard has no scale to set: it is trained along', '`centers`: semi-hard has no class weights', None)
    """
    if takers(text, name):
        return None
    parts = losses_of(text)
    if name == "margin" and any(takes(part, name) for part in parts):
        return f"`margin`: {text} has one for each loss"
    if name in NUMBERS:
        return f"{text} has no {name}{' to set: it is trained along' * any(name in part.trained for part in parts)}"
    others = {"hinge": f"{text} has no `hinge` to choose", "memory": f"`memory`: {text} takes none"}
    lacks = " of which a class may have several" if name in ("centers", "class_sample") else " with a margin"
    has_classes = any(part.class_weights for part in parts)
    return others.get(name) or f"`{name}`: {text} has no class weights{lacks * has_classes}"


def has_hinge(loss: registry.Loss) -> bool:
    """Returns whether the hinge of a loss, of distances, can be another.

    Example:
        >>> [has_hinge(loss) for loss in losses_of("batch-hard+semi-hard")]
        [True, False]
    """
    return "hinge_fn" in loss.options and loss.sees == "embeddings"

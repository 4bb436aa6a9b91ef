"""The loss of a run: a weighted sum of losses by name, and what the registry says of those."""

from typing import Any

import jax

from jaxtriplet import losses
from jaxtriplet.losses import registry


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
        loss = registry.find(name)
        if loss.rows == "given":
            raise ValueError(f"{name} is a loss of given rows, and no batch has them")
        if loss.command in weights:
            raise ValueError(f"{text!r} names {loss.command} twice")
        weights[loss.command] = _weight(factor, text) if star else 1.0
    for kind in ("sees", "rows"):
        takes = {getattr(registry.find(name), kind): name for name in weights}
        if len(takes) > 1:
            (one, first), (other, second), *_ = takes.items()
            raise ValueError(f"{first} takes {_WORDS[one]}, {second} takes {_WORDS[other]}: they cannot be summed")
    return weights


_WORDS = {
    "embeddings": "embeddings",
    "logits": "logits",
    "batch": "all rows of a batch",
    "thirds": "anchors, positives and negatives",
}


def _weight(factor: str, text: str) -> float:
    try:
        weight = float(factor)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ValueError(f"the weight {factor!r} in {text!r} is not a number above 0")
    return weight


def losses_of(text: str) -> list[registry.Loss]:
    """Returns the losses of a weighted sum, in its order; see `parse_loss`."""
    return [registry.find(name) for name in parse_loss(text)]


def with_margin(text: str) -> list[str]:
    """Returns the names of the losses of a sum that have a margin.

    Example:
        >>> with_margin("semi-hard+0.1*ge2e")
        ['semi-hard']
    """
    return [loss.command for loss in losses_of(text) if "margin" in loss.numbers]


def with_hinge(text: str) -> list[str]:
    """Returns the names of the losses of a sum whose hinge, of distances, can be another.

    Example:
        >>> with_hinge("batch-hard+semi-hard")
        ['batch-hard']
    """
    return [loss.command for loss in losses_of(text) if "hinge_fn" in loss.options and loss.sees == "embeddings"]


def make_loss(text: str, margin: float | None, *, hinge: str = "relu") -> losses.Weighted:
    """Returns the loss of a config.

    Args:
        text: The weighted sum.
        margin: Of every loss that has one; None for the loss's own.
        hinge: What the losses that have a choice do with it, "relu" or "softplus".

    Example:
        >>> make_loss("batch-hard+0.1*ge2e", 0.3).weights
        {'batch_hard': 1.0, 'ge2e': 0.1}
    """
    options: dict[str, dict[str, Any]] = {loss.name: {} for loss in losses_of(text)}
    for name in with_margin(text) if margin is not None else ():
        options[registry.find(name).name]["margin"] = margin
    for name in with_hinge(text) if hinge == "softplus" else ():
        options[registry.find(name).name]["hinge_fn"] = jax.nn.softplus
    return losses.weighted(parse_loss(text), **options)

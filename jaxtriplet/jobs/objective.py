"""The loss of a run in words: a weighted sum of losses by name, and what the registry says of those."""

from jaxtriplet.losses import registry

NUMBERS = ("margin", "temperature", "scale")
"""The numbers of losses that a config may set."""


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
    """Returns whether a number of a loss, or its hinge, is to be set: not one that is trained along.

    Args:
        loss: The loss.
        name: One of `NUMBERS`, or "hinge".

    Example:
        >>> [takes(loss, "scale") for loss in losses_of("circle+ge2e+batch-hard")]
        [True, False, False]
    """
    return has_hinge(loss) if name == "hinge" else name in loss.numbers and name not in loss.trained


def has_hinge(loss: registry.Loss) -> bool:
    """Returns whether the hinge of a loss, of distances, can be another.

    Example:
        >>> [has_hinge(loss) for loss in losses_of("batch-hard+semi-hard")]
        [True, False]
    """
    return "hinge_fn" in loss.options and loss.sees == "embeddings"

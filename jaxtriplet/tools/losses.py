"""The losses that the tools know: all that compare the rows of a batch, those of two views among them."""

import dataclasses

from jaxtriplet import _checks
from jaxtriplet.losses import registry


def known() -> dict[str, registry.Loss]:
    """Returns the losses by their names in commands, each also with every flag that it has.

    Losses of given pairs or triplets are left out: their cost is that of the rows.

    Example:
        >>> known()["info-nce-symmetric"].fixed
        {'symmetric': True}
        >>> "triplet" in known()
        False
    """
    found = [one for one in registry.named().values() if one.rows != "given" or of_two_views(one)]
    return {one.command: one for plain in found for one in (plain, *_flagged(plain))}


def _flagged(loss: registry.Loss) -> list[registry.Loss]:
    flags = [name for name, default in loss.options.items() if default is False]
    return [dataclasses.replace(loss, name=f"{loss.name}_{flag}", fixed={**loss.fixed, flag: True}) for flag in flags]


def of_two_views(loss: registry.Loss) -> bool:
    """Returns whether a loss is of two views [B, D] without labels, where each row meets all of the other view.

    Example:
        >>> [of_two_views(registry.find(name)) for name in ("info-nce", "triplet", "batch-hard")]
        [True, False, False]
    """
    # What compares no more than the pairs that it is given has no blocks.
    return loss.rows == "given" and "block_size" in loss.signature.parameters


def find(name: str) -> registry.Loss:
    """Returns a loss by its name, with hyphens or underscores.

    Raises:
        ValueError: There is none, or it is of given rows; the message names all that there are.
    """
    name = name.replace("_", "-")
    _checks.option("loss", name, found := known())
    return found[name]

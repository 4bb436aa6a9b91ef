"""Every number of the main job, with the reason for it beside it."""

import dataclasses
from typing import Any, Self

from jaxtriplet.speech.features import Augmentation


@dataclasses.dataclass(frozen=True)
class LossRecipe:
    """What one loss needs to train well on JapaneseVowels."""

    learning_rate: float
    margin: float | None
    """None: the loss has no margin."""


# Tried on three folds of the training utterances, one seed each: under a rate that falls to 0, these did better than a
# constant 4e-3 with margins 0.3 (1 for kl-hinge), but for ge2e and batch-hard, which were tried at these alone, and
# semi-hard, which was not tried: it has the numbers of batch-all.
LOSSES: dict[str, LossRecipe] = {
    "semi-hard": LossRecipe(learning_rate=1e-2, margin=0.6),
    "batch-all": LossRecipe(learning_rate=1e-2, margin=0.6),
    "batch-hard": LossRecipe(learning_rate=1e-2, margin=0.6),
    "ge2e": LossRecipe(learning_rate=1e-2, margin=None),
    "kl-hinge": LossRecipe(learning_rate=6e-3, margin=2.0),
    "deep-speaker": LossRecipe(learning_rate=1e-2, margin=0.7),
}


def parse_loss(text: str) -> dict[str, float]:
    """Reads a weighted sum of losses, such as "semi-hard+0.1*ge2e".

    Args:
        text: Terms `NAME` or `WEIGHT*NAME`, joined by "+"; spaces do not matter.

    Returns:
        The weight of each loss, by its name on the command line.

    Raises:
        ValueError: A loss is unknown or named twice, a weight is not a number above 0, or `kl-hinge`, which needs
            logits, is summed with losses of embeddings.

    Example:
        >>> parse_loss("semi-hard + 0.1*ge2e")
        {'semi-hard': 1.0, 'ge2e': 0.1}
    """
    weights: dict[str, float] = {}
    for term in text.split("+"):
        factor, star, name = (part.strip() for part in term.rpartition("*"))
        if name not in LOSSES:
            raise ValueError(f"unknown loss {name!r} in {text!r}; known: {', '.join(LOSSES)}, and sums of these")
        if name in weights:
            raise ValueError(f"{text!r} names {name} twice")
        weights[name] = _weight(factor, text) if star else 1.0
    if "kl-hinge" in weights and len(weights) > 1:
        raise ValueError("kl-hinge takes logits, the other losses take embeddings: they cannot be summed")
    return weights


def _weight(factor: str, text: str) -> float:
    try:
        weight = float(factor)
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ValueError(f"the weight {factor!r} in {text!r} is not a number above 0")
    return weight


def option(default: Any, why: str, *, least: float | None = None, most: float | None = None) -> Any:
    """Returns a field of a config: a number, with the words and the bounds that the command line shows for it."""
    return dataclasses.field(default=default, metadata={"why": why, "least": least, "most": most})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The numbers of one training run on JapaneseVowels; each is also an option of `jaxtriplet train`."""

    loss: str = option("batch-all", f"{', '.join(LOSSES)}, or a sum such as semi-hard+0.1*ge2e.")
    margin: float | None = option(None, "Gap to keep between speakers; else the loss's own, chosen on folds.", least=0)
    learning_rate: float | None = option(None, "Of AdamW, at first; else the loss's own, chosen on folds.", least=1e-9)
    steps: int = option(300, "Updates, over which the rate falls to 0.", least=1)
    speakers: int = option(9, "Speakers in a batch: all nine, so that no confusable pair is left out.", least=2)
    utterances: int = option(10, "Utterances of each: a third of what there is, so that batches differ.", least=2)
    seed: int = option(0, "Of everything random: the same seed gives the same run.", least=0)
    hidden: int = option(64, "Cells of each LSTM direction; 270 utterances do not feed many more.", least=1)
    embedding_dim: int = option(64, "Numbers in an embedding.", least=1)
    outputs: int = option(64, "Logits that kl-hinge compares; other losses have none.", least=2)
    dropout: float = option(0.2, "Share of cells dropped in training.", least=0, most=0.99)
    weight_decay: float = option(0.01, "AdamW's decay of weights.", least=0)
    clip_norm: float = option(3.0, "Largest norm of the gradient, as in GE2E's paper.", least=1e-9)
    average_decay: float = option(0.98, "Average of weights: what an update keeps, at most.", least=0, most=0.9999)
    noise: float = option(Augmentation.noise, "Gaussian noise on each standardised cepstrum (sd).", least=0)
    offset: float = option(Augmentation.offset, "Constant added to an utterance's cepstra (sd): its channel.", least=0)
    crop: float = option(Augmentation.crop, "Most that is cut off an utterance.", least=0, most=0.9)
    warp: float = option(Augmentation.warp, "Most by which its tempo is changed.", least=0, most=0.9)
    micro_batch: int | None = option(None, "Rows to encode at a time, to save memory; else all.", least=1)
    evaluate_every: int = option(50, "Updates between equal error rates of the training pairs.", least=1)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss."""
        return parse_loss(self.loss)

    def resolved(self) -> Self:
        """Returns the config with margin and learning rate filled in from the recipe of its first loss.

        Raises:
            ValueError: The loss is unknown, or a margin is given for one that has none.
        """
        recipes = [LOSSES[name] for name in self.weights]
        margins = [recipe.margin for recipe in recipes if recipe.margin is not None]
        if self.margin is not None and not margins:
            raise ValueError(f"{self.loss} has no margin")
        return dataclasses.replace(
            self,
            margin=margins[0] if self.margin is None and margins else self.margin,
            learning_rate=recipes[0].learning_rate if self.learning_rate is None else self.learning_rate,
        )

"""A weighted sum of losses by name, in the form that a training step takes."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet import _checks
from jaxtriplet.losses.batch_all import batch_all
from jaxtriplet.losses.batch_hard import batch_hard
from jaxtriplet.losses.ge2e import ge2e
from jaxtriplet.losses.kl_divergence import kl_hinge
from jaxtriplet.losses.paired import deep_speaker
from jaxtriplet.losses.semi_hard import semi_hard
from jaxtriplet.types import AxisName, Stats


def _deep_speaker(labels: jax.Array, embeddings: jax.Array, **options: Any) -> Any:
    del labels  # the rows are thirds: anchors, positives, negatives
    return deep_speaker(embeddings, **options)


LOSSES: dict[str, Callable[..., Any]] = {
    "semi_hard": semi_hard,
    "batch_all": batch_all,
    "batch_hard": batch_hard,
    "ge2e": ge2e,
    "kl_hinge": kl_hinge,
    "deep_speaker": _deep_speaker,
}

# The numbers of a loss that are trained along with the encoder.
TRAINED = {"ge2e": ("scale", "bias")}


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A weighted sum of losses: `loss_fn(params, labels, embeddings, *, where, axis_name) -> (loss, {name: Stats})`."""

    weights: Mapping[str, float]
    options: Mapping[str, Mapping[str, Any]]

    def init(self) -> dict[str, dict[str, jax.Array]]:
        """Returns the initial values of the losses' own trained numbers, by loss and name."""
        return {
            name: {number: jnp.asarray(self._initial(name, number), jnp.float32) for number in TRAINED[name]}
            for name in self.weights
            if name in TRAINED
        }

    def _initial(self, name: str, number: str) -> float:
        default: float = inspect.signature(LOSSES[name]).parameters[number].default
        return self.options.get(name, {}).get(number, default)

    def __call__(
        self,
        params: Mapping[str, Mapping[str, jax.Array]],
        labels: jax.Array,
        embeddings: jax.Array,
        *,
        where: jax.Array | None = None,
        axis_name: AxisName = None,
    ) -> tuple[jax.Array, dict[str, Stats]]:
        """Returns the weighted sum of the losses, and each loss's statistics.

        Args:
            params: The losses' own trained numbers, as `init` returns them.
            labels: Integers [B].
            embeddings: Floats [B, D], or logits where the losses take logits.
            where: Booleans [B]; False rows are padding.
            axis_name: Mapped axes over which the batch is spread.

        Returns:
            A scalar, and the `Stats` by loss.
        """
        total, stats = jnp.zeros(()), {}
        for name, weight in self.weights.items():
            numbers = {**self.options.get(name, {}), **params.get(name, {})}
            loss, stats[name] = LOSSES[name](
                labels, embeddings, where=where, axis_name=axis_name, has_aux=True, **numbers
            )
            total = weight * loss + total.astype(loss.dtype)
        return total, stats


def weighted(weights: Mapping[str, float], **options: Mapping[str, Any]) -> Weighted:
    r"""Builds a training step's `loss_fn` from losses by name.

    $$\sum_l w_l L_l$$

    Args:
        weights: The weight of each loss, by name: "semi_hard", "batch_all", "batch_hard", "ge2e", "kl_hinge" or
            "deep_speaker" (whose rows come in thirds: anchors, positives, negatives).
        **options: Keywords of each loss, by its name, such as `semi_hard={"margin": 0.3}`.

    Returns:
        A function `(params, labels, embeddings, *, where, axis_name) -> (loss, {name: Stats})`, whose `init()` gives
        the losses' own trained numbers (GE2E's scale and bias).

    Raises:
        ValueError: A loss is unknown, none is given, or options are given for one that is not in the sum.

    Example:
        >>> import jax.numpy as jnp
        >>> loss_fn = weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.3})
        >>> labels, embeddings = jnp.array([0, 0, 1, 1]), jnp.eye(4)
        >>> loss, stats = loss_fn(loss_fn.init(), labels, embeddings)
        >>> sorted(stats), int(stats["semi_hard"].num_valid)
        (['ge2e', 'semi_hard'], 4)
    """
    if not weights:
        raise ValueError(f"weights must name a loss: {', '.join(LOSSES)}")
    for name in weights:
        _checks.option("loss", name, LOSSES)
    for name in options:
        _checks.option("options", name, weights)
    return Weighted(dict(weights), dict(options))

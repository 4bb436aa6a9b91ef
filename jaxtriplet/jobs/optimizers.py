"""The optimizer of a run."""

from typing import Any

import optax

from jaxtriplet import models, training
from jaxtriplet.jobs.config import Config


def optimizer_of(config: Config) -> optax.GradientTransformation:
    """Returns the optimizer of a config, of gradients `{"encoder": ..., "loss": ...}`.

    Args:
        config: The numbers.

    Returns:
        AdamW under a rate that rises, then falls to 0; or plain gradient descent under one that is halved in steps,
        with clipped gradients of which some parts are then scaled.

    Example:
        >>> optimizer_of(Config.of_recipe("ge2e")).init({"encoder": {}, "loss": {}}) is not None
        True
    """
    numbers, steps = config.optimizer, config.training.steps
    if numbers.name == "adamw":
        warmup = min(numbers.warmup, steps // 2)
        rate = optax.warmup_cosine_decay_schedule(
            numbers.learning_rate / (warmup + 1), numbers.learning_rate, warmup, steps
        )
        return training.make_optimizer(rate, weight_decay=numbers.weight_decay, clip_norm=numbers.clip_norm)
    halved = optax.exponential_decay(numbers.learning_rate, numbers.halve_every, 0.5, staircase=True)
    scales = {
        "scalars": numbers.loss_scale,
        "projection": numbers.projection_scale,
        "encoder": 1.0,
        "class_weights": 1.0,
    }
    return optax.chain(
        optax.clip_by_global_norm(numbers.clip_norm),
        optax.multi_transform(
            {part: optax.chain(optax.scale(scale), optax.sgd(halved)) for part, scale in scales.items()}, _kinds
        ),
    )


def _kinds(params: Any) -> Any:
    return training.kinds(params) | {"encoder": models.kinds(params["encoder"])}

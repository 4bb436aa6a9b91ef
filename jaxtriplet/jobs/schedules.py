"""What follows the number of the update: the learning rate, and the margin of losses with class weights."""

from typing import Any

import optax

from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.objective import Term
from jaxtriplet.training import margin_schedule


def rate_of(config: Config) -> optax.Schedule:
    """Returns the learning rate by the number of the update, from 0.

    Args:
        config: The numbers.

    Returns:
        Of adamw, a rate that rises, then falls to 0 as a cosine; of sgd, one that is halved in steps. Updates that
        fine-tune begin with their own, which falls to 0 as a cosine.

    Example:
        >>> rate = rate_of(Config.of_recipe("best", learning_rate=0.01, warmup=1, steps=20, fine_tune=10))
        >>> [round(float(rate(step)), 6) for step in (0, 1, 9, 10, 15, 20)]
        [0.005, 0.01, 0.000302, 0.0001, 5e-05, 0.0]
    """
    numbers, tuned = config.optimizer, config.fine_tuning
    steps, highest = config.training.steps - tuned.fine_tune, numbers.learning_rate
    if numbers.name == "adamw":
        warmup = min(numbers.warmup, steps // 2)
        rate = optax.warmup_cosine_decay_schedule(highest / (warmup + 1), highest, warmup, steps)
    else:
        rate = optax.exponential_decay(highest, numbers.halve_every, 0.5, staircase=True)
    if config.tuned_from is None:
        return rate
    own = highest / 100 if tuned.fine_tune_rate is None else tuned.fine_tune_rate
    return optax.join_schedules([rate, optax.cosine_decay_schedule(own, tuned.fine_tune)], [config.tuned_from])


def margin_of(config: Config, term: Term) -> float | optax.Schedule | None:
    """Returns the margin that a config sets for a loss which takes one: a number, or one by the number of the update.

    Args:
        config: The numbers.
        term: One of the terms of its loss, which may have a margin of its own.

    Returns:
        The number, the schedule, or None for the loss's own number.
    """
    numbers, later = config.loss, None if config.tuned_from is None else config.fine_tuning.fine_tune_margin
    whole = numbers.margin if term.margin is None else term.margin
    if not term.loss.class_weights or (numbers.margin_schedule == "none" and later is None):
        return whole
    whole = term.loss.numbers["margin"] if whole is None else whole
    if numbers.margin_schedule == "none":
        margin = optax.constant_schedule(whole)
    else:
        kind: Any = numbers.margin_schedule
        margin = margin_schedule(whole, numbers.margin_begin, numbers.margin_end, kind)
    return (
        margin if later is None else optax.join_schedules([margin, optax.constant_schedule(later)], [config.tuned_from])
    )

"""Optimizers that tell the kinds of parameters apart."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxtriplet import _checks


def kinds(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the kind of each parameter, as `optax.multi_transform` takes it: what an optimizer tells apart.

    Args:
        params: `{"encoder": ..., "loss": ...}`, or gradients of these.

    Returns:
        "encoder"; "scalars" for the trained numbers of losses, such as GE2E's scale; "class_weights" for what has rows.

    Example:
        >>> kinds({"encoder": {}, "loss": {"ge2e": {"scale": jnp.ones(())}, "softmax": {"weights": jnp.ones((9, 4))}}})
        {'encoder': 'encoder', 'loss': {'ge2e': {'scale': 'scalars'}, 'softmax': {'weights': 'class_weights'}}}
    """
    of_loss = jax.tree.map(lambda leaf: "class_weights" if jnp.ndim(leaf) else "scalars", params["loss"])
    return {"encoder": "encoder", "loss": of_loss}


def make_optimizer(
    learning_rate: optax.ScalarOrSchedule,
    *,
    weight_decay: float = 0.01,
    clip_norm: float = 3.0,
    loss_rate: float = 1.0,
    class_rate: float = 1.0,
    class_decay: float | None = None,
) -> optax.GradientTransformation:
    r"""AdamW behind a clipped gradient; what losses train along has rates of its own, and its scalars no decay.

    Args:
        learning_rate: The step size of the encoder, or a schedule of it.
        weight_decay: The decay of the encoder's weights, a fraction of the learning rate.
        clip_norm: The largest Euclidean norm of the gradient of all parameters; GE2E's paper clips at 3.
        loss_rate: The step size of a loss's scalars, as a multiple of the encoder's (its paper scales the gradient of
            GE2E's scale and bias by 0.01, which matters to SGD; Adam's steps do not depend on that).
        class_rate: The step size of class weights, likewise.
        class_decay: The decay of class weights; None for the encoder's.

    Returns:
        A transformation of gradients `{"encoder": ..., "loss": ...}`.

    Raises:
        ValueError: A number is below 0, or not finite.

    Example:
        >>> make_optimizer(1e-3).init({"encoder": {}, "loss": {}}) is not None
        True

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    numbers = {"weight_decay": weight_decay, "clip_norm": clip_norm, "loss_rate": loss_rate, "class_rate": class_rate}
    numbers |= {} if class_decay is None else {"class_decay": class_decay}
    numbers |= {} if callable(learning_rate) else {"learning_rate": learning_rate}
    for name, number in numbers.items():
        if not isinstance(number, jax.Array):
            _checks.finite(name, number, least=0)
    of_classes = optax.adamw(learning_rate, weight_decay=weight_decay if class_decay is None else class_decay)
    parts = {
        "encoder": optax.adamw(learning_rate, weight_decay=weight_decay),
        "scalars": optax.chain(optax.adam(learning_rate), optax.scale(loss_rate)),
        "class_weights": optax.chain(of_classes, optax.scale(class_rate)),
    }
    return optax.chain(optax.clip_by_global_norm(clip_norm), optax.multi_transform(parts, kinds))

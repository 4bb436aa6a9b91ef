"""The compiled update: encoder, loss, gradient clipping and optimizer in one function, its state donated.

    state = create_state(model, loss_fn, optimizer, seed=0)
    update = make_update(loss_fn)
    state, metrics = update(state, Batch(inputs, labels, lengths))

The model is any Flax NNX module, or a plain function: of images and text as much as of speech.

>>> import jax, jax.numpy as jnp, optax
>>> from jaxtriplet import losses
>>> def apply(params, images):
...     return images.reshape(len(images), -1) @ params["kernel"]
>>> loss_fn, params = losses.weighted({"batch_hard": 1.0}), {"kernel": jnp.eye(4, 2)}
>>> state = create_state(apply, loss_fn, make_optimizer(1e-2), seed=0, params=params)
>>> images, labels = jax.random.normal(jax.random.key(0), (6, 2, 2)), jnp.array([0, 0, 1, 1, 2, 2])
>>> state, metrics = make_update(loss_fn)(state, Batch(images, labels))
>>> int(state.step), bool(metrics.loss > 0)
(1, True)

`loss_fn(params, labels, embeddings, *, where, axis_name) -> (loss, {name: Stats})` may be any function of that form;
`jaxtriplet.losses.weighted` builds them, and this module knows none.
"""

from jaxtriplet.training import metrics as metrics
from jaxtriplet.training.contract import (
    AugmentFn as AugmentFn,
    Batch as Batch,
    LossFn as LossFn,
    Metrics as Metrics,
    TrainState as TrainState,
    Update as Update,
)
from jaxtriplet.training.optimizers import kinds as kinds, make_optimizer as make_optimizer
from jaxtriplet.training.schedules import margin_schedule as margin_schedule
from jaxtriplet.training.state import create_state as create_state, trained_model as trained_model
from jaxtriplet.training.update import make_update as make_update

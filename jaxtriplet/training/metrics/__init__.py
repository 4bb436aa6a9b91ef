r"""Metrics of the embeddings of a batch, for a compiled evaluation step: jitted, masked, and global over devices.

Every valid row of all devices is a query to every other; distances are worked off in tiles, as in the losses. Of tied
candidates, the mean over all of their orders counts. A NaN in a valid row makes a metric NaN, and so does a batch in
which there is nothing to judge.

>>> import jax, jax.numpy as jnp
>>> from jaxtriplet.training import metrics
>>> labels = jnp.array([0, 0, 1, 1, 2])
>>> embeddings = jnp.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.3, 0.8], [0.5, 0.9]])
>>> @jax.jit
... def step(params, inputs, labels, where):
...     rows = inputs @ params
...     return metrics.recall_at_k(labels, rows, where=where), metrics.r_precision(labels, rows, where=where)
>>> [float(value) for value in step(jnp.eye(2), embeddings, labels, labels != 7)]
[0.75, 0.75]

Of several batches, each by itself, metrics are merged. The three functions are those of google-metrax, and a metric is
a tree of arrays that goes through `jax.jit`, `jax.lax.scan` and collectives:

>>> batches = [(labels, embeddings), (labels[::-1], embeddings)]
>>> found = metrics.RecallAtK.empty()
>>> for of_batch in batches:
...     found = found.merge(metrics.RecallAtK.from_model_output(*of_batch))
>>> float(found.compute()), int(found.count)
(0.625, 8)

Beside `make_update`, judge a batch that is held out with the averaged parameters, every so many steps:

>>> from jaxtriplet import losses
>>> from jaxtriplet.training import Batch, create_state, make_optimizer, make_update, trained_model
>>> @jax.jit
... def judged(state, batch):
...     embeddings = trained_model(state)(batch.inputs)
...     return metrics.RPrecision.from_model_output(batch.labels, embeddings, where=batch.where)
>>> loss_fn, params = losses.weighted({"batch_hard": 1.0}), {"kernel": jnp.eye(2)}
>>> model = lambda params, inputs: inputs @ params["kernel"]
>>> state, update = create_state(model, loss_fn, make_optimizer(1e-2), seed=0, params=params), make_update(loss_fn)
>>> for step in range(2):
...     state, _ = update(state, Batch(embeddings, labels))
...     if step % 2:
...         print(float(judged(state, Batch(embeddings, labels)).compute()))
0.75

Under `jax.pmap`, `jax.shard_map` or `jax.vmap` give `axis_name`: rows of all devices are compared, and every device has
the same metric. In the global view `parallel.sharded(metrics.recall_at_k, mesh)` shares the work.
"""

from jaxtriplet.training.metrics.retrieval import (
    RecallAtK as RecallAtK,
    RPrecision as RPrecision,
    r_precision as r_precision,
    recall_at_k as recall_at_k,
)
from jaxtriplet.training.metrics.verification import (
    EqualErrorRate as EqualErrorRate,
    EstimatedRate as EstimatedRate,
    equal_error_rate as equal_error_rate,
)

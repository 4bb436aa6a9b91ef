"""The losses, one file a family; all are exported by `jaxtriplet` itself.

**Many devices.** With `axis_name`, a device's rows are anchors and the rows of all devices candidates, and every device
returns the loss of the whole batch. What is left to the user is how the gradient is reduced:

- inside `jax.pmap`, or `jax.shard_map(..., check_vma=False)`: `jax.lax.pmean` the gradient of the parameters;
- inside `jax.shard_map` with `check_vma=True`, which is the default: no reduction, JAX does it;
- outside, of a loss that `jax.shard_map` returns with `out_specs=P()`: no reduction.

The gradient of **class weights that are a device's own** (`class_axis_name`) is reduced otherwise:

- outside, and inside with `check_vma=True`: not at all;
- inside without the check, and inside `jax.pmap`: divided by the number of devices along `class_axis_name`, and
  `pmean`'ed over those axes of `axis_name` that are not among these, along which devices have the same classes. What
  is taken of the gradient of all, such as its norm, needs a `psum` over the shares.

`parallel.sharded(loss, mesh, class_axis_name=...)` and `training.make_update(mesh=...)` see to it.

Under `jax.vmap(axis_name=)` take the gradient of a ring (`exchange="ring"`) inside: outside, JAX has forgotten the axis
by the time that the terms of each row (`reduce_fn=None`), or of two kinds (`contrastive`), are gone through again.

>>> import functools, jax, jax.numpy as jnp, jaxtriplet
>>> def loss(weights, labels, inputs, axis_name=None):
...     return jaxtriplet.semi_hard(labels, inputs @ weights, 0.5, axis_name=axis_name)
>>> @functools.partial(jax.pmap, axis_name="batch", in_axes=(None, 0, 0))
... def step(weights, labels, inputs):
...     value, gradient = jax.value_and_grad(loss)(weights, labels, inputs, "batch")
...     return value, jax.lax.pmean(gradient, "batch")
>>> weights, labels, inputs = jnp.eye(2), jnp.array([0, 0, 1, 1]), jnp.array([[0.0, 0], [1, 0], [1, 1], [0, 2]])
>>> devices = min(4, jax.local_device_count())
>>> value, gradient = step(weights, labels.reshape(devices, -1), inputs.reshape(devices, -1, 2))
>>> [bool(jnp.allclose(ours[0], alone)) for ours, alone in zip(
...     (value, gradient), jax.value_and_grad(loss)(weights, labels, inputs), strict=True)]
[True, True]

**Differentiation** is once, in reverse mode. **Static arguments** are the functions, words and flags: define a
`distance_fn` or `hinge_fn` once, at module level, since a new lambda compiles anew.
"""

from jaxtriplet.losses import registry as registry
from jaxtriplet.losses.batch_all import batch_all
from jaxtriplet.losses.batch_hard import batch_hard
from jaxtriplet.losses.binary_softmax import sphereface2
from jaxtriplet.losses.contrastive import contrastive
from jaxtriplet.losses.ge2e import ge2e, ge2e_similarity
from jaxtriplet.losses.in_batch_softmax import nca, nt_xent, supervised_contrastive
from jaxtriplet.losses.kl_divergence import kl_hinge, siamese_kl_hinge
from jaxtriplet.losses.margin_softmax import aam_softmax, am_softmax, normalized_softmax
from jaxtriplet.losses.matryoshka import matryoshka as matryoshka
from jaxtriplet.losses.paired import deep_speaker, triplet
from jaxtriplet.losses.prototypical import angular_prototypical, prototypical
from jaxtriplet.losses.proxies import proxy_anchor, proxy_nca, soft_triple
from jaxtriplet.losses.sampling import sample_classes as sample_classes
from jaxtriplet.losses.semi_hard import semi_hard
from jaxtriplet.losses.tuplets import lifted_structure, tuplet_margin
from jaxtriplet.losses.two_views import info_nce, sigmoid_contrastive
from jaxtriplet.losses.weighted import Weighted as Weighted, weighted as weighted
from jaxtriplet.losses.weighted_pairs import circle, multi_similarity

# The losses themselves, which are names of `jaxtriplet` too.
__all__ = [
    "aam_softmax",
    "am_softmax",
    "angular_prototypical",
    "batch_all",
    "batch_hard",
    "circle",
    "contrastive",
    "deep_speaker",
    "ge2e",
    "ge2e_similarity",
    "info_nce",
    "kl_hinge",
    "lifted_structure",
    "multi_similarity",
    "nca",
    "normalized_softmax",
    "nt_xent",
    "prototypical",
    "proxy_anchor",
    "proxy_nca",
    "semi_hard",
    "siamese_kl_hinge",
    "sigmoid_contrastive",
    "soft_triple",
    "sphereface2",
    "supervised_contrastive",
    "triplet",
    "tuplet_margin",
]

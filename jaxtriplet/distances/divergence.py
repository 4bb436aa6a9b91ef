r"""The Kullback-Leibler divergence, of distributions less what they have in common.

With a reference distribution r, $u = p - r$ and $a = \log p - \log r$ (and $b = \log q - \log r$),

$$KL(p \| q) = \sum_c p_c (a_c - b_c)
= \sum_c (p_c a_c - u_c) + \sum_c (q_c - r_c - r_c b_c) - \sum_c u_c b_c$$

Where all distributions are alike, nothing cancels in the last form: its first two sums are the divergences of p and q
from r, of terms that are not negative. In the textbook's form, $\sum p \log p - \sum p \log q$, rounding would be all
that is left. Where they are not alike, the first form is the better one: q may be next to nothing where r is not. And
where logits are far from each other's mean, so that r tells nothing of them, the textbook's is.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from jaxtriplet.distances.forms import Form, Set, mean, rounds_to_zero
from jaxtriplet.types import Precision

# Distributions are alike if their logits, or ratios, are no further than this from the reference's.
_ALIKE = 0.25
# Up to so far they are told from the reference, and beyond from nothing.
_MILD = 20.0


class Reference(NamedTuple):
    """The distribution that others are told from."""

    probabilities: jax.Array
    """[C]."""
    logits: jax.Array
    """[C]: of logits their mean; of probabilities the logarithms."""
    alike: jax.Array
    """Whether all distributions are like it, a boolean."""
    mild: jax.Array
    """Whether none is so far from it that it tells nothing, a boolean."""


class Told(NamedTuple):
    """Distributions by what tells them from the reference."""

    probabilities: jax.Array
    r"""$p$, [..., C]."""
    excess: jax.Array
    r"""$p - r$, [..., C]; if they are not alike, p."""
    logs: jax.Array
    r"""$\log p - \log r$, [..., C]; if they are not mild, $\log p$."""
    forth: jax.Array
    r"""$KL(p \| r)$, [...]; if they are not mild, $\sum p \log p$."""
    back: jax.Array
    r"""$KL(r \| p)$, [...]; if they are not alike, 0."""


@jax.custom_jvp
def _beyond_linear(t: jax.Array) -> jax.Array:
    r"""Returns $e^t - 1 - t$ of a small t, to the last digits."""
    series = jnp.ones_like(t)
    for n in range(16 if t.dtype == jnp.float64 else 9, 2, -1):
        series = 1 + series * t / n
    return t * t / 2 * series


@_beyond_linear.defjvp
def _(t: tuple[jax.Array], tangent: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return _beyond_linear(*t), jnp.expm1(*t) * tangent[0]


def _tell(p: jax.Array, excess: jax.Array, logs: jax.Array, alike: jax.Array) -> Told:
    forth = p * jnp.where(alike, _beyond_linear(jnp.where(alike, -logs, 0)), logs)
    back = jnp.where(alike, excess * logs - forth, 0)  # r (e^a - 1 - a), to the last digits too
    excess = jnp.where(alike, excess, p)
    return Told(p, excess, logs, jnp.sum(forth, axis=-1), jnp.sum(back, axis=-1))


def _of_logits(*sets: Set) -> Reference:
    logits = mean(*sets)
    farthest = [jnp.max(jnp.abs(_apart_from(logits, *one)), initial=0) for one in sets]
    return _reference(jax.nn.softmax(logits), logits, farthest)


def _reference(probabilities: jax.Array, logits: jax.Array, farthest: list[jax.Array]) -> Reference:
    reach = jnp.stack(farthest).max()
    return Reference(probabilities, logits, reach <= _ALIKE, reach <= _MILD)


def _apart_from(logits: jax.Array, values: jax.Array, valid: jax.Array) -> jax.Array:
    apart = jnp.where(valid[:, None], values - logits[None, :], 0)
    return apart - jnp.mean(apart, axis=1, keepdims=True)  # which the softmax does not see


def _tell_logits(values: jax.Array, valid: jax.Array, reference: Reference) -> Told:
    probabilities, logits, alike, mild = reference
    r, apart = probabilities[None, :], _apart_from(logits, values, valid)
    # The logarithm of a sum next to 1 is known to more digits than that of one next to 1/C.
    of_mild = jnp.log1p(jnp.sum(r * jnp.expm1(jnp.where(mild, apart, 0)), axis=1, keepdims=True))
    logs = jnp.where(mild, apart - of_mild, jax.nn.log_softmax(values, axis=1))
    return _tell(jax.nn.softmax(values, axis=1), r * jnp.expm1(jnp.where(alike, logs, 0)), logs, alike)


def _of_probabilities(*sets: Set) -> Reference:
    probabilities = _clip(mean(*((_clip(values), valid) for values, valid in sets)))
    ratios = (jnp.where(valid[:, None], _clip(values) / probabilities[None, :], 1) for values, valid in sets)
    farthest = [jnp.max(jnp.abs(ratio - 1), initial=0) for ratio in ratios]
    return _reference(probabilities, jnp.log(probabilities), farthest)


def _clip(probabilities: jax.Array) -> jax.Array:
    return jnp.clip(probabilities, numerics.SMALLEST_PROBABILITY, 1)


def _tell_probabilities(values: jax.Array, valid: jax.Array, reference: Reference) -> Told:
    r, log_r, alike = reference.probabilities[None, :], reference.logits[None, :], reference.alike
    p = jnp.where(valid[:, None], _clip(values), r)
    excess = p - r
    logs = jnp.where(alike, jnp.log1p(jnp.where(alike, excess / r, 0)), jnp.log(p) - log_r)
    told = _tell(p, excess, logs, alike)
    # Vectors that do not add up to one differ in that too, and each side keeps its share.
    surplus = jnp.where(alike, jnp.sum(excess, axis=-1), 0)
    return told._replace(forth=told.forth + surplus, back=told.back - surplus)


def _between(x: Told, y: Told, reference: Reference, precision: Precision = "exact") -> jax.Array:
    del reference
    cross = numerics.inner(x.excess, y.logs, precision)
    own = x.forth[:, None] + y.back[None, :]
    divergence = own - cross
    size = jnp.abs(x.forth)[:, None] + jnp.abs(y.back)[None, :] + jnp.abs(cross)
    return jnp.where(rounds_to_zero(divergence, size, x.logs.shape[1], precision), 0, divergence)


def _apart(x: Told, y: Told, reference: Reference, *, from_logits: bool) -> jax.Array:
    del reference
    step, gain = y.logs - x.logs, y.excess - x.excess
    near = jnp.abs(step) <= 2 * _ALIKE
    beyond = _beyond_linear(jnp.where(near, step, 0))
    each = jnp.where(near, x.probabilities * beyond, gain - x.probabilities * step)
    return jnp.sum(each if from_logits else each - gain, axis=-1)


def _symmetric_between(x: Told, y: Told, reference: Reference, precision: Precision = "exact") -> jax.Array:
    return _between(x, y, reference, precision) + _between(y, x, reference, precision).T


def _symmetric_apart(x: Told, y: Told, reference: Reference) -> jax.Array:
    del reference
    return jnp.sum((x.excess - y.excess) * (x.logs - y.logs), axis=-1)


_apart_of_logits, _apart_of_probabilities = (functools.partial(_apart, from_logits=is_so) for is_so in (True, False))
KL = Form(_of_logits, _tell_logits, _between, _apart_of_logits, is_symmetric=False)
SYMMETRIC_KL = Form(_of_logits, _tell_logits, _symmetric_between, _symmetric_apart, is_symmetric=True)
PROBABILITY_KL = Form(_of_probabilities, _tell_probabilities, _between, _apart_of_probabilities, is_symmetric=False)

r"""The Kullback-Leibler divergence, from distributions less what they have in common.

With a reference distribution r, $u = p - r$ and $a = \log p - \log r$ (and $b = \log q - \log r$),

$$KL(p \| q) = \sum_c p_c (a_c - b_c)
= \sum_c (p_c a_c - u_c) + \sum_c (q_c - r_c - r_c b_c) - \sum_c u_c b_c$$

where nothing cancels: the first two sums are the divergences of p and q from r, of terms that are not negative. In the
textbook's form, $\sum p \log p - \sum p \log q$, distributions that are alike leave nothing but rounding.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from jaxtriplet.distances.forms import Form, Set, mean, rounds_to_zero

# Up to here expm1(t) - t is a series, and beyond it a difference.
_SMALL = 0.5


class Reference(NamedTuple):
    """The distribution that others are told from, [C] both."""

    probabilities: jax.Array
    logits: jax.Array
    """Of logits their mean; of probabilities the logarithms."""


class Told(NamedTuple):
    """Distributions by what tells them from the reference."""

    probabilities: jax.Array
    r"""$p$, [..., C]."""
    excess: jax.Array
    r"""$p - r$, [..., C]."""
    logs: jax.Array
    r"""$\log p - \log r$, [..., C]."""
    forth: jax.Array
    r"""$KL(p \| r)$, [...]."""
    back: jax.Array
    r"""$KL(r \| p)$, [...]."""


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


def _tell(p: jax.Array, excess: jax.Array, logs: jax.Array) -> Told:
    small = jnp.abs(logs) <= _SMALL
    near = jnp.where(small, logs, 0)
    forth = jnp.where(small, p * _beyond_linear(-near), p * logs - excess)
    back = excess * logs - forth  # r (e^a - 1 - a), to the last digits too
    return Told(p, excess, logs, jnp.sum(forth, axis=-1), jnp.sum(back, axis=-1))


def _of_logits(*sets: Set) -> Reference:
    logits = mean(*sets)
    return Reference(jax.nn.softmax(logits), logits)


def _tell_logits(values: jax.Array, valid: jax.Array, reference: Reference) -> Told:
    r, log_r = reference.probabilities[None, :], jax.nn.log_softmax(reference.logits)[None, :]
    apart = jnp.where(valid[:, None], values - reference.logits[None, :], 0)
    apart -= jnp.mean(apart, axis=1, keepdims=True)  # which the softmax does not see
    near = jnp.max(jnp.abs(apart), axis=1, keepdims=True, initial=0) <= _SMALL
    of_near = jnp.log1p(jnp.sum(r * jnp.expm1(jnp.where(near, apart, 0)), axis=1, keepdims=True))
    logs = apart - jnp.where(near, of_near, jax.nn.logsumexp(apart + log_r, axis=1, keepdims=True))
    p, small = jnp.exp(logs + log_r), jnp.abs(logs) <= _SMALL
    excess = jnp.where(small, r * jnp.expm1(jnp.where(small, logs, 0)), p - r)
    return _tell(p, excess, logs)


def _of_probabilities(*sets: Set) -> Reference:
    probabilities = jnp.maximum(
        mean(*((_clip(values), valid) for values, valid in sets)), numerics.SMALLEST_PROBABILITY
    )
    return Reference(probabilities, jnp.log(probabilities))


def _clip(probabilities: jax.Array) -> jax.Array:
    return jnp.clip(probabilities, numerics.SMALLEST_PROBABILITY, 1)


def _tell_probabilities(values: jax.Array, valid: jax.Array, reference: Reference) -> Told:
    r = reference.probabilities[None, :]
    p = jnp.where(valid[:, None], _clip(values), r)
    ratio = (p - r) / r
    small = jnp.abs(ratio) <= _SMALL
    logs = jnp.where(small, jnp.log1p(jnp.where(small, ratio, 0)), jnp.log(p) - reference.logits[None, :])
    told = _tell(p, p - r, logs)
    # Vectors that do not add up to one differ in that too, and each side keeps its share.
    surplus = jnp.sum(told.excess, axis=-1)
    return told._replace(forth=told.forth + surplus, back=told.back - surplus)


def _between(x: Told, y: Told, reference: Reference) -> jax.Array:
    del reference
    cross = numerics.inner(x.excess, y.logs)
    own = x.forth[:, None] + y.back[None, :]
    divergence = own - cross
    size = jnp.abs(x.forth)[:, None] + jnp.abs(y.back)[None, :] + jnp.abs(cross)
    return jnp.where(rounds_to_zero(divergence, size, cross.shape[1]), 0, divergence)


def _apart(x: Told, y: Told, reference: Reference, *, from_logits: bool) -> jax.Array:
    del reference
    step = y.logs - x.logs
    gain = y.excess - x.excess
    small = jnp.abs(step) <= _SMALL
    beyond = _beyond_linear(jnp.where(small, step, 0))
    each = jnp.where(small, x.probabilities * beyond, gain - x.probabilities * step)
    return jnp.sum(each if from_logits else each - gain, axis=-1)


def _symmetric_between(x: Told, y: Told, reference: Reference) -> jax.Array:
    return _between(x, y, reference) + _between(y, x, reference).T


def _symmetric_apart(x: Told, y: Told, reference: Reference) -> jax.Array:
    del reference
    return jnp.sum((x.excess - y.excess) * (x.logs - y.logs), axis=-1)


_apart_of_logits, _apart_of_probabilities = (functools.partial(_apart, from_logits=is_so) for is_so in (True, False))
KL = Form(_of_logits, _tell_logits, _between, _apart_of_logits, is_symmetric=False)
SYMMETRIC_KL = Form(_of_logits, _tell_logits, _symmetric_between, _symmetric_apart, is_symmetric=True)
PROBABILITY_KL = Form(_of_probabilities, _tell_probabilities, _between, _apart_of_probabilities, is_symmetric=False)

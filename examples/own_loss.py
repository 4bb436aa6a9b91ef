"""A loss of your own, outside the package: multi-similarity on mined pairs, with all that the package's losses have.

It is written as its formula, on one tile of pairs, and inherits tiles, masks, gradients by the rows and by its numbers,
statistics, earlier rows and devices; declared, it has a name in `jaxtriplet.losses.weighted` and `train --loss`.
`python examples/own_loss.py` compares it with the textbook formula and over the devices at hand, and trains with it.
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

import jaxtriplet as jt
from jaxtriplet import engine, losses, masks, parallel, reductions
from jaxtriplet.losses import registry
from jaxtriplet.types import AxisName, Memory, Precision, ReduceFn, Terms


def statistics(pairs: engine.Pairs, numbers: Any) -> Any:
    """What an anchor knows of its candidates, whose scores are [anchor, candidate]."""
    alpha, beta, base = numbers
    positive, negative = masks.multi_similarity(pairs.scores, pairs.positive, pairs.negative, axis=1)
    pull = engine.LogSumExp(-alpha * (pairs.scores - base), positive)
    push = engine.LogSumExp(beta * (pairs.scores - base), negative)
    return pull, push, engine.Count(positive), engine.Count(negative)


def term(values: Any, numbers: Any) -> Terms:
    """What becomes of it: each anchor's term, and whether it has one."""
    (pull, push, positives, negatives), (alpha, beta, _) = values, numbers
    both = jax.nn.softplus(pull) / alpha + jax.nn.softplus(push) / beta
    return engine.count(both, (positives > 0) & (negatives > 0))


MINED = engine.Separable(statistics, term)


@registry.loss(term="each row that has a positive and a negative worth looking at")
def mined_multi_similarity(
    labels: ArrayLike,
    embeddings: ArrayLike,
    alpha: ArrayLike = 2.0,
    beta: ArrayLike = 50.0,
    base: ArrayLike = 0.5,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
) -> jax.Array:
    """Multi-similarity loss of the pairs that its paper mines.

    Args:
        alpha: How sharply to pull.
        beta: How sharply to push.
        base: The similarity between the near and the far.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    each, numbers = reduce_fn is None, (alpha, beta, base)
    found = engine.measure(MINED, anchors, candidates, numbers, each=each, block_size=block_size, precision=precision)
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


def textbook(labels: jax.Array, x: jax.Array) -> jax.Array:
    """The same of a whole matrix, and nothing else."""
    similarities = jnp.matmul(x, x.T, precision="highest")
    both = masks.multi_similarity(similarities, masks.anchor_positive(labels), masks.anchor_negative(labels))
    positive, negative = both
    pulled = jnp.sum(jnp.where(positive, jnp.exp(-2 * (similarities - 0.5)), 0), axis=0)
    pushed = jnp.sum(jnp.where(negative, jnp.exp(50 * (similarities - 0.5)), 0), axis=0)
    has_term = positive.any(axis=0) & negative.any(axis=0)
    terms = jnp.log1p(pulled) / 2 + jnp.log1p(pushed) / 50
    return jnp.mean(terms, where=has_term)


def main() -> None:
    """Compares and trains."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, 64).astype(np.int32)
    centres = rng.normal(size=(12, 16))
    inputs = (centres[labels] + rng.normal(size=(64, 16))).astype(np.float32)
    rows = jt.l2_normalize(inputs)

    ours, theirs = (jax.value_and_grad(loss, argnums=1)(labels, rows) for loss in (mined_multi_similarity, textbook))
    error = jnp.linalg.norm(ours[1] - theirs[1]) / jnp.linalg.norm(theirs[1])
    print(f"loss {ours[0]:.4f}, the textbook's {theirs[0]:.4f}; gradients differ by {error:.0e}")
    print(parallel.check(mined_multi_similarity, parallel.data_mesh(), labels, rows))

    loss_fn, optimizer = losses.weighted({"mined_multi_similarity": 1.0}), optax.sgd(0.5)

    @jax.jit
    def step(weights: jax.Array, state: Any) -> Any:
        def objective(weights: jax.Array) -> jax.Array:
            value: jax.Array = loss_fn({}, labels, jt.l2_normalize(inputs @ weights))[0]
            return value

        value, gradient = jax.value_and_grad(objective)(weights)
        change, state = optimizer.update(gradient, state)
        return optax.apply_updates(weights, change), state, value

    weights = jnp.eye(16, 8)
    state, values = optimizer.init(weights), []
    for _ in range(100):
        weights, state, value = step(weights, state)
        values.append(float(value))
    print(f"100 steps: loss from {values[0]:.3f} to {values[-1]:.3f}")


if __name__ == "__main__":
    main()

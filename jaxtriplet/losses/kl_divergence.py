"""The Kullback-Leibler hinge for speaker clustering: over all pairs of a batch, and over pairs given as such."""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxtriplet import _checks, engine, numerics, reductions
from jaxtriplet.distances import form_of, kl, probability_kl
from jaxtriplet.losses.registry import loss
from jaxtriplet.types import AxisName, HingeFn, Memory, Precision, ReduceFn, Terms


@loss(term="each pair of rows", sees="logits")
def kl_hinge(
    labels: ArrayLike,
    embeddings: ArrayLike,
    margin: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    memory: Memory | None = None,
    hinge_fn: HingeFn = jax.nn.relu,
    from_logits: bool = True,
) -> jax.Array:
    r"""Kullback-Leibler divergence between rows of one label, its hinge between rows of two.

    $$\operatorname{mean}_{i < j} \begin{cases} k_{ij} + k_{ji} & \text{same label} \\
    h(m - k_{ij}) + h(m - k_{ji}) & \text{different} \end{cases}, \qquad k_{ij} = KL(p_i \| p_j)$$

    A term for each unordered pair of rows.

    Args:
        embeddings: Logits [B, C] of the distributions p, or with `from_logits=False` probability vectors.
        margin: The divergence m, in nats, that rows of different labels should keep each way.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for the sum of each row's
            terms with later rows, [B].
        axis_name: Mapped axes over which the batch is spread; every device returns the loss of the whole batch.
        has_aux: Whether to return statistics too; the distance of a pair is $k_{ij} + k_{ji}$.
        from_logits: Whether the rows are logits; else they are clipped to [1e-7, 1], as in Keras; static.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.log(jnp.array([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]))
        >>> round(float(kl_hinge(jnp.array([0, 0, 1]), logits)), 4)  # (0.2747 + (2 - 0.2747) + 2) / 3
        1.3333

    Reference:
        Lukic, Vogt, Dürr and Stadelmann, "Learning Embeddings for Speaker Clustering Based on Voice Equality", 2017.
    """
    anchors, candidates = engine.meet(labels, embeddings, where, axis_name, memory=memory)
    form, m = form_of(kl if from_logits else probability_kl).in_precision(precision), jnp.asarray(margin)
    frame = form.frame((candidates.values, candidates.valid))
    own, all_ = engine.prepare(form, frame, anchors, candidates)

    def of_tile(tiled: tuple[engine.Rows, Any]) -> tuple[Terms, engine.Spread, engine.Spread]:
        tile, distributions = tiled
        forth = form.between_fn(distributions, all_, frame).T
        back = form.between_fn(all_, distributions, frame)
        later = candidates.place[:, None] > tile.place[None, :]
        same, different = (mask & later for mask in engine.pairs(tile, candidates))
        term = jnp.where(same, forth + back, hinge_fn(m - forth) + hinge_fn(m - back))
        terms = Terms(*(jnp.sum(part, axis=0) for part in engine.count(term, same | different)))
        return terms, engine.spread(forth + back, same), engine.spread(forth + back, different)

    count, given = len(candidates.labels), (of_tile, (anchors, own), anchors, numerics.evidence(candidates.values))
    found = engine.by_tiles(*given, candidates=count, block_size=block_size)
    return engine.conclude(found, reduce_fn, axis_name, has_aux)


@loss(term="each given pair", sees="logits")
def siamese_kl_hinge(
    same: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    margin: ArrayLike = 1.0,
    *,
    where: ArrayLike | None = None,
    reduce_fn: ReduceFn | None = reductions.mean,
    axis_name: AxisName = None,
    has_aux: Literal[False] = False,
    symmetric: bool = True,
    hinge_fn: HingeFn = jax.nn.relu,
    from_logits: bool = True,
) -> jax.Array:
    r"""Kullback-Leibler divergence of the pairs that are the same, its hinge for those that differ.

    $$\operatorname{mean}_i \; s_i k_i + (1 - s_i) h(m - k_i), \qquad k_i = KL(x_i \| y_i)$$

    and with `symmetric=True` the same with $KL(y_i \| x_i)$ added. `symmetric=False, from_logits=False` is the formula
    of the siamese Keras net, which is not symmetric and loses its gradient where it clips.

    Args:
        same: [B], bool or numbers: 1 for a pair of one speaker, 0 for a pair of two. Outside of [0, 1]: NaN.
        x: Logits [B, C] of the first of each pair, or with `from_logits=False` probability vectors.
        y: The second of each pair, like `x`.
        margin: The divergence m, in nats, that differing pairs should keep (each way).
        where: Booleans [B]; False pairs are padding and count for nothing.
        reduce_fn: From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each pair's term, [B].
        axis_name: Mapped axes over which the pairs are spread; every device returns the loss of all.
        has_aux: Whether to return statistics too; the distance of a pair is the divergence above.
        symmetric: Whether to take both directions, each hinged; static.
        from_logits: Whether the rows are logits; else they are clipped to [1e-7, 1], as in Keras; static.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.log(jnp.array([[0.5, 0.5]])), jnp.log(jnp.array([[0.25, 0.75]]))
        >>> round(float(siamese_kl_hinge(jnp.array([True]), x, y)), 4)
        0.2747

    Reference:
        Lukic, Vogt, Dürr and Stadelmann, "Learning Embeddings for Speaker Clustering Based on Voice Equality", 2017.
    """
    (x, y), where = _checks.paired(where, x=x, y=y)
    alike = _checks.flags(same, x)
    (x, valid), (y, _) = engine.keep(x, where), engine.keep(y, where)
    alike, m = alike.astype(x.dtype), jnp.asarray(margin)
    forth, back = form_of(kl if from_logits else probability_kl).beside(valid, (x, y), (y, x))
    directions = jnp.stack([forth, back] if symmetric else [forth])
    pushed = jnp.where(alike[None, :] < 1, (1 - alike)[None, :] * hinge_fn(m - directions), 0)  # 0 times infinity is 0
    term = jnp.sum(alike[None, :] * directions + pushed, axis=0)
    terms, distances = engine.count(term, valid), jnp.sum(directions, axis=0)
    no_share = valid & ~((alike >= 0) & (alike <= 1))
    found = engine.Found(
        terms=terms._replace(total=numerics.poison(terms.total, x, y, numerics.nan_where(no_share, x.dtype))),
        positives=engine.spread(distances, valid & (alike > 0.5)),
        negatives=engine.spread(distances, valid & (alike <= 0.5)),
        norms=engine.norms(jnp.concatenate([x, y]), jnp.concatenate([valid, valid])),
    )
    return engine.conclude(found, reduce_fn, axis_name, has_aux)

"""`formula`: a rule whose derivative JAX makes, inside the tile and with the whole row at hand."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet.engine.outcome import count
from jaxtriplet.engine.rules import Mined, Rule
from jaxtriplet.engine.tiles import Tile
from jaxtriplet.types import Terms

TermFn = Callable[[Tile, Any], tuple[jax.Array, jax.Array]]


def formula(term_fn: TermFn) -> Rule:
    r"""Returns the rule of a loss that is written as its formula: `term_fn(tile, numbers) -> (terms, valid)`.

    On one tile of distances, $w_{ca} = \partial \sum_t \mathrm{term}_{ta} / \partial d_{ca}$ by `jax.vjp`.

    Args:
        term_fn: The formula: pure, and of reductions down the columns of the tile. `terms` are floats and `valid`
            booleans, one for each anchor, [anchor], or one for each pair, [candidate, anchor]. Of an anchor without a
            valid term nothing is differentiated; beside a valid term of an anchor, its others should be finite.

    Returns:
        A rule for `mine`, whose numbers are the tree that `term_fn` gets, each [anchor].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxtriplet import engine
        >>> from jaxtriplet.distances import squared_euclidean
        >>> def nearest(tile, margin):  # each anchor's nearest negative should be farther than the margin
        ...     distance, _ = engine.smallest(tile.distances, tile.negative)
        ...     return jax.nn.relu(margin - distance), jnp.isfinite(distance)
        >>> def loss(embeddings):
        ...     rows, _ = engine.meet(jnp.array([0, 0, 1]), embeddings)
        ...     return engine.mine(engine.formula(nearest), rows, rows, jnp.float32(1), squared_euclidean).terms.total
        >>> jax.grad(loss)(jnp.array([[0.0], [1.0], [1.5]])).ravel().tolist()  # of 2 (1 - 0.25)
        [0.0, 2.0, -2.0]
    """
    return functools.partial(_rule, term_fn)


def _rule(term_fn: TermFn, tile: Tile, numbers: Any) -> Mined:
    def sums(distances: jax.Array, numbers: Any) -> tuple[jax.Array, Terms]:
        found = count(*term_fn(tile._replace(distances=distances), numbers))
        terms = Terms(*(jnp.sum(part, axis=0) if part.ndim > 1 else part for part in found))
        return terms.total, terms

    total, pull, terms = jax.vjp(sums, tile.distances, numbers, has_aux=True)
    # The logarithm of an empty sum is minus infinity, and its derivative NaN, though no term asks for it.
    has_term = terms.valid > 0
    weights, slopes = (
        jax.tree.map(lambda part: jnp.where(has_term, part, 0), found) for found in pull(jnp.ones_like(total))
    )
    return Mined(terms, slopes, weights)

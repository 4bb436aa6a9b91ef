"""What a separable loss is: one whose anchors meet their candidates only through statistics that merge."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet.distances.forms import Form
from jaxtriplet.engine import derivative
from jaxtriplet.engine.apart import Apart
from jaxtriplet.engine.outcome import Spread, spread
from jaxtriplet.engine.rows import Rows, of_class, place_of_class
from jaxtriplet.engine.statistics import Count, One
from jaxtriplet.engine.tiles import cut
from jaxtriplet.engine.tuning import Cut
from jaxtriplet.types import AxisName, Terms

# Bytes that are kept of each pair.
KEEPS = 8


class Pairs(NamedTuple):
    """Pairs of an anchor and a candidate, each [anchor, candidate]: so do matrices of long rows multiply fastest."""

    scores: jax.Array
    """Inner products, or the distance that was asked for."""
    positive: jax.Array
    negative: jax.Array
    theirs: Any = None
    """What was given of each candidate, a tree of [1, candidate]."""
    counts: Any = (None, None)
    """How many positives and negatives each anchor has, where that is known."""
    at: Any = None
    """Which class is an anchor's own, [anchor], -1 if it is not among these; None unless candidates are classes."""

    @property
    def own(self) -> One:
        """The score of an anchor's own class; of classes alone."""
        return One(self.scores, self.positive, self.at)

    @property
    def either(self) -> jax.Array:
        """Which candidates are positives or negatives: neither is the anchor itself, nor padding."""
        return self.positive | self.negative

    @property
    def num_positives(self) -> Count:
        """How many positives an anchor has."""
        return Count(self.positive, self.counts[0])

    @property
    def num_negatives(self) -> Count:
        """How many negatives an anchor has."""
        return Count(self.negative, self.counts[1])


class Separable(NamedTuple):
    """A loss of row statistics: two pure functions, static."""

    statistics: Callable[[Pairs, Any], Any]
    """`(pairs, numbers, each [anchor, 1]) -> a tree of Sum, One, Count, LogSumExp, Max, Highest, Few`."""
    term: Callable[[Any, Any], Any]
    """`(values, numbers, each [anchor]) -> Terms`, such as `engine.count(term, valid)`; a tuple of several kinds."""
    kinds: int = 1
    """How many kinds of terms, each reduced by itself."""
    of_centers: Callable[[jax.Array, Any], jax.Array] | None = None
    """Of candidates that are several centres each, `(scores [anchor, centre, candidate], numbers) -> [anchor,
    candidate]`."""


class Plan(NamedTuple):
    """What is fixed when a function is compiled."""

    loss: Separable
    form: Form
    pairs_fn: Callable[[Rows, Rows], tuple[jax.Array, jax.Array]]
    block_size: int | None
    both_ways: bool
    ring: AxisName
    columns: int
    """How many candidates are met at once."""
    apart: Apart | None
    """How candidates are shared among devices, if each meets its own alone."""
    strangers: bool
    """Whether no anchor is among the candidates."""
    cut: Cut | None
    """How large tiles are; None if one holds all, or somebody asks for a size."""
    together: int
    """Bytes of the one tile that there may be where rows meet candidates both ways."""
    sizes: tuple[int, ...]
    """The shapes compiled for candidates of which there may be few."""
    ordered: bool
    """Whether candidates are put in order, to know how many positives there are."""
    raw: bool = False
    """Whether the numbers are the rows as they are, not what the score takes of them."""

    def scores(self, candidates: Any, anchors: Any, frame: Any) -> jax.Array:
        """Returns the scores of a tile, of what the form made of rows."""
        return self.form.between_fn(anchors, candidates, frame)

    def pairs(
        self,
        scores: jax.Array,
        own: Any,
        anchors: Rows,
        candidates: Rows,
        theirs: Any = None,
        counts: Any = (None, None),
    ) -> Pairs:
        """Returns the pairs of a tile; the numbers are of its anchors, what is given of each candidate is [N]."""
        if self.loss.of_centers is not None and scores.ndim > 2:
            scores = self.loss.of_centers(scores, jax.tree.map(lambda number: number[:, None, None], own))
        positive, negative = self.pairs_fn(candidates, anchors)  # which is symmetric
        at = place_of_class(anchors, candidates) if self.pairs_fn is of_class else None
        return Pairs(scores, positive, negative, jax.tree.map(lambda part: part[None, :], theirs), counts, at)

    def statistics(self, pairs: Pairs, own: Any) -> Any:
        """Returns the statistics of a tile; the numbers are of its anchors."""
        return self.loss.statistics(pairs, jax.tree.map(lambda number: number[:, None], own))

    def spreads(self, pairs: Pairs) -> tuple[Spread, Spread]:
        """Returns how the distances of a tile are spread: of positives, and of negatives."""
        distances = self.form.distances(pairs.scores)
        return spread(distances, pairs.positive), spread(distances, pairs.negative)

    def tiles(self, anchors: int, candidates: int) -> tuple[int, int]:
        """Returns into how many tiles to cut so many anchors, and how many each has, beside so many vectors."""
        if self.block_size is not None or self.cut is None:
            return cut(anchors, self.block_size, max(1, anchors))
        if self.both_ways and anchors * candidates * KEEPS <= self.together:
            return 1, anchors
        return cut(anchors, None, self.cut.anchors(candidates, KEEPS))

    def meets_whole_rows(self, anchors: int, candidates: int) -> bool:
        """Returns whether a tile has all candidates of its anchors, and whoever else is needed."""
        blocks = self.ring is not None or self.apart is not None or self.columns < candidates
        return not blocks and not (self.both_ways and self.tiles(anchors, candidates)[0] > 1)


class Numbers(NamedTuple):
    """What a loss is differentiated by."""

    anchors: Any
    """What the score takes of each row, a tree of arrays [B, ...]."""
    candidates: Any
    own: Any
    """The loss's own numbers, a tree of arrays [B]."""
    theirs: Any
    """What is given of each candidate, a tree of arrays [N]."""


class Layout(NamedTuple):
    """What a loss is not differentiated by."""

    anchors: Rows
    candidates: Rows
    frame: Any
    present: Any
    """How many candidates there are, all at the front, and how many anchors likewise or None; None: all."""


def different(anchors: Rows, candidates: Rows) -> list[Rows]:
    """Returns both, or one of them if they are the same."""
    return [anchors] if anchors.values is candidates.values else [anchors, candidates]


def sets_of(anchors: Rows, candidates: Rows) -> list[tuple[jax.Array, jax.Array]]:
    """Returns the sets of rows of which a form makes its frame."""
    return [(rows.values, rows.valid) for rows in different(anchors, candidates)]


def term_of(plan: Plan, values: Any, own: Any) -> tuple[Any, Any]:
    """Returns each anchor's totals, and its terms whole, from the values of its statistics."""
    terms = plan.loss.term(values, own)
    return derivative.totals(terms), terms


def as_floats(value: Any, dtype: Any) -> Any:
    """Returns the value of a statistic, a count too, in the dtype to compute in."""
    return jax.tree.map(lambda part: part.astype(dtype), value)


def mean_of_both(one: Terms, other: Terms) -> Terms:
    """Returns terms that are the mean of a row's and a column's."""
    total = (one.total + other.total) / 2
    return Terms(total, one.valid, jnp.where(total > 0, one.valid, 0))


def only_of_terms(terms: Any, gradient: Any) -> Any:
    """Returns gradients [anchor, ...] without those of anchors that have no valid term."""
    kinds = [terms] if isinstance(terms, Terms) else list(terms)
    has_term = functools.reduce(jnp.logical_or, [kind.valid > 0 for kind in kinds])
    return jax.tree.map(
        lambda part: jnp.where(jnp.expand_dims(has_term, tuple(range(1, part.ndim))), part, 0), gradient
    )

"""`mine`: the one function through which all triplet losses run, tile by tile, without the cube.

A loss is a *rule*: given one tile of distances, [candidate, anchor], it returns each anchor's sum of terms and counts,
and the signed **weight** of every distance. A mined loss is linear in the distances that it picks, so the weights are
its gradient (for a hinge, the number of active terms that the pair is in), and the rule itself is never differentiated.

- `classes`: the order of the candidates by label, in which an anchor's positives follow each other;
- `tiles`: a tile of distances, how a batch is cut into tiles, and any per-row function run tile by tile;
- `rules`: what rules are made of, with a loop over positives for small classes and a sort for large ones;
- `mining`: `mine` itself, and its derivative.
"""

from jaxtriplet.engine.mining import mine
from jaxtriplet.engine.rules import (
    Mined,
    Picks,
    add_at,
    few_or_many,
    hinge,
    largest,
    linear,
    over_positives,
    smallest,
    sort,
    triplets,
)
from jaxtriplet.engine.tiles import Tile, by_tiles, unfold

__all__ = [
    "Mined",
    "Picks",
    "Tile",
    "add_at",
    "by_tiles",
    "few_or_many",
    "hinge",
    "largest",
    "linear",
    "mine",
    "over_positives",
    "smallest",
    "sort",
    "triplets",
    "unfold",
]

"""The machine below the losses: who meets whom, tile by tile, and what becomes of it.

A mined loss is a *rule*: given one tile of distances, [candidate, anchor], it returns each anchor's sum of terms and
counts, and the signed **weight** of every distance. A mined loss is linear in the distances that it picks, so the
weights are its gradient (for a hinge, the number of active terms that the pair is in), and the rule itself is never
differentiated. `formula` makes a rule of a loss that is written as its formula. `README.md` here has the derivations.

- `rows`: the anchors of this device and the candidates of all, `meet`; who is whose positive or negative;
- `classes`: the order of the candidates by label, in which an anchor's positives follow each other;
- `tiles`: a tile of distances, how a batch is cut into tiles, and any function of anchors run tile by tile;
- `rules`: what rules are made of, with a loop over positives for small classes and a sort for large ones;
- `mining`: `mine` itself, and its derivative; `formula`: rules of formulas;
- `outcome`: sums that merge over tiles and devices, and how they become a loss and its statistics, `conclude`.
"""

from jaxtriplet.engine.formula import formula
from jaxtriplet.engine.mining import mine
from jaxtriplet.engine.outcome import Found, Spread, conclude, count, norms, spread
from jaxtriplet.engine.rows import Rows, keep, meet, pairs
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
from jaxtriplet.engine.tiles import Tile, by_tiles

__all__ = [
    "Found",
    "Mined",
    "Picks",
    "Rows",
    "Spread",
    "Tile",
    "add_at",
    "by_tiles",
    "conclude",
    "count",
    "few_or_many",
    "formula",
    "hinge",
    "keep",
    "largest",
    "linear",
    "meet",
    "mine",
    "norms",
    "over_positives",
    "pairs",
    "smallest",
    "sort",
    "spread",
    "triplets",
]

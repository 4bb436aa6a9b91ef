"""The machine below the losses: who meets whom, tile by tile, and what becomes of it.

A mined loss is a *rule*: given one tile of distances, [candidate, anchor], it returns each anchor's sum of terms and
counts, and the signed **weight** of every distance. A mined loss is linear in the distances that it picks, so the
weights are its gradient (for a hinge, the number of active terms that the pair is in), and the rule itself is never
differentiated. `formula` makes a rule of a loss that is written as its formula. `README.md` here has the derivations.

- `rows`: the anchors of this device and the candidates of all, `meet`; who is whose positive or negative;
- `classes`: the order of the candidates by label, in which an anchor's positives follow each other;
- `tuning`: numbers of each platform, chosen where a program is lowered;
- `tiles`: a tile of distances, how a batch is cut into tiles, and any function of anchors run tile by tile;
- `rules`: what rules are made of, with a loop over positives for small classes and a sort for large ones;
- `mining`: `mine` itself; `ways`: in which ways a rule can be worked off on a platform; `derivative`: gradients made in
  the forward pass; `formula`: rules of formulas;
- `separable`: losses of row `statistics` and `extremes`; `measuring`: `measure` for these, by `whole_rows` or
  `merged_rows`;
- `against`: rows and the weights of classes, which may stay `apart`, each device with its own;
- `memory`: rows of earlier batches;
- `ranks`: where positives stand among all candidates, for metrics;
- `outcome`: sums that merge over tiles and devices, and how they become a loss and its statistics, `conclude`.
"""

from jaxtriplet.engine.against import Against as Against, against as against
from jaxtriplet.engine.classes import columns as columns
from jaxtriplet.engine.extremes import Few as Few, Highest as Highest, Max as Max
from jaxtriplet.engine.formula import formula as formula
from jaxtriplet.engine.measuring import measure as measure
from jaxtriplet.engine.mining import mine as mine
from jaxtriplet.engine.outcome import (
    Found as Found,
    Spread as Spread,
    conclude as conclude,
    count as count,
    count_wrong as count_wrong,
    mean_of as mean_of,
    norms as norms,
    spread as spread,
)
from jaxtriplet.engine.rows import (
    Rows as Rows,
    face as face,
    keep as keep,
    meet as meet,
    pairs as pairs,
    prepare as prepare,
    views as views,
)
from jaxtriplet.engine.rules import (
    BySize as BySize,
    Mined as Mined,
    Picks as Picks,
    Positives as Positives,
    add_at as add_at,
    hinge as hinge,
    largest as largest,
    linear as linear,
    over_positives as over_positives,
    side_by_side as side_by_side,
    smallest as smallest,
    sort as sort,
    triplets as triplets,
)
from jaxtriplet.engine.separable import Pairs as Pairs, Separable as Separable
from jaxtriplet.engine.statistics import Count as Count, LogSumExp as LogSumExp, Sum as Sum, low as low
from jaxtriplet.engine.tiles import Tile as Tile, by_tiles as by_tiles
from jaxtriplet.engine.ways import PICKS_KEEP as PICKS_KEEP

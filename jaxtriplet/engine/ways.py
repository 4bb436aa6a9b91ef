"""The ways to mine a batch on a platform: by what it has, and by how large its largest class may be."""

from typing import Any, NamedTuple

import jax

from jaxtriplet.distances.forms import Form
from jaxtriplet.engine.rules import BySize, Rule
from jaxtriplet.engine.tiles import KEEPS, cut
from jaxtriplet.engine.tuning import Tuning

# Bytes that are kept of each pair by a rule that picks, by one that visits positives in straight code, and by another
# one.
PICKS_KEEP, STRAIGHT_KEEPS, OTHERS_KEEP = 12, 20, 16
USUAL_WIDTH = 256


class Way(NamedTuple):
    """A way to mine."""

    rule: Rule
    limit: int
    """The rows of the largest class for which it is a way."""
    most: int | None
    """The most positives that an anchor has, where the way rests on that."""
    straight: bool
    shape: tuple[int, int]
    """The number of tiles, and of anchors in each."""
    by_anchor: bool
    """Whether the rule looks at one anchor at a time; pairs are [anchor, candidate] then."""

    def distances(self, form: Form, candidates: Any, anchors: Any, frame: Any) -> jax.Array:
        """Returns the distances of a tile."""
        return form.between_fn(anchors, candidates, frame) if self.by_anchor else form.tile(candidates, anchors, frame)


class Size(NamedTuple):
    """How large a batch is."""

    candidates: int
    width: int
    anchors: int
    largest: int | None
    """The rows that a class has at most, if that is known."""
    itself: int
    """Of its class's rows how many an anchor is: 1, of strangers 0."""


def ways(rule: Rule | BySize, size: Size, tuning: Tuning, block_size: int | None, keeps: int) -> tuple[Way, ...]:
    """Returns the ways to mine a batch on a platform, of which the batch's largest class picks one."""
    everyone = size.candidates
    largest = min(everyone, size.largest or everyone)

    def way(rule: Rule, limit: int, most: int | None = None, keeps: int = keeps, more: int = 0) -> Way:
        shape = cut(size.anchors, block_size, tuning.mined.anchors(everyone, keeps, more))
        return Way(rule, limit, most, most is not None and most <= tuning.straight, shape, tuning.by_anchor)

    def side_by_side(rule: BySize, limit: int) -> Way:
        most = max(0, limit - size.itself)
        if rule.picks is not None and rule.number * most * tuning.picked < everyone:
            # What is picked is fetched, subtracted, and pulled back.
            return way(rule.picks, limit, most, PICKS_KEEP, 12 * rule.number * most * size.width)
        return way(rule.few, limit, most, STRAIGHT_KEEPS if most <= tuning.straight else KEEPS)

    if not isinstance(rule, BySize):
        return (way(rule, everyone),)
    if largest <= tuning.at_hand or (size.largest is not None and largest <= tuning.many):
        return (side_by_side(rule, largest),)
    if size.largest is not None:
        return (way(rule.many, everyone, keeps=KEEPS),)
    few, many = (way(one, limit, keeps=KEEPS) for one, limit in ((rule.few, tuning.many), (rule.many, everyone)))
    first = [side_by_side(rule, tuning.at_hand)] if tuning.at_hand else []
    return (*first, few, *([many] if everyone > tuning.many else []))

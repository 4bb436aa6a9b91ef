"""`measure`: separable losses, tile by tile, with the gradient made in the forward pass.

Where whole rows of candidates are at hand, a tile is differentiated by JAX, and the work is three products of matrices:
`whole_rows`. Where they are not (longer rows, a ring of devices, rows and columns of one matrix), statistics are merged
first, and the gradient takes a second pass: `merged_rows`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet.distances import form_of
from jaxtriplet.distances.forms import Form
from jaxtriplet.engine import derivative, merged_rows, whole_rows
from jaxtriplet.engine.apart import Apart
from jaxtriplet.engine.outcome import Found, evidence_of, gather
from jaxtriplet.engine.rows import Rows, as_strangers, at_least_one, for_each, of_class, pairs, without_values
from jaxtriplet.engine.separable import KEEPS, Layout, Numbers, Plan, Separable, different, sets_of
from jaxtriplet.engine.tuning import Tuning, by_platform, plans
from jaxtriplet.types import AxisName, DistanceFn, Exchange, Precision

# So many candidates are met at once, more in blocks.
LONG, LONG_BLOCK = 2**17, 2**16
# So many centres of classes that stay apart, whose statistics merge in any case.
APART = 2**14


def measure(
    loss: Separable,
    anchors: Rows,
    candidates: Rows,
    numbers: Any,
    distance_fn: DistanceFn | Form | None = None,
    *,
    each: bool = False,
    block_size: int | None = None,
    precision: Precision = "exact",
    strangers: bool = False,
    pairs_fn: Callable[[Rows, Rows], tuple[jax.Array, jax.Array]] = pairs,
    theirs: Any = None,
    present: Any = None,
    both_ways: bool = False,
    exchange: Exchange = "gather",
    axis_name: AxisName = None,
    apart: Apart | None = None,
    columns: int | None = None,
    evidence: tuple[jax.Array, ...] = (),
) -> Found:
    """Returns what a batch holds of a separable loss.

    Differentiable once, in reverse mode, by the rows, by the numbers and by `theirs`. All but a ring is local to a
    device: the collectives stand outside, in plain autodiff.

    Args:
        loss: The definition; static.
        anchors: The rows of this device.
        candidates: The rows of all devices, or what they are to be compared with; on a ring, those of this device.
        numbers: The loss's own numbers, a tree of scalars or of arrays [B].
        distance_fn: A pairwise distance, or the form of one; None for inner products.
        each: Whether each anchor's total is wanted, or only their sum, whose gradient is made in the forward pass.
        block_size: The number of anchors in a tile; None for a good one.
        precision: How products of float32 matrices are made, those of the gradient too; static.
        strangers: Whether no anchor is among the candidates, as with centroids; else all of them are.
        pairs_fn: Who is a positive, and who a negative, of whom; static.
        theirs: A tree of arrays [N], something of each candidate that the statistics see.
        present: `(candidates, anchors)`: how many there are of each, traced, all at the front, so that the work
            follows them and not the shape; None for the anchors: all of them. None: all of both.
        both_ways: Whether candidates meet anchors too, as many as these: terms are the mean of both.
        exchange: "ring" if the candidates travel around the devices, so that none holds all of them.
        axis_name: The mapped axes over which the batch is spread, or None; of use on a ring.
        apart: How candidates are shared among devices, each of which meets its own alone, if they are.
        columns: How many candidates to meet at once, unless they meet anchors too; None for a good number.
        evidence: Arrays that must be finite, or the total is not, beside the rows.

    Returns:
        The terms of every anchor (or one total beside their counts), and the spreads of the distances and norms.
    """
    candidates, theirs = at_least_one((candidates, theirs))
    anchors = as_strangers(anchors) if strangers else anchors
    form, count = distance_fn if isinstance(distance_fn, Form) else form_of(distance_fn), len(candidates.labels)
    form = form.in_precision(precision)
    own, together = for_each(numbers, anchors), anchors
    if apart is not None:
        together, own = apart.come((anchors, own))
    ring = axis_name if exchange == "ring" else None

    def plan(tuning: Tuning) -> Plan:
        classes = pairs_fn is of_class
        at_once = (
            count if both_ways else min(count, columns or _at_once(candidates, tuning, classes, apart is not None))
        )
        # Only what matters to this batch, so that platforms that would work it off alike are one branch.
        rows = len(together.labels)
        one = block_size is not None or tuning.measured.anchors(candidates.vectors, KEEPS) >= rows
        sizes = () if present is None else _sizes(tuning.fewest, count)
        return Plan(
            *(loss, form, pairs_fn, block_size, both_ways, ring, at_once, apart, strangers),
            cut=None if one else tuning.measured,
            together=0 if one or not both_ways else tuning.together,
            sizes=sizes,
            ordered=count > tuning.ordered,
        )

    layout = Layout(without_values(together), without_values(candidates), None, present)
    ways, met = plans(plan), different(anchors, candidates)
    if all(way.meets_whole_rows(len(anchors.labels), count) for way in ways.values()):
        layout = layout._replace(frame=form.frame(*sets_of(anchors, candidates)))
        rows_of = [form.rows_fn(rows.values, rows.valid, layout.frame) for rows in met]
        given = Numbers(rows_of[0], rows_of[-1], own, theirs)
    else:
        ways = {name: way._replace(raw=True) for name, way in ways.items()}
        given = Numbers(together.values, candidates.values, own, theirs)
    work = functools.partial(by_platform, _work, ways)
    outcome = (derivative.each if each or loss.kinds > 1 else derivative.summed)(work, apart, given, layout)
    told = [*evidence, *evidence_of(form, outcome[1:], met)]
    if (others := ring if apart is None else apart.over) is not None:  # a NaN of another device is everybody's
        told.append(jax.lax.psum(sum(map(jnp.sum, jax.lax.stop_gradient(told))), others))
    found = gather(*outcome, anchors, *told)
    if apart is None:
        return found
    return found._replace(terms=apart.counted_once(found.terms), norms=apart.counted_once(found.norms))


def _at_once(candidates: Rows, tuning: Tuning, are_classes: bool, are_apart: bool) -> int:
    """Returns how many candidates to meet at once."""
    count, vectors = len(candidates.labels), candidates.vectors
    if are_classes:
        most = min(tuning.classes, APART) if are_apart else tuning.classes
        return count if vectors <= most else max(1, tuning.block * count // vectors)
    return count if count <= LONG else LONG_BLOCK


def _sizes(fewest: int, most: int) -> tuple[int, ...]:
    """Returns the shapes to compile for candidates of which there may be few: twice as many each."""
    return (*(size for size in (fewest * 2**power for power in range(31)) if size < most), most)


def _work(plan: Plan, numbers: Numbers, layout: Layout, cotangent: Any) -> tuple[Any, Any]:
    if not plan.raw:
        return whole_rows.work(plan, numbers, layout, cotangent)
    whole = plan.meets_whole_rows(len(layout.anchors.labels), len(layout.candidates.labels))
    return (whole_rows.work_of_raw if whole else merged_rows.work)(plan, numbers, layout, cotangent)

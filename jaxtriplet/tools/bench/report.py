"""Tables of a benchmark: as Markdown, and as what goes into JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from jaxtriplet.tools import words
from jaxtriplet.tools.bench.contenders import CONTENDERS, Contender
from jaxtriplet.tools.bench.plan import Plan, Setting, numbers_of
from jaxtriplet.tools.bench.race import Outcome, Result

_REFERENCES = ("jaxtriplet", "floor")
_FAST = "-fast"
_RATIOS = [f"/ {name}" for name in _REFERENCES]
_CLOCKS = {"wall": ("wall ms", *_RATIOS), "cpu": ("CPU ms", *_RATIOS)}
_LAST = ("peak MiB", "first call s")


def row(outcome: Outcome, references: Mapping[str, Outcome], clocks: Sequence[str] = tuple(_CLOCKS)) -> list[str]:
    """Returns a row of a setting's table.

    Args:
        outcome: The contender's.
        references: The outcomes to divide by, by name; a reference that is not there, or failed, leaves a dash.
        clocks: Which times to show, "wall" or "cpu".

    Returns:
        As many cells as the table has columns.
    """
    choice = outcome.ready.get("choice")
    name = f"{outcome.contender} ({choice})" if choice else outcome.contender
    if outcome.failure:
        return [name, outcome.failure.replace("|", "\\|"), *[""] * (len(_headings(clocks)) - 2)]
    cells = [name]
    for key in clocks:
        cells.append(_milliseconds(outcome.figure(key) or 0))
        cells.extend(ratio(outcome, references.get(reference), key) for reference in _REFERENCES)
    return [*cells, f"{(outcome.figure('peak') or 0) / 2**20:,.0f}", f"{outcome.ready['first_call']:.1f}"]


def _headings(clocks: Sequence[str]) -> list[str]:
    return ["contender", *(heading for clock in clocks for heading in _CLOCKS[clock]), *_LAST]


def ratio(outcome: Outcome, reference: Outcome | None, key: str) -> str:
    """Returns how many times the reference's median a contender's is, or a dash."""
    ours, theirs = outcome.figure(key), reference and reference.figure(key)
    if ours is None or not theirs:
        return "-"
    times = ours / theirs
    return f"{times:.2f}" if times < 10 else f"{times:,.0f}"


def _milliseconds(seconds: float) -> str:
    decimals = 2 if seconds < 0.01 else 1 if seconds < 1 else 0
    return f"{1e3 * seconds:,.{decimals}f}"


def table(outcomes: Sequence[Outcome], device: str = "cpu") -> str:
    """Returns the Markdown table of one setting; time of the processor tells nothing of an accelerator.

    Args:
        outcomes: The contenders'.
        device: Where they were measured. On an accelerator the fast ones have a table of their own, with ratios to the
            fast.
    """
    clocks = ("wall", "cpu") if device == "cpu" else ("wall",)
    tables = []
    for fast in (False, True):
        mine = {one.contender.removesuffix(_FAST): one for one in outcomes if one.contender.endswith(_FAST) == fast}
        if mine:
            tables.append(words.table([_headings(clocks), *(row(one, mine, clocks) for one in mine.values())]))
    return "\n\n".join(tables)


def agreement(setting: Setting, outcomes: Sequence[Outcome]) -> str | None:
    """Returns a sentence on how far the values and gradients of those who mean the same are apart, or None."""
    values = {
        outcome.contender: (outcome.ready["value"], outcome.ready["gradient_norm"])
        for outcome in outcomes
        if not outcome.failure and CONTENDERS[outcome.contender].agrees(setting.loss)
    }
    ours = values.pop("jaxtriplet", None)
    if not ours or not values:
        return None
    apart = {name: max(map(_apart, theirs, ours)) for name, theirs in values.items()}
    said = ", ".join(f"{name} {gap:.1g}" for name, gap in apart.items())
    return f"Relative difference from jaxtriplet's loss {ours[0]:.6g} and gradient norm {ours[1]:.4g}: {said}."


def _apart(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-30)


def markdown(machine: Mapping[str, Any], plan: Plan, results: Sequence[Result], left_out: Sequence[str]) -> str:
    """Returns the whole report.

    Args:
        machine: What `machine.describe` returned.
        plan: What was measured, resolved.
        results: The settings of the table with their outcomes.
        left_out: Sentences that name the contenders that do not take part, and why.

    Returns:
        Markdown.
    """
    template = jinja2.Template(Path(__file__).with_name("bench.md.jinja").read_text(), trim_blocks=True)
    said = {"machine": machine, "plan": plan, "results": results, "left_out": left_out}
    numbers = {loss: numbers_of(loss) for loss in words.split(plan.losses)}
    return template.render(said, numbers=numbers, table=table, agreement=agreement)


def not_installed(contender: Contender) -> str:
    """Returns the sentence that names a contender that is left out."""
    return f"{contender.name} is left out: {' and '.join(contender.missing)} not installed"


def as_json(result: Result) -> dict[str, Any]:
    """Returns one setting as JSON: seconds and bytes; null where a contender failed."""
    setting, outcomes = result
    shown = [
        {
            "contender": outcome.contender,
            "failure": outcome.failure,
            "wall_seconds": outcome.figure("wall"),
            "cpu_seconds": outcome.figure("cpu"),
            "peak_bytes": outcome.figure("peak"),
            **outcome.ready,
            "turns": outcome.turns,
        }
        for outcome in outcomes
    ]
    return setting._asdict() | {"numbers": numbers_of(setting.loss), "outcomes": shown}

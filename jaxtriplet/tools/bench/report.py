"""Tables of a benchmark: as Markdown, and as what goes into JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxtriplet.tools.bench.contenders import CONTENDERS, Contender
from jaxtriplet.tools.bench.plan import Plan, Setting
from jaxtriplet.tools.bench.race import MARGIN, Outcome, Result

_REFERENCES = ("jaxtriplet", "floor")
_HEADINGS = (
    "contender",
    *("wall ms", "/ jaxtriplet", "/ floor"),
    *("CPU ms", "/ jaxtriplet", "/ floor"),
    *("peak MiB", "first call s"),
)


def row(outcome: Outcome, references: Mapping[str, Outcome]) -> list[str]:
    """Returns a row of a setting's table.

    Args:
        outcome: The contender's.
        references: The outcomes to divide by, by name; a reference that is not there, or failed, leaves a dash.

    Returns:
        As many cells as the table has columns.
    """
    choice = outcome.ready.get("choice")
    name = f"{outcome.contender} ({choice})" if choice else outcome.contender
    if outcome.failure:
        return [name, _escape(outcome.failure), *[""] * (len(_HEADINGS) - 2)]
    cells = [name]
    for key in ("wall", "cpu"):
        cells.append(_milliseconds(getattr(outcome, key)))
        cells.extend(ratio(outcome, references.get(reference), key) for reference in _REFERENCES)
    return [*cells, f"{(outcome.peak or 0) / 2**20:,.0f}", f"{outcome.ready['first_call']:.1f}"]


def ratio(outcome: Outcome, reference: Outcome | None, key: str) -> str:
    """Returns how many times the reference's median a contender's is, or a dash."""
    ours, theirs = getattr(outcome, key), getattr(reference, key) if reference else None
    if ours is None or not theirs:
        return "-"
    times = ours / theirs
    return f"{times:.2f}" if times < 10 else f"{times:,.0f}"


def _milliseconds(seconds: float) -> str:
    decimals = 2 if seconds < 0.01 else 1 if seconds < 1 else 0
    return f"{1e3 * seconds:,.{decimals}f}"


def _escape(words: str) -> str:
    return words.replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the Markdown table of one setting."""
    references = {outcome.contender: outcome for outcome in outcomes}
    rules = ["---", *["---:"] * (len(_HEADINGS) - 1)]
    return "\n".join(map(_line, (_HEADINGS, rules, *(row(outcome, references) for outcome in outcomes))))


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
    apart = [max(_apart(a, b) for a, b in zip(theirs, ours, strict=True)) for theirs in values.values()]
    said = ", ".join(f"{name} {gap:.1g}" for name, gap in zip(values, apart, strict=True))
    return f"Relative difference from jaxtriplet's loss {ours[0]:.6g} and gradient norm {ours[1]:.4g}: {said}."


def _apart(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b), 1e-30)


def markdown(machine: Mapping[str, Any], plan: Plan, results: Sequence[Result], missing: Sequence[Contender]) -> str:
    """Returns the whole report.

    Args:
        machine: What `machine.describe` returned.
        plan: What was measured, resolved.
        results: The settings of the table with their outcomes.
        missing: The contenders that are not installed.

    Returns:
        Markdown.
    """
    return "\n\n".join(_sections(machine, plan, results, missing)) + "\n"


def _sections(
    machine: Mapping[str, Any], plan: Plan, results: Sequence[Result], missing: Sequence[Contender]
) -> Iterator[str]:
    yield "# Value and gradient of a batch: time and memory"
    yield _in_words(machine)
    yield (
        f"Medians; rounds: {plan.rounds} (fewer where they would take over {plan.time_limit:g} s). Each contender in "
        "a process of its own, called in turn. CPU is the time of all threads; / jaxtriplet and / floor are ratios; "
        "peak is the memory of the whole process, libraries and compilation included; the first call includes "
        f"compilation. Random embeddings of unit length, float32, margin {MARGIN}."
    )
    for setting, outcomes in results:
        yield f"## {setting}"
        yield table(outcomes)
        if said := agreement(setting, outcomes):
            yield said
    yield "## Notes"
    yield "\n".join(_notes(plan, missing))


def _in_words(machine: Mapping[str, Any]) -> str:
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    return f"{hardware}; {', '.join(f'{name} {version}' for name, version in machine['versions'].items())}."


def _notes(plan: Plan, missing: Sequence[Contender]) -> Iterator[str]:
    for contender in plan.contenders:
        notes = [f"{loss}: {words}" if loss else words for loss, words in contender.notes.items()]
        yield f"- **{contender.name}**: {'; '.join(notes)}."
    for contender in missing:
        yield f"- {not_installed(contender)}."


def not_installed(contender: Contender) -> str:
    """Returns the sentence that names a contender that is left out."""
    return f"{contender.name} is left out: {' and '.join(contender.missing)} not installed"


def as_json(result: Result) -> dict[str, Any]:
    """Returns one setting as JSON: seconds and bytes; null where a contender failed."""
    setting, outcomes = result
    return setting._asdict() | {"outcomes": [_outcome(outcome) for outcome in outcomes]}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    medians = {"wall_seconds": outcome.wall, "cpu_seconds": outcome.cpu, "peak_bytes": outcome.peak}
    return (
        {"contender": outcome.contender, "failure": outcome.failure}
        | medians
        | outcome.ready
        | {"turns": outcome.turns}
    )

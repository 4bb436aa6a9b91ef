"""Which loss, and does a back-end help: each tried on speakers who were not trained on, by folds over your own.

    python examples/compare_losses.py DATA --folds folds.json --out rows.jsonl --seeds 0 1 2

`DATA` holds <speaker>/[<session>/]<utterance>; `folds.json` holds, by the name of a fold, the speakers whom it judges,
by an encoder that was trained on all others: `{"studio": ["ann", "bo", ...], "phone": ["cy", "di", ...]}`, each of five
or more. Speakers who share a microphone belong into one fold, or the microphone is what is recognised. Each line of the
output is a run: the equal error rate of all pairs of the fold's recordings, by the cosine of embeddings and by the
back-end, with 95 % intervals over speakers. What is in the file already is not done again; at the end a table is
printed, and with `--picture rates.png` drawn. A run takes a minute or two on two cores.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jaxtriplet.data import recordings
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import fit
from jaxtriplet.jobs.meeting import devices_for
from jaxtriplet.jobs.sources.recordings import FolderOfRecordings
from jaxtriplet.metrics import MIN_SPEAKERS, bootstrap_interval, equal_error_rate, min_dcf, pair_scores
from jaxtriplet.pages import pictures

UNTRAINED = "untrained"
LOSSES: dict[str, dict[str, Any]] = {
    UNTRAINED: {},
    "supervised-contrastive": {"loss": "supervised-contrastive", "temperature": 0.1},
    "semi-hard": {"loss": "semi-hard", "margin": 0.4},
    "batch-all": {"loss": "batch-all", "margin": 0.4},
    "batch-hard": {"loss": "batch-hard", "margin": 0.4},
    "deep-speaker: triplets drawn, not mined": {"loss": "deep-speaker", "margin": 0.4},
    "ge2e": {"loss": "ge2e"},
    "angular-prototypical": {"loss": "angular-prototypical"},
    "aam-softmax": {"loss": "aam-softmax", "margin": 0.2},
    "aam-softmax+semi-hard": {"loss": "0.1*aam-softmax:0.2+semi-hard:0.4"},
}


def judge(prefix: str, scores: np.ndarray, same: np.ndarray, speakers: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yields the figures of the pairs of some recordings."""
    yield f"{prefix}_equal_error_rate", equal_error_rate(scores, same)
    yield f"{prefix}_interval", list(bootstrap_interval(scores, same, speakers, draws=200))
    yield f"{prefix}_min_dcf", min_dcf(scores, same)


def run(data: Path, held: list[str], numbers: dict[str, Any], *, trained: bool) -> dict[str, Any]:
    """Trains on all speakers but those held out, and returns the figures of these."""
    everybody = recordings(data)
    with tempfile.TemporaryDirectory() as place:
        others = Path(place, "others")
        others.mkdir()
        for speaker in set(everybody.speakers) - set(held):
            (others / speaker).symlink_to((data / speaker).resolve())
        source = FolderOfRecordings(Config.of_recipe("best", **numbers), data=others, quiet=True)
        mesh = devices_for(source.config)
        model = source.build()
        if trained:
            steps = source.config.training.steps
            model, _, _ = fit(source, source.batches(mesh.size), Path(place), mesh, checkpoint_every=steps, quiet=True)
        fitted = source.run(model)
        rows = [row for row, label in enumerate(everybody.labels) if everybody.speakers[label] in held]
        index = everybody.take(np.array(rows))
        pairs = np.stack(np.triu_indices(len(index), 1), axis=1)
        plain = fitted._replace(layer="embedding", backend=None)
        cosines = pair_scores(plain.rows(index), index.labels)
        scored = pair_scores(fitted.rows(index), index.labels, backend=fitted.backend)
        speakers = index.labels[pairs]
        return {**dict(judge("cosine", *cosines, speakers)), **dict(judge("backend", *scored, speakers))}


def rates(rows: list[dict[str, Any]], loss: str, prefix: str) -> list[float]:
    """Returns the equal error rate of each seed, in percent, the mean over folds."""
    own, name = [row for row in rows if row["loss"] == loss], f"{prefix}_equal_error_rate"
    seeds = sorted({row["seed"] for row in own})
    return [100 * float(np.mean([row[name] for row in own if row["seed"] == seed])) for seed in seeds]


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yields the lines of a table in Markdown: means over folds, and over seeds with their range."""
    yield "| loss | cosine | interval | back-end | interval | minDCF |"
    yield "|---|---|---|---|---|---|"
    for loss in dict.fromkeys(row["loss"] for row in rows):
        own = [row for row in rows if row["loss"] == loss]
        cells = [loss]
        for prefix in ("cosine", "backend"):
            seeds = rates(rows, loss, prefix)
            low, high = 100 * np.mean([row[f"{prefix}_interval"] for row in own], axis=0)
            cells += [f"{np.mean(seeds):.1f} ({min(seeds):.1f} to {max(seeds):.1f})", f"{low:.1f} to {high:.1f}"]
        cells.append(f"{np.mean([row['backend_min_dcf'] for row in own]):.2f}")
        yield f"| {' | '.join(cells)} |"


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draws the equal error rates of the losses: dots for seeds, a ring for their mean."""
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    with matplotlib.rc_context({**pictures.THEME, "figure.facecolor": "white"}):
        figure = Figure(figsize=(8.0, 0.9 + 0.42 * len(losses)), layout="constrained")
        ax = figure.subplots()
        for prefix, words, colour in (
            ("cosine", "cosine of the last layer", pictures.DIFFERENT),
            ("backend", "PLDA of the statistics before it", pictures.SAME),
        ):
            for place, loss in enumerate(losses):
                seeds = rates(rows, loss, prefix)
                ax.plot(seeds, [place] * len(seeds), "o", markersize=4, color=colour, alpha=0.6)
                label = words if not place else None
                ax.plot([np.mean(seeds)], [place], "o", markersize=10, color=colour, fillstyle="none", label=label)
        ax.set_yticks(range(len(losses)), losses)
        ax.invert_yaxis()
        ax.set(xlabel="equal error rate of speakers who were not trained on (%)", xlim=(0, None))
        figure.legend(loc="outside upper right", ncols=2)
        figure.savefig(file, dpi=110)


def main() -> None:
    """Does what is not in the file yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    asked = parser.parse_args()
    folds: dict[str, list[str]] = json.loads(asked.folds.read_text())
    if small := [fold for fold, held in folds.items() if len(held) < MIN_SPEAKERS]:
        parser.error(f"folds of fewer than {MIN_SPEAKERS} speakers have no interval: {', '.join(small)}")
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["loss"], row["seed"], row["fold"]) for row in rows}
    for seed in asked.seeds:
        for loss in asked.losses:
            for fold, held in folds.items():
                if (loss, seed, fold) in done:
                    continue
                figures = run(asked.data, held, {**LOSSES[loss], "seed": seed}, trained=loss != UNTRAINED)
                rows.append({"loss": loss, "seed": seed, "fold": fold, **figures})
                with asked.out.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print("\n".join(table(rows)))
    if asked.picture is not None:
        draw(rows, asked.picture)


if __name__ == "__main__":
    main()

"""The command `cluster`: who speaks when nobody says so."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click
import numpy as np

from jaxtriplet import metrics
from jaxtriplet.cli import recorded
from jaxtriplet.data import Recordings
from jaxtriplet.jobs import runs
from jaxtriplet.metrics.agglomerative import agglomerative, agglomerative_within, silhouettes
from jaxtriplet.pages import clustering_page


class Grouped(NamedTuple):
    """Recordings in clusters.

    Attributes:
        clusters: The cluster of each recording, [N], numbered from 0 by size, the largest first.
        estimated_by: How their number was found: "given", "threshold" or "silhouette".
        threshold: Down to which clusters were merged, where that decided.
        tried: Numbers of clusters and their silhouettes, where these decided.
    """

    clusters: np.ndarray
    estimated_by: str
    threshold: float | None = None
    tried: Mapping[int, float] = MappingProxyType({})


@click.command()
@recorded.RUN
@recorded.DATA
@click.option("--num-speakers", type=click.IntRange(1), help="How many speak, if that is known.")
@click.option(
    "--estimate",
    type=click.Choice(["threshold", "silhouette"]),
    default="threshold",
    show_default=True,
    help="How to find their number.",
)
@click.option("--threshold", type=float, help="Mean cosine of two clusters of one speaker.  [default: the run's]")
@click.option("--max-speakers", type=click.IntRange(2), default=100, show_default=True, help="Silhouettes to try.")
@recorded.UNLABELLED
@recorded.out_folder("cluster")
@recorded.OVERWRITE
@recorded.JSON
@recorded.QUIET
def cluster(
    run: Path,
    data: Path,
    num_speakers: int | None,
    estimate: str,
    threshold: float | None,
    max_speakers: int,
    unlabelled: bool,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Group the recordings of a folder by speaker, with the encoder in the folder RUN.

    The two clusters of the highest mean cosine are merged, again and again: until --num-speakers are left or, if that
    is not known, while the mean is at least --threshold; the run's own is the score that told its development speakers
    (without these, its training speakers) apart with equal errors. --estimate silhouette needs no threshold: it takes
    the number from 2 to --max-speakers whose clusters have the highest mean silhouette, but never finds a single
    speaker, and a few odd recordings can pass for one.

    The speakers that the folder tells are not looked at but to judge the result. The folder of the results gets
    metrics.json, speakers.rttm (a line for each recording: who speaks from where to where) and report.html.
    """
    if threshold is not None and (num_speakers is not None or estimate == "silhouette"):
        raise ValueError("--threshold says where to stop, as --num-speakers and --estimate silhouette do: give one")
    folder = runs.choose(out or Path("runs") / time.strftime("cluster-%Y-%m-%d_%H-%M-%S"), overwrite=overwrite)
    encoder = runs.load_speech(run)
    if num_speakers is None and estimate == "threshold" and threshold is None:
        threshold = recorded.threshold_of(run)
        if threshold is None:
            raise ValueError(f"{run} has no threshold of its own; give --num-speakers, --threshold or --estimate")
    index = recorded.listen(data, labelled=not unlabelled, quiet=quiet)
    embeddings = recorded.embed(encoder, index, quiet=quiet)
    grouped = group(embeddings, num_speakers=num_speakers, threshold=threshold, max_speakers=max_speakers)
    figures = _figures(index, grouped, judged=not unlabelled)
    runs.claim(folder, overwrite=overwrite)
    runs.write_json(folder / "metrics.json", figures)
    (folder / "speakers.rttm").write_text("".join(_rttm(index, grouped.clusters)))
    settings = {"run": str(run), "data": str(data), "num_speakers": num_speakers, "estimate": estimate}
    clustering_page(
        folder,
        figures=figures,
        embeddings=embeddings,
        clusters=grouped.clusters,
        settings=settings,
        speakers=None if unlabelled else [index.speakers[label] for label in index.labels],
        tried=grouped.tried,
    )
    print(json.dumps(figures) if as_json else _in_words(figures, folder))


def group(embeddings: np.ndarray, *, num_speakers: int | None, threshold: float | None, max_speakers: int) -> Grouped:
    """Groups recordings by speaker.

    Args:
        embeddings: One row a recording, [N, E].
        num_speakers: How many clusters to make, if that is known.
        threshold: Else, the mean cosine down to which two clusters are merged; None leaves it to the silhouettes.
        max_speakers: Largest number of clusters to try with silhouettes.

    Returns:
        The clusters.

    Raises:
        ValueError: There are fewer recordings than that takes.
    """
    if num_speakers is not None:
        return Grouped(_by_size(agglomerative(embeddings, num_speakers)), "given")
    if threshold is not None:
        return Grouped(_by_size(agglomerative_within(embeddings, threshold)), "threshold", threshold)
    if len(embeddings) < 3:
        raise ValueError(
            f"{len(embeddings)} recordings have no silhouette to choose by; give --num-speakers or --threshold"
        )
    counts = range(2, min(max_speakers, len(embeddings) - 1) + 1)
    tried = dict(zip(counts, silhouettes(embeddings, counts).tolist(), strict=True))
    best = max(tried, key=lambda count: tried[count])
    return Grouped(_by_size(agglomerative(embeddings, best)), "silhouette", tried=tried)


def _by_size(clusters: np.ndarray) -> np.ndarray:
    """Returns clusters numbered by size, the largest first."""
    ranks = np.argsort(np.argsort(-np.bincount(clusters), kind="stable"))
    return ranks[clusters]


def _figures(index: Recordings, grouped: Grouped, *, judged: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "num_clusters": int(grouped.clusters.max()) + 1,
        "estimated_by": grouped.estimated_by,
        "num_recordings": len(index),
    }
    if grouped.threshold is not None:
        figures["threshold"] = grouped.threshold
    if grouped.tried:
        figures["silhouette"] = grouped.tried[figures["num_clusters"]]
    if judged:
        figures |= {
            "num_speakers": len(index.speakers),
            "purity": metrics.purity(index.labels, grouped.clusters),
            "nmi": metrics.normalized_mutual_information(index.labels, grouped.clusters),
            "misclassification_rate": metrics.misclassification_rate(index.labels, grouped.clusters),
        }
    return figures | recorded.problems_as_json(index.problems)


def _rttm(index: Recordings, clusters: np.ndarray) -> Iterator[str]:
    """Yields the lines of NIST's Rich Transcription Time Marked format; white space in a path becomes %20."""
    for path, seconds, number in zip(index.paths.tolist(), index.seconds, clusters, strict=True):
        name = "%20".join(path.split())
        yield f"SPEAKER {name} 1 0.000 {seconds:.3f} <NA> <NA> speaker{number + 1} <NA> <NA>\n"


def _in_words(figures: Mapping[str, Any], folder: Path) -> str:
    lines = [f"{figures['num_recordings']:,} recordings in {figures['num_clusters']} clusters"]
    if "purity" in figures:
        lines.append(
            f"{figures['num_speakers']} speakers: purity {figures['purity']:.2%}, NMI {figures['nmi']:.3f}, "
            f"misclassification rate {figures['misclassification_rate']:.2%}"
        )
    lines.append(f"{figures['num_left_out']:,} recordings left out")
    return "\n".join([*lines, f"who speaks: {folder / 'speakers.rttm'}", f"pictures: {folder / 'report.html'}"])

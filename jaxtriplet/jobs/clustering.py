"""The job `cluster`: who speaks when nobody says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxtriplet import _checks, _files, metrics, pages
from jaxtriplet.data import Recordings
from jaxtriplet.jobs import listening, runs
from jaxtriplet.jobs.scoring import Comparison
from jaxtriplet.jobs.told import asked_words
from jaxtriplet.metrics.agglomerative import agglomerative, agglomerative_within, silhouettes

ESTIMATES = ("threshold", "silhouette")


class Grouped(NamedTuple):
    """Recordings in clusters.

    Attributes:
        clusters: The number of the cluster of each recording, [N], from 1 by size, the largest first.
        estimated_by: How their number was found: "given", "threshold" or "silhouette".
        threshold: Down to which mean cosine clusters were merged, where that decided.
        tried: Numbers of clusters and their silhouettes, where these decided.
    """

    clusters: np.ndarray
    estimated_by: str
    threshold: float | None = None
    tried: dict[int, float] | None = None


class Clustered(NamedTuple):
    """What `cluster` found.

    Attributes:
        folder: Where it is written.
        figures: The content of `metrics.json`.
        recordings: The recordings, N of them.
        embeddings: Of each recording, [N, E], of unit length.
        clusters: The number of the cluster of each recording, [N], from 1 by size, the largest first: in speakers.rttm,
            whoever speaks in cluster 1 is called speaker1.
    """

    folder: Path
    figures: dict[str, Any]
    recordings: Recordings
    embeddings: np.ndarray
    clusters: np.ndarray


def cluster(
    run: str | Path,
    data: str | Path,
    *,
    num_speakers: int | None = None,
    estimate: Literal["threshold", "silhouette"] = "threshold",
    threshold: float | None = None,
    max_speakers: int = 100,
    backend: str | None = None,
    backend_layer: str | None = None,
    fit_on: str | Path | None = None,
    crops: int = 0,
    crop_seconds: float = 4.0,
    labelled: bool = True,
    allow_outside: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Clustered:
    """Groups the recordings of a folder by speaker, and writes metrics.json, speakers.rttm and report.html.

    The two clusters of the highest mean cosine are merged, again and again: until `num_speakers` are left or, if that
    is not known, while the mean is at least `threshold`. `estimate="silhouette"` takes the number from 2 to
    `max_speakers` whose clusters have the highest mean silhouette instead.

    Args:
        run: The folder of a finished run on recordings.
        data: The folder of the recordings.
        num_speakers: How many speak, if that is known.
        estimate: Else, how to find their number.
        threshold: Mean cosine of two clusters of one speaker; None for the run's own, the score that told its
            development speakers (without these, its training speakers) apart with equal errors.
        max_speakers: The largest number whose silhouette is tried, at least 2.
        backend: How to compare recordings, as `evaluate` takes it.
        backend_layer: Likewise.
        fit_on: Likewise.
        crops: Likewise.
        crop_seconds: Likewise.
        labelled: Whether `data` says who speaks: that judges the result, and is looked at for nothing else.
        allow_outside: Whether Kaldi's `wav.scp` may name files outside `data`.
        out: The folder for the results; None for `runs/cluster-<time>`.
        overwrite: Whether it may hold something.
        quiet: Whether to show no progress on standard error.

    Returns:
        The clusters, and how good they are.

    Raises:
        ValueError: The run, the recordings or the folder cannot be used, two of the ways to find the number are
            asked for, or there is none.

    Example:
        >>> from jaxtriplet import jobs
        >>> jobs.cluster("runs/mine", "recordings", num_speakers=2, threshold=0.5)
        Traceback (most recent call last):
        ...
        ValueError: `threshold` says where to stop, as `num_speakers` and `estimate="silhouette"` do: give one
    """
    _checks.option("`estimate`", estimate, ESTIMATES)
    if threshold is not None:
        _checks.finite("`threshold`", threshold)
    if threshold is not None and (num_speakers is not None or estimate == "silhouette"):
        raise ValueError('`threshold` says where to stop, as `num_speakers` and `estimate="silhouette"` do: give one')
    for name, number in (("num_speakers", num_speakers), ("max_speakers", max_speakers)):
        if number is not None:
            _checks.positive_integer(f"`{name}`", number)
    comparison = Comparison(backend, backend_layer, fit_on, crops, crop_seconds).checked()
    folder = runs.choose(out, overwrite=overwrite, job="cluster-")
    encoder = comparison.load(run)
    if num_speakers is None and estimate == "threshold" and threshold is None:
        threshold = listening.threshold_of(run) if comparison.is_own(encoder) else None
        if threshold is None:
            raise ValueError(
                f"{run} has no threshold of its own{'' if comparison.is_own(encoder) else ' for such a comparison'}; "
                'give `num_speakers`, `threshold` or `estimate="silhouette"`'
            )
    index = listening.listen(data, labelled=labelled, allow_outside=allow_outside, quiet=quiet)
    known = comparison.recordings(judged=index, allow_outside=allow_outside, quiet=quiet)
    encoder = comparison.fit(encoder, known, quiet=quiet)
    with listening.progress("embedding", quiet=quiet, compiles=True) as show:
        embeddings = encoder.embed_recordings(index, show)
    grouped = group(embeddings, num_speakers=num_speakers, threshold=threshold, max_speakers=max_speakers)
    figures = _figures(index, grouped, judged=labelled)
    runs.claim(folder, overwrite=overwrite)
    _files.write_json(folder / "metrics.json", figures)
    with _files.replacing(folder / "speakers.rttm") as file:
        file.writelines(_rttm(index, grouped.clusters))
    pages.clustering_page(
        folder,
        figures=figures,
        embeddings=embeddings,
        clusters=grouped.clusters,
        speakers=[index.speakers[label] for label in index.labels] if labelled else None,
        tried=grouped.tried,
        settings=asked_words(
            {
                "run": run,
                "data": data,
                "num_speakers": num_speakers,
                "estimate": None if num_speakers else estimate,
                "threshold": grouped.threshold,
                "max_speakers": None if grouped.tried is None else max_speakers,
                **comparison._asdict(),
                "crops": crops or None,
                "crop_seconds": crop_seconds if crops else None,
            }
        ),
    )
    return Clustered(folder, figures, index, embeddings, grouped.clusters)


def group(
    embeddings: ArrayLike, *, num_speakers: int | None = None, threshold: float | None = None, max_speakers: int = 100
) -> Grouped:
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

    >>> from jaxtriplet.jobs.clustering import group
    >>> group([[0.0, 1.0], [1.0, 0.1], [1.0, 0.0]], threshold=0.5).clusters
    array([2, 1, 1])
    """
    rows = np.asarray(embeddings)
    if len(rows) == 1 and num_speakers in (None, 1):
        by = "given" if num_speakers else "silhouette" if threshold is None else "threshold"
        return Grouped(np.ones(1, np.intp), by, threshold if num_speakers is None else None)
    if num_speakers is not None:
        if not 1 <= num_speakers <= len(rows):
            raise ValueError(f"`num_speakers` must be 1 to {len(rows)}, the number of utterances; got {num_speakers}")
        return Grouped(_by_size(agglomerative(rows, num_speakers)), "given")
    if threshold is not None:
        return Grouped(_by_size(agglomerative_within(rows, threshold)), "threshold", threshold)
    if min(len(rows) - 1, max_speakers) < 2:
        raise ValueError(
            f"{len(rows)} recordings have no silhouette to choose by, up to `max_speakers={max_speakers}`; "
            "give `num_speakers` or `threshold`"
        )
    counts = range(2, min(max_speakers, len(rows) - 1) + 1)
    tried = dict(zip(counts, silhouettes(rows, counts).tolist(), strict=True))
    best = max(tried, key=lambda count: tried[count])
    return Grouped(_by_size(agglomerative(rows, best)), "silhouette", tried=tried)


def _by_size(clusters: np.ndarray) -> np.ndarray:
    """Returns clusters numbered from 1 by size, the largest first."""
    ranks = np.argsort(np.argsort(-np.bincount(clusters), kind="stable"))
    return 1 + ranks[clusters]


def _figures(index: Recordings, grouped: Grouped, *, judged: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "num_clusters": int(grouped.clusters.max()),
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
    return figures | listening.problems_as_json(index.problems)


def _rttm(index: Recordings, clusters: np.ndarray) -> Iterator[str]:
    """Yields the lines of NIST's Rich Transcription Time Marked format; white space in a path becomes %20."""
    starts = index.starts / index.sample_rates
    for path, start, seconds, number in zip(index.paths.tolist(), starts, index.seconds, clusters, strict=True):
        name = "%20".join(path.split())
        yield f"SPEAKER {name} 1 {start:.3f} {seconds:.3f} <NA> <NA> speaker{number} <NA> <NA>\n"

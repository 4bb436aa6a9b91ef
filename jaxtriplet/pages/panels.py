"""Pictures that several pages show, with the words below them."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from jaxtriplet.metrics import det_curve, matched_counts
from jaxtriplet.pages import pictures
from jaxtriplet.pages.page import picture

MAX_POINTS = 1000  # t-SNE takes some five seconds for so many, and more points hide each other.
MAX_CONFUSION = 30  # Wider tables of counts cannot be read.


def verification(
    scores: ArrayLike,
    same: ArrayLike,
    *,
    rate: float,
    threshold: float,
    origin: str,
    operating_point: tuple[float, float] | None = None,
    of: str,
    unit: str = "cosine score",
) -> list[Markup]:
    """Return pictures of scores: how they are spread, and what a threshold trades.

    Args:
        scores: Scores of the trials, [T].
        same: Truth, bool [T].
        rate: The equal error rate.
        threshold: Drawn into the scores.
        origin: Where the threshold comes from, after "it is".
        operating_point: (false acceptance, false rejection) at the threshold, marked.
        of: What was scored.
        unit: What the scores are.
    """
    curve = det_curve(scores, same)
    return [
        picture(
            lambda ax: pictures.draw_score_histogram(ax, scores, same, threshold=threshold, xlabel=unit),
            f"Scores of all {of}, each kind adding up to 100%, on a logarithmic scale that shows the rare errors too. "
            f"Pairs right of the dashed line are accepted; it is {origin}.",
        ),
        picture(
            lambda ax: pictures.draw_det_curve(ax, *curve[:2], equal_error_rate=rate, operating_point=operating_point),
            f"Detection error trade-off of the {unit}s: what a stricter threshold saves in false acceptances it costs "
            "in false rejections. Nearer to the lower left corner is better; both axes are normal deviates.",
        ),
    ]


def embedding_maps(embeddings: ArrayLike, names: Mapping[str, Sequence[str]], *, of: str) -> list[Markup]:
    """Return pictures of embeddings laid out in the plane, always in the same way, each marked with other names.

    Args:
        embeddings: One row an utterance, [N, D].
        names: What each row is marked with, N strings, by what these are, such as "speaker".
        of: What the utterances are.

    Raises:
        ValueError: There are more or fewer names than rows.
    """
    rows = np.asarray(embeddings)
    total = len(rows)
    if others := {len(marks) for marks in names.values()} - {total}:
        raise ValueError(f"{total} embeddings are marked with as many names; got {others.pop()}")
    chosen = np.linspace(0, total - 1, min(total, MAX_POINTS)).astype(int)
    points, method = pictures.project(rows[chosen])
    kept = f"{len(chosen):,} of {total:,}" if len(chosen) < total else f"All {total:,}"
    hint = " Near points are alike; distances between far groups mean little." if method == "t-SNE" else ""
    return [
        picture(
            partial(pictures.draw_embedding_map, points=points, names=[marks[i] for i in chosen], method=method),
            f"{kept} {of} laid out in the plane by {method}, by {by}.{hint}",
        )
        for by, marks in names.items()
    ]


def confusion(labels: ArrayLike, clusters: ArrayLike, names: Sequence[str], *, of: str) -> list[Markup]:
    """Return a picture of clusters against speakers; none, if there are too many to be read.

    Args:
        labels: Speakers, [N].
        clusters: The cluster of every utterance, [N].
        names: The speaker of every utterance, N strings.
        of: What the utterances are.
    """
    first = np.unique(labels, return_index=True)[1]
    counts = matched_counts(labels, clusters)
    if max(counts.shape) > MAX_CONFUSION:
        return []
    rows = [names[i] for i in first]
    caption = f"{of} of every speaker in every cluster, clusters in the order of the best match: off the diagonal lie "
    return [picture(lambda ax: pictures.draw_confusion(ax, counts, rows), caption + "the misplaced ones.")]

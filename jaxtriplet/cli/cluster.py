"""The command `cluster`: who speaks when nobody says so."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from jaxtriplet.cli import kinds, options

SPEAKERS = "How many speak"
ESTIMATE = kinds.Choice(["threshold", "silhouette"])


@click.command(
    cls=options.Sections,
    examples=[
        ("runs/latest --data calls", "As many speakers as there seem to be, by the newest run."),
        ("runs/mine --data calls --unlabelled --num-speakers 2", "Two speakers, in any tree of folders."),
    ],
)
@options.RUN
@options.DATA
@options.option("--num-speakers", type=kinds.Whole(1), help="How many speak, if that is known.", section=SPEAKERS)
@options.option(
    "--estimate",
    type=ESTIMATE,
    default="threshold",
    show_default=True,
    help="How to find their number.",
    section=SPEAKERS,
)
@options.option(
    "--threshold",
    type=kinds.Number(),
    help="Mean cosine of two clusters of one speaker.  [default: the run's]",
    section=SPEAKERS,
)
@options.option(
    "--max-speakers",
    type=kinds.Whole(2),
    default=100,
    show_default=True,
    help="Silhouettes to try.",
    section=SPEAKERS,
)
@options.comparing()
@options.LABELLED
@options.ALLOW_OUTSIDE
@options.out_folder("cluster")
@options.OVERWRITE
@options.JSON
@options.QUIET
def cluster(as_json: bool, **asked: Any) -> None:
    """Group the recordings of a folder by speaker, with the encoder in the folder RUN.

    RUN is the folder of a finished run on recordings; runs/latest, if none is named.

    The two clusters of the highest mean cosine are merged, again and again: until --num-speakers are left or, if that
    is not known, while the mean is at least --threshold; the run's own is the score that told its development speakers
    (without these, its training speakers) apart with equal errors. --estimate silhouette needs no threshold: it takes
    the number from 2 to --max-speakers whose clusters have the highest mean silhouette, but never finds a single
    speaker, and a few odd recordings can pass for one.

    The speakers that the folder tells are not looked at but to judge the result. The folder of the results gets
    metrics.json, speakers.rttm (a line for each recording: who speaks from where to where) and report.html.
    """
    from jaxtriplet import jobs

    done = jobs.cluster(**asked)
    places = [f"who speaks: {done.folder / 'speakers.rttm'}", f"pictures: {done.folder / 'report.html'}"]
    print(json.dumps(done.figures) if as_json else "\n".join([*_in_words(done.figures), *places]))


def _in_words(figures: Mapping[str, Any]) -> Iterator[str]:
    clusters = "1 cluster" if figures["num_clusters"] == 1 else f"{figures['num_clusters']} clusters"
    yield f"{figures['num_recordings']:,} recordings in {clusters}"
    if "purity" in figures:
        yield (
            f"{figures['num_speakers']} speakers: purity {figures['purity']:.2%}, NMI {figures['nmi']:.3f}, "
            f"misclassification rate {figures['misclassification_rate']:.2%}"
        )
    yield f"{figures['num_left_out']:,} recordings left out"

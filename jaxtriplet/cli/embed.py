"""The command `embed`: every recording of a folder, in one file."""

import json
from typing import Any

import click

from jaxtriplet.cli import options


@click.command(
    cls=options.Sections,
    examples=[
        ("runs/latest --data calls --out calls.npz", "A vector for each recording, by the newest run."),
        ("runs/mine --data calls --unlabelled --out calls.npz", "Of nobody knows whom, in any tree of folders."),
    ],
)
@options.RUN
@options.DATA
@options.option(
    "--out",
    type=options.PATH,
    metavar="FILE.npz",
    required=True,
    help="File for the embeddings, FILE.npz.",
    section=options.OUTPUT,
)
@options.comparing()
@options.LABELLED
@options.ALLOW_OUTSIDE
@options.OVERWRITE
@options.JSON
@options.QUIET
@options.distributed
def embed(as_json: bool, **asked: Any) -> None:
    """Embed every recording of a folder with the encoder in the folder RUN.

    RUN is the folder of a finished run on recordings; runs/latest, if none is named.

    The file holds `embeddings` [N, E], `paths` [N] (relative to --data) and, where the folder tells who speaks,
    `labels` [N] and `speakers` [S]: recording i is of speakers[labels[i]]. Of Kaldi's folders it also holds the names,
    `utterances` [N]. Recordings may be of any length; silences of 0.3 s and more weigh nothing.

    What is done is kept in FILE.npz.partial meanwhile: after an interruption, the same command goes on from there.

    With --distributed, several processes share the recordings: each reads and embeds some of them (those of --fit-on
    too), and process 0 writes the file. All of them see the same recordings, and the folder of FILE.npz. If one of them
    is gone, all end; the same command goes on, in as many processes as you like or in one.
    """
    from jaxtriplet import jobs

    figures = jobs.embed(**asked).figures
    if figures is None:
        return
    speakers = f" of {figures['num_speakers']} speakers" if "num_speakers" in figures else ""
    words = (
        f"{figures['num_recordings']:,} recordings{speakers}, {figures['hours']:.2f} h, in "
        f"{figures['embedding_dim']} dimensions; {figures['num_left_out']:,} left out\nembeddings: {figures['file']}"
    )
    print(json.dumps(figures) if as_json else words)

"""The command `export`: an encoder as one file that needs JAX and flatbuffers, and nothing else."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from jaxtriplet.cli import options

HOW_TO = """{bytes:,} bytes for {platforms}: {file}
to see whether it is still what was written: (cd {folder} && sha256sum --check {sums})
to use it, with JAX and flatbuffers alone (pip install jax flatbuffers):

    import jax, numpy as np, pathlib
    encoder = jax.export.deserialize(pathlib.Path({file!r}).read_bytes())
    waveforms = np.zeros((2, {sample_rate}), np.float32)   # [B, T] samples at {sample_rate} Hz, T from {shortest} up
    lengths = np.full(2, {sample_rate}, np.int32)          # [B] how many of them count, from {shortest} to T
    embeddings = encoder.call(waveforms, lengths)   # [B, {embedding_dim}] of unit length: compare them by inner product

a row is NaN where its length is another, or a sample of it NaN or infinite.
`embed` leaves silences of 0.3 s and more out; an exported encoder hears all that it is given.
"""


@click.command(
    cls=options.Sections,
    examples=[("runs/latest --out encoder.jax", "One file of the newest run; how to use it is printed.")],
)
@options.RUN
@options.option(
    "--out", type=options.PATH, metavar="FILE", required=True, help="File to write.", section=options.OUTPUT
)
@options.comparing(crops=False)
@options.ALLOW_OUTSIDE
@options.OVERWRITE
@options.JSON
@options.QUIET
def export(as_json: bool, **asked: Any) -> None:
    """Write the encoder in the folder RUN into one file that needs JAX and flatbuffers alone.

    RUN is the folder of a finished run on recordings; runs/latest, if none is named. Front end, weights and back-end
    are in the file.

    It takes any number of waveforms of any length from 0.1 s up, and runs on cpu, cuda and tpu. A recording is embedded
    at once, however long it is; `embed` averages windows of what is longer than 10 s. `embed` leaves silences of 0.3 s
    and more out; an exported encoder hears all that it is given.
    """
    from jaxtriplet import jobs

    figures = jobs.export(**asked).figures
    file = Path(figures["file"])
    sums = {"folder": shlex.quote(str(file.parent)), "sums": shlex.quote(f"{file.name}.sha256")}
    told = {**figures, **sums, "platforms": ", ".join(figures["platforms"])}
    print(json.dumps(figures) if as_json else HOW_TO.format(**told))

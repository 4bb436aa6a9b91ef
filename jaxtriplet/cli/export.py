"""The command `export`: an encoder as one file that needs nothing but JAX."""

import json
from typing import Any

import click

from jaxtriplet.cli import options

HOW_TO = """{bytes:,} bytes for {platforms}: {file}
to see whether it is still what was written: sha256sum --check {file}.sha256
to use it, with JAX alone:

    import jax, numpy as np, pathlib
    encoder = jax.export.deserialize(pathlib.Path({file!r}).read_bytes())
    waveforms = np.zeros((2, {rate}), np.float32)    # [B, T] samples at {rate} Hz, B and T as you like
    lengths = np.array([{rate}, {rate}], np.int32)   # [B] how many of them count
    embeddings = encoder.call(waveforms, lengths)    # [B, {dim}], of unit length: compare them by inner product
"""


@click.command()
@options.RUN
@click.option("--out", type=options.PATH, required=True, help="File to write.")
@options.OVERWRITE
@options.JSON
def export(as_json: bool, **asked: Any) -> None:
    """Write the encoder in the folder RUN, weights and front end, into one file that needs nothing but JAX.

    It takes any number of waveforms of any length from 0.1 s up, and runs on cpu, cuda and tpu. A recording is embedded
    at once, however long it is; `embed` averages windows of what is longer than 10 s.
    """
    from jaxtriplet import jobs

    figures = jobs.export(**asked).figures
    platforms, rate, dim = ", ".join(figures["platforms"]), figures["sample_rate"], figures["embedding_dim"]
    words = HOW_TO.format(bytes=figures["bytes"], platforms=platforms, file=figures["file"], rate=rate, dim=dim)
    print(json.dumps(figures) if as_json else words)

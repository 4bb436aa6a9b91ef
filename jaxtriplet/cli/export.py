"""The command `export`: an encoder as one file that needs nothing but JAX."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np
from jax import export as jax_export

from jaxtriplet.cli import recorded
from jaxtriplet.data.audio import library
from jaxtriplet.jobs import runs

PLATFORMS = ("cpu", "cuda", "tpu")
SHORTEST = 0.1  # seconds; what is shorter is refused as a recording, too

HOW_TO = """
    import jax, numpy as np, pathlib
    encoder = jax.export.deserialize(pathlib.Path({file!r}).read_bytes())
    waveforms = np.zeros((2, {rate}), np.float32)    # [B, T] samples at {rate} Hz, B and T as you like
    lengths = np.array([{rate}, {rate}], np.int32)   # [B] how many of them count
    embeddings = encoder.call(waveforms, lengths)    # [B, {dim}], of unit length: compare them by inner product
"""


@click.command()
@recorded.RUN
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@recorded.OVERWRITE
@recorded.JSON
def export(run: Path, out: Path, overwrite: bool, as_json: bool) -> None:
    """Write the encoder in the folder RUN, weights and front end, into one file that needs nothing but JAX.

    It takes any number of waveforms of any length from 0.1 s up, and runs on cpu, cuda and tpu. A recording is embedded
    at once, however long it is; `embed` averages windows of what is longer than 10 s.
    """
    library("flatbuffers")
    if out.exists() and not overwrite:
        raise ValueError(f"{out} is there already; name another file, or add --overwrite to replace it")
    encoder = runs.load_speech(run)
    content = serialized(encoder.forward, encoder.sample_rate)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    dim = jax_export.deserialize(bytearray(content)).out_avals[0].shape[-1]
    figures = {
        "file": str(out),
        "bytes": len(content),
        "platforms": list(PLATFORMS),
        "sample_rate": encoder.sample_rate,
        "embedding_dim": dim,
        "jax_version": jax.__version__,
    }
    words = f"{len(content):,} bytes for {', '.join(PLATFORMS)}: {out}\nto use it, with JAX alone:\n"
    print(json.dumps(figures) if as_json else words + HOW_TO.format(file=str(out), rate=encoder.sample_rate, dim=dim))


def serialized(forward: Callable[[jax.Array, jax.Array], jax.Array], sample_rate: int) -> bytes:
    """Returns a function of waveforms and lengths in the format of `jax.export`.

    Args:
        forward: From waveforms [B, T] float32 and lengths [B] int32 to embeddings [B, E].
        sample_rate: In hertz.

    Returns:
        The function for all platforms, for any B, and for any T from 0.1 s up.
    """
    batch, samples = jax_export.symbolic_shape(
        "batch, samples", constraints=[f"samples >= {round(SHORTEST * sample_rate)}"]
    )
    arguments: tuple[Any, ...] = (
        jax.ShapeDtypeStruct((batch, samples), np.float32),
        jax.ShapeDtypeStruct((batch,), np.int32),
    )
    return bytes(jax_export.export(jax.jit(forward), platforms=PLATFORMS)(*arguments).serialize())

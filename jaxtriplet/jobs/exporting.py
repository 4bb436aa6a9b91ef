"""The job `export`: an encoder as one file that needs JAX and flatbuffers, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from jaxtriplet import _files
from jaxtriplet.data.audio import library
from jaxtriplet.data.inspection import SHORTEST
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.jobs.scoring import Comparison

PLATFORMS = ("cpu", "cuda", "tpu")


class Exported(NamedTuple):
    """What `export` wrote.

    Attributes:
        file: The file.
        figures: `file`, `bytes`, `sha256`, `platforms`, `sample_rate` (in hertz), `shortest` (the least T),
            `compared_by` (the back-end), `embedding_dim` and `jax_version`.
    """

    file: Path
    figures: dict[str, Any]


def export(
    run: str | Path,
    out: str | Path,
    *,
    backend: str | None = None,
    backend_layer: str | None = None,
    fit_on: str | Path | None = None,
    allow_outside: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Exported:
    """Writes the encoder of a run, front end, weights and back-end, into one file that `jax.export.deserialize` reads.

    Beside it comes its checksum, `<out>.sha256`, which `sha256sum --check` and `jobs.load_exported` look at.

    The function in it takes waveforms [B, T] float32 and lengths [B] int32, for any B and for any T from 0.1 s up, and
    returns unit-length embeddings [B, E], on cpu, cuda and tpu. A recording is embedded at once, however long it is; a
    row has no embedding but NaN if its length is less than 0.1 s or more than T, or if a sample of it is not finite.
    `embed` leaves silences of 0.3 s and more out; an exported encoder hears all that it is given.
    `jax.export` reads and writes such files by way of flatbuffers, a package of its own that JAX does not bring.

    Args:
        run: The folder of a finished run on recordings.
        out: The file to write.
        backend: How recordings are to be compared, as `evaluate` takes it: by cosines of what the file gives.
        backend_layer: Likewise.
        fit_on: Likewise.
        allow_outside: Whether Kaldi's `wav.scp` in `fit_on` may name files outside it.
        overwrite: Whether the file, or a checksum beside it, may be there already.
        quiet: Whether to show no progress on standard error.

    Returns:
        The file, and figures about it.

    Raises:
        ImportError: flatbuffers is not installed.
        ValueError: The folder holds no such run, or the file is there already.

    Example:
        >>> from jaxtriplet import jobs
        >>> jobs.export("runs/never", "encoder.jax")
        Traceback (most recent call last):
        ...
        ValueError: runs/never holds no weights of a finished run: there is no such folder
    """
    library("flatbuffers")
    file = runs.choose_file(out, overwrite=overwrite)
    runs.choose_file(_files.sum_of(file), overwrite=overwrite)
    comparison = Comparison(backend, backend_layer, fit_on)
    encoder = comparison.settled(run, allow_outside=allow_outside, quiet=quiet)
    if not quiet:
        warn(f"compiling for {', '.join(PLATFORMS)}")
    content = serialized(encoder.forward, encoder.sample_rate)
    file.parent.mkdir(parents=True, exist_ok=True)
    _files.sum_of(file).unlink(missing_ok=True)  # A kill may come before there is another: an old one would not fit.
    with _files.replacing(file, "wb") as draft:
        draft.write(content)
    _files.seal_file(file)
    figures = {
        "file": str(file),
        "bytes": len(content),
        "sha256": _files.sha256(file),
        "platforms": list(PLATFORMS),
        "sample_rate": encoder.sample_rate,
        "shortest": _shortest(encoder.sample_rate),
        "compared_by": encoder.compared_by,
        "embedding_dim": jax_export.deserialize(bytearray(content)).out_avals[0].shape[-1],
        "jax_version": jax.__version__,
    }
    return Exported(file, figures)


def serialized(forward: Callable[[jax.Array, jax.Array], jax.Array], sample_rate: int) -> bytes:
    """Returns a function of waveforms and lengths in the format of `jax.export`.

    Args:
        forward: From waveforms [B, T] float32 and lengths [B] int32 to embeddings [B, E].
        sample_rate: In hertz.

    Returns:
        The function for all platforms, for any B, and for any T from 0.1 s up; the embedding of a row whose length is
        not one is NaN.
    """
    shortest = _shortest(sample_rate)

    def guarded(waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        there = (lengths >= shortest) & (lengths <= waveforms.shape[1])
        return jnp.where(there[:, None], forward(waveforms, lengths), jnp.nan)

    # A constraint on T would be forgotten in the file. That a variable is at least 1 is not, and is said by its name.
    batch, samples = jax_export.symbolic_shape(f"batch, samples_over_{shortest - 1} + {shortest - 1}")
    arguments: tuple[Any, ...] = (
        jax.ShapeDtypeStruct((batch, samples), np.float32),
        jax.ShapeDtypeStruct((batch,), np.int32),
    )
    return bytes(jax_export.export(jax.jit(guarded), platforms=PLATFORMS)(*arguments).serialize())


def _shortest(sample_rate: int) -> int:
    return round(SHORTEST * sample_rate)


def load_exported(file: str | Path) -> jax_export.Exported:
    """Reads an exported encoder again, and checks it by the checksum beside it, FILE.sha256, if there is one.

    Args:
        file: The file.

    Returns:
        The encoder; `load_exported(file).call(waveforms, lengths)` embeds.

    Raises:
        ValueError: The file is not what was written.
    """
    path = Path(file)
    _files.check_file(path)
    return jax_export.deserialize(bytearray(path.read_bytes()))

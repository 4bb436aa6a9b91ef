"""A trained encoder of recordings, and the back-end by which they are compared."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet import models, speech
from jaxtriplet.data import Recordings
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.sources.source import weights_of
from jaxtriplet.metrics import Backend
from jaxtriplet.models import Layer
from jaxtriplet.numerics import l2_normalize
from jaxtriplet.parallel.shares import ALONE, Processes
from jaxtriplet.speech import Excerpts


class SpeechRun(NamedTuple):
    """An encoder of recordings: waveforms in, embeddings out.

    Attributes:
        config: The numbers that it was trained with.
        model: Front end and encoder.
        layer: What of the encoder recordings are compared by.
        backend: How: a back-end of that layer, fitted on recordings of other speakers; None for the cosine.
        cohort: That layer of some recordings of those speakers, for AS-norm, [M, P]; None if nothing is known of them.
        excerpts: Which parts of a recording to take the mean of.
    """

    config: Config
    model: speech.SpeechEncoder
    layer: Layer = "embedding"
    backend: Backend | None = None
    cohort: np.ndarray | None = None
    excerpts: Excerpts = Excerpts()

    @property
    def sample_rate(self) -> int:
        """Of the waveforms, in hertz."""
        return self.config.data.sample_rate

    @property
    def compared_by(self) -> str:
        """How recordings are compared, in a word or three: "none", or "plda on pooled"."""
        return "none" if self.backend is None else f"{self.backend.kind} on {self.layer}"

    def embed(self, waveforms: ArrayLike, lengths: ArrayLike) -> np.ndarray:
        """Embeds waveforms at once, in one compiled function for each shape.

        Args:
            waveforms: Samples, [N, T].
            lengths: Number of valid samples of each, [N].

        Returns:
            Unit-length embeddings, [N, E].
        """
        sounds, size = np.asarray(waveforms, np.float32), len(np.asarray(lengths))
        return self.embedded(models.embed(self.model, sounds, lengths, batch_size=size, layer=self.layer))

    def rows(
        self,
        index: Recordings,
        progress_fn: Callable[[int, int], None] | None = None,
        *,
        speed: float = 1.0,
        processes: Processes = ALONE,
    ) -> np.ndarray:
        """Returns the layer by which recordings of any length are compared.

        Args:
            index: The recordings.
            progress_fn: Called as `progress_fn(done, total)` after each batch.
            speed: How fast to play them.
            processes: Who shares the work; each calls this, and gets all rows.

        Returns:
            A row a recording, in the order of the index, [N, P].
        """
        embed = partial(speech.embed_recordings, self.model, layer=self.layer, excerpts=self.excerpts, speed=speed)
        if processes.count == 1:
            return embed(index, progress_fn=progress_fn)
        owners = processes.share(index.samples(self.sample_rate))
        mine, own = np.flatnonzero(owners == processes.index), np.zeros((0, 0), np.float32)
        with processes.rounds(progress_fn) as show:
            if len(mine):
                own = embed(index.take(mine), progress_fn=show)
        told = processes.gather(own.astype(np.float32).tobytes())
        rows = np.frombuffer(b"".join(told), np.float32).reshape(len(index), -1)
        return rows[np.argsort(np.argsort(owners, kind="stable"))]

    def embedded(self, rows: np.ndarray) -> np.ndarray:
        """Returns unit-length embeddings, [N, E], of what `rows` gives, [N, P]."""
        return rows if self.backend is None else self.backend.embed(rows).astype(rows.dtype)

    def embed_recordings(self, index: Recordings, progress_fn: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Embeds recordings of any length.

        Args:
            index: The recordings.
            progress_fn: Called as `progress_fn(done, total)` after each batch.

        Returns:
            Unit-length embeddings in the order of the index, [N, E].
        """
        return self.embedded(self.rows(index, progress_fn))

    def forward(self, waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the embeddings, [N, E]: a pure function with all numbers in it, for `jax.jit` and `jax.export`.

        Args:
            waveforms: Samples, [N, T] float32.
            lengths: Number of valid samples of each, [N] int32.
        """
        model = nnx.merge(*nnx.split(self.model), copy=True)
        if self.backend is None:
            return model.embed(waveforms, lengths)
        heard = model.pooled if self.layer == "pooled" else model.embed
        return _embedded(self.backend, heard(waveforms, lengths))

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save."""
        arrays: dict[str, Any] = {"encoder": weights_of(self.model.encoder)}
        if self.backend is not None:
            arrays["backend"] = {name: value for name, value in self.backend._asdict().items() if name != "kind"}
        return arrays if self.cohort is None else {**arrays, "cohort": self.cohort}


def _embedded(backend: Backend, rows: jax.Array) -> jax.Array:
    """Returns what `backend.embed` does, [N, P] -> [N, E], in JAX."""
    center, whiten, scales = (jnp.asarray(one, rows.dtype) for one in (backend.center, backend.whiten, backend.scales))
    with jax.default_matmul_precision("highest"):
        whitened = l2_normalize((rows - center[None]) @ whiten)
    vectors = whitened * (np.sqrt(len(scales)).astype(rows.dtype) * scales)[None]
    if backend.constant:
        last = jnp.full_like(vectors, backend.constant, shape=(*vectors.shape[:1], 1))
        vectors = jnp.concatenate([vectors, last], axis=1)
    return l2_normalize(vectors)


def read_backend(kind: str, arrays: dict[str, Any], dim: int) -> Backend:
    """Returns a back-end that was saved.

    Args:
        kind: One of `metrics.backends.KINDS`.
        arrays: What `SpeechRun.arrays` gave of it.
        dim: Numbers of the layer that recordings are compared by, D.

    Raises:
        KeyError: An array is missing.
        ValueError: One is of another layer, or not finite.
    """
    fields: dict[str, Any] = {name: np.asarray(arrays[name]) for name in Backend._fields if name != "kind"}
    width = fields["whiten"].shape[-1:]
    shapes = {"center": (dim,), "whiten": (dim, *width), "scales": width, "own": width, "offset": (), "constant": ()}
    for name, field in fields.items():
        if field.shape != shapes[name]:
            there, wanted = list(field.shape), list(shapes[name])
            raise ValueError(f"the back-end does not fit the config: {name} is of shape {there}, and would be {wanted}")
        if not np.all(np.isfinite(field)):
            raise ValueError(f"the back-end holds NaN or infinity in its {name}")
    return Backend(kind=kind, **{**fields, "offset": float(fields["offset"]), "constant": float(fields["constant"])})


def layer_of(config: Config) -> Layer:
    """Returns what of the encoder the recordings of a run are compared by.

    Args:
        config: The numbers of the run.
    """
    return "embedding" if config.backend.name == "none" else cast(Layer, config.backend.backend_layer)

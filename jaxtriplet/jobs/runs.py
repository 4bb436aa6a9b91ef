"""The folder of a training run: how it is claimed, what an encoder leaves in it, and how that is read again."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet.data import Recordings
from jaxtriplet.jobs.configs import TrainConfig
from jaxtriplet.jobs.recipes import SpeechConfig
from jaxtriplet.models import BLSTM, build, embed
from jaxtriplet.speech.encoder import SpeechEncoder, embed_recordings
from jaxtriplet.speech.features import Standardizer
from jaxtriplet.speech.frontend import NORMALIZATIONS


class Run(Protocol):
    """A trained encoder, and what it needs to embed."""

    @property
    def config(self) -> TrainConfig | SpeechConfig:
        """The numbers that it was trained with."""
        ...

    def embed(self, sequences: ArrayLike, lengths: ArrayLike, /) -> np.ndarray:
        """Returns unit-length embeddings, [N, E], of what was trained on: sequences [N, T, ...] with their lengths."""
        ...

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save, a tree."""
        ...


class VowelsRun(NamedTuple):
    """An encoder of JapaneseVowels."""

    config: TrainConfig
    model: BLSTM
    standardizer: Standardizer

    def embed(self, features: ArrayLike, lengths: ArrayLike) -> np.ndarray:
        """Embeds utterances as they come from the data set.

        Args:
            features: Frames, [N, T, F], not standardised.
            lengths: Number of valid frames of each utterance, [N].

        Returns:
            Unit-length embeddings, [N, E].
        """
        return embed(self.model, self.standardizer(jax.numpy.asarray(features), jax.numpy.asarray(lengths)), lengths)

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save."""
        return {"encoder": _weights(self.model), **self.standardizer._asdict()}


class SpeechRun(NamedTuple):
    """An encoder of recordings: waveforms in, embeddings out."""

    config: SpeechConfig
    model: SpeechEncoder

    @property
    def sample_rate(self) -> int:
        """Of the waveforms, in hertz."""
        return self.config.sample_rate

    def embed(self, waveforms: ArrayLike, lengths: ArrayLike) -> np.ndarray:
        """Embeds waveforms at once, in one compiled function for each shape.

        Args:
            waveforms: Samples, [N, T].
            lengths: Number of valid samples of each, [N].

        Returns:
            Unit-length embeddings, [N, E].
        """
        return embed(self.model, np.asarray(waveforms, np.float32), lengths, batch_size=len(np.asarray(lengths)))

    def embed_recordings(self, index: Recordings, progress_fn: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Embeds recordings of any length.

        Args:
            index: The recordings.
            progress_fn: Called as `progress_fn(done, total)` after each batch.

        Returns:
            Unit-length embeddings in the order of the index, [N, E].
        """
        return embed_recordings(self.model, index, progress_fn=progress_fn)

    def forward(self, waveforms: jax.Array, lengths: jax.Array) -> jax.Array:
        """Returns the embeddings, [N, E]: a pure function with the weights in it, for `jax.jit` and `jax.export`.

        Args:
            waveforms: Samples, [N, T] float32.
            lengths: Number of valid samples of each, [N] int32.
        """
        return nnx.merge(*nnx.split(self.model), copy=True).embed(waveforms, lengths)

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save."""
        return {"encoder": _weights(self.model.encoder)}


def build_speech_encoder(config: SpeechConfig) -> SpeechEncoder:
    """Returns the front end and encoder of a config, with fresh weights."""
    encoder = build(
        config.encoder,
        config.preset,
        config.bands,
        embedding_dim=config.embedding_dim,
        num_outputs=config.outputs if "kl-hinge" in config.weights else None,
        rngs=nnx.Rngs(config.seed),
    )
    return SpeechEncoder(
        encoder,
        sample_rate=config.sample_rate,
        waveform_augmentation=config.waveform_augmentation,
        feature_augmentation=config.feature_augmentation,
        normalize_fn=NORMALIZATIONS[config.normalization],
    )


def build_encoder(config: TrainConfig, in_features: int) -> BLSTM:
    """Returns the encoder of a config, with fresh weights."""
    return BLSTM(
        in_features,
        hidden=config.hidden,
        embedding_dim=config.embedding_dim,
        num_outputs=config.outputs if "kl-hinge" in config.weights else None,
        dropout=config.dropout,
        rngs=nnx.Rngs(config.seed),
    )


def choose(out: Path | None, *, overwrite: bool) -> Path:
    """Returns the folder for a run's results, which is not made yet.

    Args:
        out: The folder; None for `runs/<time>`.
        overwrite: Whether it may hold something already.

    Returns:
        The folder.

    Raises:
        ValueError: It is a file, or it holds something and may not.
    """
    folder = Path("runs") / time.strftime("%Y-%m-%d_%H-%M-%S") if out is None else out
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise ValueError(f"{folder} is not empty; name another folder, or add --overwrite to replace the results in it")
    return folder


def claim(out: Path | None, *, overwrite: bool) -> Path:
    """Makes the folder for a run's results, and returns it; see `choose`."""
    folder = choose(out, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose_to_resume(out: Path | None, config: TrainConfig | SpeechConfig) -> Path:
    """Returns the folder of a run that is to go on.

    Args:
        out: The folder; one that is empty or not there is a run that has not begun.
        config: The numbers of the run, resolved.

    Returns:
        The folder.

    Raises:
        ValueError: There is no folder, it holds something else than a run, or a run of other numbers.
    """
    if out is None:
        raise ValueError("--resume needs --out, the folder of the run that is to go on")
    if not out.is_dir() or not any(out.iterdir()):
        return choose(out, overwrite=False)
    if not (out / "config.json").is_file():
        raise ValueError(f"{out} holds no run to resume: it has no config.json")
    begun, now = json.loads((out / "config.json").read_text()), dataclasses.asdict(config)
    if other := [f"--{name.replace('_', '-')} {begun.get(name)}" for name in now if begun.get(name) != now[name]]:
        raise ValueError(f"{out} was begun with other numbers; resume it with {' '.join(other)}")
    return out


def save(folder: Path, run: Run) -> None:
    """Writes `config.json` and the weights of a run into a folder.

    Args:
        folder: The run's folder.
        run: What to save.
    """
    write_json(folder / "config.json", dataclasses.asdict(run.config))
    # This process alone writes, whether there are others or not.
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="weights"
    )
    with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        checkpointer.save((folder / "weights").absolute(), jax.device_get(run.arrays()), force=True)


def load(folder: Path | str) -> VowelsRun | SpeechRun:
    """Reads a trained encoder again.

    Args:
        folder: The folder of a finished run of `jaxtriplet train`.

    Returns:
        The run: of JapaneseVowels, or of recordings (whose `config.json` names a recipe).

    Raises:
        ValueError: The folder holds no finished run.
    """
    folder = Path(folder)
    if not (folder / "weights").is_dir():
        raise ValueError(f"{folder} holds no weights of a finished run")
    numbers = json.loads((folder / "config.json").read_text())
    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore((folder / "weights").absolute())
    if "recipe" in numbers:
        speech = SpeechRun(SpeechConfig(**numbers), build_speech_encoder(SpeechConfig(**numbers)))
        _set_weights(speech.model.encoder, arrays["encoder"])
        return speech
    config = TrainConfig(**numbers)
    model = build_encoder(config, len(arrays["mean"]))
    _set_weights(model, arrays["encoder"])
    return VowelsRun(config, model, Standardizer(arrays["mean"], arrays["std"]))


def load_speech(folder: Path | str) -> SpeechRun:
    """Reads an encoder of recordings again.

    Args:
        folder: The folder of a finished run of `jaxtriplet train --data`.

    Returns:
        The run.

    Raises:
        ValueError: The folder holds no finished run, or one of JapaneseVowels.
    """
    run = load(folder)
    if not isinstance(run, SpeechRun):
        raise ValueError(f"{folder} holds a run of JapaneseVowels; recordings need one of jaxtriplet train --data")
    return run


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes an object as a readable JSON file."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def _weights(model: nnx.Module) -> dict[str, Any]:
    return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def _set_weights(model: nnx.Module, arrays: dict[str, Any]) -> None:
    weights = nnx.state(model, nnx.Param)
    nnx.replace_by_pure_dict(weights, nnx.restore_int_paths(arrays))  # Orbax makes words of list places
    nnx.update(model, weights)

"""The folder of a training run: how it is claimed, what an encoder leaves in it, and how that is read again."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet.configs import TrainConfig
from jaxtriplet.features import Standardizer
from jaxtriplet.models import BLSTM, embed


class Run(NamedTuple):
    """A trained encoder, and what it needs to embed."""

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


def choose_to_resume(out: Path | None, config: TrainConfig) -> Path:
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
        arrays = jax.device_get(_arrays(run.model, run.standardizer))
        checkpointer.save((folder / "weights").absolute(), arrays, force=True)


def load(folder: Path | str) -> Run:
    """Reads a trained encoder again.

    Args:
        folder: The folder of a finished run of `jaxtriplet train`.

    Returns:
        The run.

    Raises:
        ValueError: The folder holds no finished run.
    """
    folder = Path(folder)
    if not (folder / "weights").is_dir():
        raise ValueError(f"{folder} holds no weights of a finished run")
    config = TrainConfig(**json.loads((folder / "config.json").read_text()))
    with ocp.StandardCheckpointer() as checkpointer:
        arrays = checkpointer.restore((folder / "weights").absolute())
    model = build_encoder(config, len(arrays["mean"]))
    weights = nnx.state(model, nnx.Param)
    nnx.replace_by_pure_dict(weights, nnx.restore_int_paths(arrays["encoder"]))  # Orbax makes words of list places
    nnx.update(model, weights)
    return Run(config, model, Standardizer(arrays["mean"], arrays["std"]))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes an object as a readable JSON file."""
    path.write_text(json.dumps(content, indent=2) + "\n")


def _arrays(model: BLSTM, standardizer: Standardizer) -> dict[str, Any]:
    return {"encoder": nnx.to_pure_dict(nnx.state(model, nnx.Param)), **standardizer._asdict()}

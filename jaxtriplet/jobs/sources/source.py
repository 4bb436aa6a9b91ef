"""What a source of data gives to training, and what training makes of it: a run."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import jax
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike

from jaxtriplet import _checks
from jaxtriplet.jobs.config import Config
from jaxtriplet.metrics import Judgement
from jaxtriplet.training import AugmentFn, Batch

_Model = TypeVar("_Model", bound=nnx.Module)


class Run(Protocol):
    """A trained encoder, and what it needs to embed."""

    @property
    def config(self) -> Config:
        """What it was trained with."""

    @property
    def model(self) -> Any:
        """The encoder."""

    def embed(self, inputs: ArrayLike, lengths: ArrayLike, /) -> np.ndarray:
        """Returns unit-length embeddings, [N, E], of what was trained on: [N, T, ...] with their lengths, [N]."""

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to save, a tree."""


class Judged(NamedTuple):
    """How a run was judged."""

    judgement: Judgement
    figures: Mapping[str, Any] = MappingProxyType({})
    """What metrics.json holds beside those of the judgement."""
    arrays: Mapping[str, Any] = MappingProxyType({})
    """What embeddings.npz holds beside embeddings and labels."""
    page: Mapping[str, Any] = MappingProxyType({})
    """What `pages.run_page` shows of it: `label_names`, `untrained`, `more`."""


class Source(Protocol):
    """Data to train on and to be judged on; to be inherited from."""

    needs_data: ClassVar[bool] = False
    """Whether it reads a folder, `data`."""
    watched: str = "training"
    """Of what `rate` is: "development" data choose the best state, those of "training" would say nothing."""
    augment_fn: AugmentFn | None = None
    """A random change of each example that is no part of the model."""

    config: Config
    """The numbers of the run, with no more speakers in a batch than can be drawn."""
    num_classes: int
    """Number of labels that batches hold: from 0 on."""

    def __init__(
        self,
        config: Config,
        *,
        data: Path | None,
        dev: Path | None,
        dev_fraction: float | None,
        allow_outside: bool,
        quiet: bool,
    ) -> None:
        """Looks what there is; without JAX, since the processes of a job have not met yet.

        Args:
            config: The numbers of the run.
            data: The folder to train on.
            dev: The folder of the development speakers.
            dev_fraction: The share of the speakers in `data` that are held out for development.
            allow_outside: Whether lists in the folders may name files outside them.
            quiet: Whether to show no progress.

        Raises:
            ValueError: There is nothing to train on or nothing to develop on.
        """

    def build(self) -> nnx.Module:
        """Returns the model, with fresh weights."""

    def batches(self, shares: int) -> Callable[[int], Iterator[Batch]]:
        """Returns a function: from the number of a step to the batches from that step on.

        A batch, that of all processes, has `config.num_rows` rows. Where `config.data.batches` is "balanced", it holds
        at most as many labels as `config.data.speakers` says, and at most as many rows of each as
        `config.data.utterances` says: losses rely on it.

        Args:
            shares: How many devices share a batch. Each process gives its own rows alone.

        Raises:
            ValueError: The data do not fill a batch.
        """

    def rate(self, model: Any) -> float | None:
        """Returns the equal error rate on the way; None if there is nothing to judge on."""

    def run(self, model: Any) -> Run:
        """Returns the run of a trained model."""

    def judge(self, run: Run) -> Judged:
        """Returns the judgement of a finished run."""

    @classmethod
    def read(cls, config: Config, arrays: Mapping[str, Any]) -> Run:
        """Returns a run that was saved, of its config and its arrays."""

    def content(self) -> dict[str, Any] | None:
        """Returns what data.json says of the data: by this a run that goes on knows them again."""
        return None

    def report(self) -> None:
        """Says on standard error what cannot be used."""


def weights_of(model: nnx.Module) -> dict[str, Any]:
    """Returns the weights of a model, a tree.

    Args:
        model: The model.
    """
    weights: dict[str, Any] = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    return weights


def with_weights(model: _Model, arrays: dict[str, Any]) -> _Model:
    """Returns the model, with weights that were saved.

    Args:
        model: The model.
        arrays: The weights.

    Raises:
        ValueError: They are of another model.
    """
    weights = nnx.state(model, nnx.Param)
    found = nnx.restore_int_paths(arrays)  # Orbax makes words of list places
    expected, given = _kinds(nnx.to_pure_dict(weights)), _kinds(found)
    for name in sorted({*expected, *given}):
        if (wanted := expected.get(name, "nothing")) != (there := given.get(name, "nothing")):
            raise ValueError(f"the weights do not fit the config: {name} is {there}, and would be {wanted}")
    nnx.replace_by_pure_dict(weights, found)
    nnx.update(model, weights)
    return model


def _kinds(arrays: Any) -> dict[str, str]:
    """Returns what each array of a tree is, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {jax.tree_util.keystr(path, simple=True, separator="."): _checks.seen(leaf) for path, leaf in leaves}

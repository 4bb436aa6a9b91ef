"""Kinds of parameters, by which an optimizer can tell them apart: types, since a name would change with the layer's."""

from typing import Any

import jax
from flax import nnx


class Projection(nnx.Param[jax.Array]):
    """Weights that project the output of a recurrent layer: GE2E's paper scales their gradient by 0.5."""


def kinds(params: Any) -> Any:
    """Returns "projection" in the place of every `Projection`, "encoder" in that of every other parameter.

    Args:
        params: The parameters of an encoder as `nnx.split` or `nnx.state` gives them, or any tree of arrays.

    Returns:
        A tree of words that `optax.multi_transform` takes as labels of these parameters or of their gradient.

    Example:
        >>> from flax import nnx
        >>> from jaxtriplet.models import LSTM, kinds
        >>> model = LSTM(40, hidden=8, projection=4, layers=1, embedding_dim=4, rngs=nnx.Rngs(0))
        >>> kinds(nnx.state(model)).recurrent[0]["projection"]["kernel"]
        'projection'
    """

    def kind(parameter: Any) -> str:
        return "projection" if isinstance(parameter, Projection) else "encoder"

    return jax.tree.map(kind, params, is_leaf=lambda node: isinstance(node, nnx.Variable))

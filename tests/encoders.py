"""The table of encoders, and the batch that their tests share: a new encoder is tested by its line here."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxtriplet.models import ENCODERS, Encoder, Projection

FRAMES, WIDTH = 13, 3
LENGTHS = jnp.array([13, 4, 0, 1, 6, 2, 8, 12])
FEATURES = jax.random.normal(jax.random.key(1), (len(LENGTHS), FRAMES, WIDTH))
KEYS = jax.random.split(jax.random.key(2), len(LENGTHS))
REAL = np.asarray(LENGTHS) > 0
WITHIN = np.arange(FRAMES) < np.asarray(LENGTHS)[:, None]


class Row(NamedTuple):
    """What the tests know of an encoder: small sizes, the types of its parameters, and how exact it is."""

    sizes: dict[str, Any]
    kinds: frozenset[type] = frozenset({nnx.Param})
    exact_padding: bool = False
    """Whether padding changes no bit; else a sum over more frames, or a product of more rows, groups its terms anew."""
    tolerance: float = 1e-5
    """Of an embedding computed on other devices or in another order; a norm of few frames magnifies rounding."""


ROWS = {
    "blstm": Row({"hidden": 5, "dense": (6,), "embedding_dim": 4}, exact_padding=True, tolerance=1e-6),
    "lstm": Row(
        {"hidden": 5, "projection": 4, "layers": 2, "embedding_dim": 4}, kinds=frozenset({nnx.Param, Projection})
    ),
    "tdnn": Row({"channels": (6, 5), "sizes": (5, 3), "dilations": (1, 2), "stride": 2, "embedding_dim": 4}),
    "ecapa-tdnn": Row(
        {
            "channels": 6,
            "dilations": (2, 3),
            "scale": 2,
            "stride": 2,
            "bottleneck": 5,
            "aggregated": 6,
            "embedding_dim": 4,
        }
    ),
}


def small(name: str, *, seed: int = 0, **options: Any) -> Encoder:
    """An encoder in its small sizes, or others."""
    return ENCODERS[name](WIDTH, **ROWS[name].sizes | options, rngs=nnx.Rngs(seed))


def arrays(layer: Any) -> tuple[np.ndarray, ...]:
    """Kernel and, if there is one, bias."""
    return tuple(np.asarray(array[...], np.float64) for array in (layer.kernel, layer.bias) if array is not None)

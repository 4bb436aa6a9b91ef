"""The contenders in JAX: this library, the floor, and the textbook formulas."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet.tools import losses
from jaxtriplet.tools.bench.textbook import TEXTBOOK


def prepare(
    contender: str, loss: str, batch: Sequence[np.ndarray], numbers: Mapping[str, float]
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function of the memory limit in bytes that compiles the contender and returns what to call.

    That function raises a `MemoryError` of how many bytes the compiled plan needs, if those are more.
    """
    # Numbers are traced, as in training.
    arguments = *map(jnp.asarray, batch), {name: jnp.float32(number) for name, number in numbers.items()}
    rows = tuple(place for place, array in enumerate(batch) if array.ndim > 1)
    function = TEXTBOOK[loss] if contender == "textbook" else losses.find(loss)
    graded = jax.value_and_grad(lambda *given: function(*given[:-1], **given[-1]), argnums=rows)

    def build(memory_limit: int) -> dict[str, Callable[[], Any]]:
        compiled = jax.jit(floor if contender == "floor" else graded).lower(*arguments).compile()
        plan = compiled.memory_analysis()
        needed = int(plan.temp_size_in_bytes + plan.output_size_in_bytes) if plan else 0
        if needed > memory_limit:
            raise MemoryError(needed)
        return {"": lambda: jax.block_until_ready(compiled(*arguments))}

    return build


def floor(*given: Any) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """All inner products, and the gradient that a matrix of as many weights would have: of rows, or of both sides."""
    x, *others = (one for one in given[:-1] if one.ndim > 1)
    y = others[0].reshape(-1, x.shape[1]) if others else x
    inner = jnp.matmul(x, y.T, precision="highest")
    weights = inner / 2
    by_rows = jnp.matmul(weights, y, precision="highest")
    by_columns = jnp.matmul(weights.T, x, precision="highest")
    return inner[0, 0], (by_rows, by_columns) if others else (by_rows + by_columns,)

"""The contenders in JAX: this library, the floor, and the textbook formulas."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import numerics
from jaxtriplet.tools import losses
from jaxtriplet.tools.bench.textbook import TEXTBOOK


@dataclass(frozen=True)
class OnDevice:
    """A compiled contender on an accelerator, whose calls are queued there."""

    compiled: Callable[..., Any]
    arguments: tuple[Any, ...]
    needed: int
    """Bytes on the device, by the compiler's plan: arguments, results, and what lies between."""

    def __call__(self) -> Any:
        """Queues a call."""
        return self.compiled(*self.arguments)

    def wait(self, result: Any) -> None:
        """Waits for a call, and so for those before it."""
        jax.block_until_ready(result)

    def peak(self) -> int:
        """Returns the bytes that it takes."""
        return self.needed


def prepare(
    contender: str, loss: str, batch: Sequence[np.ndarray], numbers: Mapping[str, float], device: str = "cpu"
) -> Callable[[int], dict[str, Callable[[], Any]]]:
    """Returns a function of the memory limit in bytes that compiles the contender and returns what to call.

    That function raises a `MemoryError` of how many bytes the compiled plan needs, if those are more.
    """
    # Numbers are traced, as in training.
    arguments = *map(jnp.asarray, batch), {name: jnp.float32(number) for name, number in numbers.items()}
    function = _function(contender, loss, tuple(place for place, array in enumerate(batch) if array.ndim > 1))

    def build(memory_limit: int) -> dict[str, Callable[[], Any]]:
        compiled = jax.jit(function).lower(*arguments).compile()
        plan = compiled.memory_analysis()
        needed = int(plan.temp_size_in_bytes + plan.output_size_in_bytes) if plan else 0
        if needed > memory_limit:
            raise MemoryError(needed)
        if device != "cpu":
            return {"": OnDevice(compiled, arguments, needed + int(plan.argument_size_in_bytes) if plan else 0)}
        return {"": lambda: jax.block_until_ready(compiled(*arguments))}

    return build


def _function(contender: str, loss: str, rows: tuple[int, ...]) -> Callable[..., Any]:
    """Returns value and gradients of the arguments at these places as a function of all, the numbers last."""
    name, _, fast = contender.partition("-")
    if name == "floor":
        return partial(floor, precision=numerics.FAST if fast else "highest")
    return graded(loss, rows, {"precision": fast} if fast else {}, textbook=name == "textbook")


def graded(loss: str, rows: tuple[int, ...], options: Mapping[str, Any], *, textbook: bool) -> Callable[..., Any]:
    """Returns value and gradients of a loss, or of its textbook formula, as a function of arrays and, last, numbers.

    Args:
        loss: Its name in commands.
        rows: Which of the arrays are differentiated.
        options: Its keywords.
        textbook: Whether to take the formula over all pairs or triplets in place of this library's.
    """
    function = TEXTBOOK[loss] if textbook else losses.find(loss)
    return jax.value_and_grad(lambda *given: function(*given[:-1], **given[-1], **options), argnums=rows)


def floor(*given: Any, precision: Any = "highest") -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """All inner products, and the gradient that a matrix of as many weights would have: of rows, or of both sides."""
    x, *others = (one for one in given[:-1] if one.ndim > 1)
    y = others[0].reshape(-1, x.shape[1]) if others else x
    inner = jnp.matmul(x, y.T, precision=precision)
    weights = inner / 2
    by_rows = jnp.matmul(weights, y, precision=precision)
    by_columns = jnp.matmul(weights.T, x, precision=precision)
    return inner[0, 0], (by_rows, by_columns) if others else (by_rows + by_columns,)

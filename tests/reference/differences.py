"""Central differences of a scalar function of an array."""

from collections.abc import Callable

import numpy as np


def central_differences(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The gradient of `f` at `x`, entry by entry."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        bump = np.zeros_like(x)
        bump[index] = step
        gradient[index] = (f(x + bump) - f(x - bump)) / (2 * step)
    return gradient

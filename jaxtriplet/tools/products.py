"""Products of matrices as accelerators make them: asked for there, or made of rounded parts on a CPU."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxtriplet import numerics
from jaxtriplet.types import Precision

Product = Callable[[jax.Array, jax.Array], jax.Array]
"""`[M, D], [N, D] -> [M, N]`."""


class Setting(NamedTuple):
    """How products of float32 matrices are made: each number a sum of parts, of which some pairs are multiplied."""

    preset: jax.lax.DotAlgorithmPreset
    """As the compilers know it."""
    bits: int
    """Of the mantissa of a part, the first one left out."""
    pairs: Sequence[tuple[int, int]]
    """Which parts, the first number's by the second's; small ones first, as they are added up."""


_PRESETS = jax.lax.DotAlgorithmPreset
SETTINGS = {
    "X6": Setting(_PRESETS.BF16_BF16_F32_X6, 7, ((2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0))),
    "X3": Setting(numerics.FAST, 7, ((1, 0), (0, 1), (0, 0))),
    "TF32": Setting(_PRESETS.TF32_TF32_F32, 10, ((0, 0),)),
    "bfloat16": Setting(_PRESETS.BF16_BF16_F32, 7, ((0, 0),)),
}
"""Those that are less than float32; X3 is what `precision="fast"` asks for."""


def asked(setting: Setting) -> Product:
    """Returns the product that a compiler is asked for; of those that a CPU has, it makes float32."""
    return lambda x, y: jnp.matmul(x, y.T, precision=setting.preset)


def emulated(setting: Setting) -> Product:
    """Returns the product made of rounded parts, added up in float32; so are the products of its derivative.

    Example:
        >>> x, third = jnp.array([[1.0]]), jnp.array([[1 / 3]])
        >>> [f"{float(emulated(SETTINGS[name])(x, third)[0, 0]):.8f}" for name in SETTINGS]
        ['0.33333334', '0.33333206', '0.33325195', '0.33398438']
    """

    def parts(x: jax.Array) -> list[jax.Array]:
        found, rest = [], x
        for _ in range(1 + max(max(pair) for pair in setting.pairs)):
            found.append(jax.lax.reduce_precision(rest, exponent_bits=8, mantissa_bits=setting.bits))
            rest = rest - found[-1]
        return found

    def of_parts(x: jax.Array, y: jax.Array) -> jax.Array:
        ours, theirs = parts(x), parts(y)
        products = [jnp.matmul(ours[i], theirs[j].T, precision="highest") for i, j in setting.pairs]
        return sum(products[1:], start=products[0])

    def forward(x: jax.Array, y: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return of_parts(x, y), (x, y)

    def backward(rows: tuple[jax.Array, jax.Array], slopes: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, y = rows
        return of_parts(slopes, y.T), of_parts(slopes.T, x.T)

    product = jax.custom_vjp(of_parts)
    product.defvjp(forward, backward)
    return product


@contextlib.contextmanager
def made_by(product: Product, instead_of: Precision) -> Iterator[None]:
    """Has all losses make their float32 products of one precision so, for as long as the context lasts.

    Args:
        product: The product.
        instead_of: The precision by whose name the losses ask for it.
    """
    inner = numerics.inner

    def other(x: jax.Array, y: jax.Array, precision: Precision = "exact") -> jax.Array:
        return product(x, y) if precision == instead_of and x.dtype == jnp.float32 else inner(x, y, precision)

    jax.clear_caches()  # which do not know of it
    numerics.inner = other
    try:
        yield
    finally:
        numerics.inner = inner
        jax.clear_caches()

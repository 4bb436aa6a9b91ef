"""Matryoshka: embeddings whose first numbers are embeddings already."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxtriplet import _checks
from jaxtriplet.numerics import l2_normalize
from jaxtriplet.types import Memory


def matryoshka(
    loss: Callable[..., Any], dims: Sequence[int], weights: Sequence[float] | None = None, *, normalize: bool = False
) -> Callable[..., Any]:
    r"""Returns the sum of a loss over prefixes of the embeddings, so that these can be cut short later.

    $$\sum_k w_k \, L(x_{1..d_k})$$

    Args:
        loss: A loss of this package, or any function whose first arguments are rows as its `row_arguments` says
            (without that: labels [B] and embeddings [B, D]).
        dims: The lengths $d_k$ of the prefixes, each above 0.
        weights: The weights $w_k$, of any sign; None: 1 for each.
        normalize: Whether to scale each prefix to unit length (`jaxtriplet.l2_normalize`), as whoever cuts the
            embeddings short will: give the embeddings as they come out of the encoder then.

    Returns:
        A function of the same arguments; with `has_aux` the statistics are those of the longest prefix. A `memory`
        holds whole embeddings.

    Raises:
        ValueError: Lengths or weights do not fit; when called: a prefix is longer than the embeddings.

    Example:
        >>> import jax.numpy as jnp
        >>> import jaxtriplet as jt
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0, 0.0], [1.0, 0.0], [1.5, 2.0]])
        >>> loss = matryoshka(jt.batch_hard, (1, 2))
        >>> parts = jt.batch_hard(labels, embeddings[:, :1]) + jt.batch_hard(labels, embeddings)
        >>> bool(jnp.allclose(loss(labels, embeddings), parts))
        True

    Reference:
        Kusupati et al., "Matryoshka Representation Learning", 2022.
    """
    _checks.functions(loss=loss)
    lengths = tuple(dims)
    for length in lengths:
        _checks.positive_integer("each of dims", length)
    shares = (1.0,) * len(lengths) if weights is None else tuple(weights)
    if not lengths or len(shares) != len(lengths):
        raise ValueError(f"dims must be one or more, with a weight for each; got {len(lengths)} and {len(shares)}")
    for share in shares:
        _checks.finite("each of weights", share)
    named = getattr(loss, "row_arguments", ["labels", "embeddings"])
    is_rows = [name not in ("labels", "same") for name in named]

    def cut(rows: Any, length: int) -> jax.Array:
        array = jnp.asarray(rows)
        if array.ndim != 2 or array.shape[1] < length:
            raise ValueError(
                f"a prefix of {length} numbers needs rows [B, D] that are as long; got {_checks.seen(array)}"
            )
        return l2_normalize(array[:, :length]) if normalize else array[:, :length]

    def of_prefix(length: int, *arguments: Any, **keywords: Any) -> Any:
        rows = [cut(one, length) if flag else one for one, flag in zip(arguments, is_rows, strict=False)]
        if isinstance(memory := keywords.get("memory"), Memory):
            keywords["memory"] = memory._replace(embeddings=cut(memory.embeddings, length))
        return loss(*rows, *arguments[len(rows) :], **keywords)

    @functools.wraps(loss)
    def summed(*arguments: Any, **keywords: Any) -> Any:
        found = [of_prefix(length, *arguments, **keywords) for length in lengths]
        has_aux = keywords.get("has_aux", False)
        values = [one[0] if has_aux else one for one in found]
        total = sum(share * value for share, value in zip(shares, values, strict=True))
        return (total, found[lengths.index(max(lengths))][1]) if has_aux else total

    return summed

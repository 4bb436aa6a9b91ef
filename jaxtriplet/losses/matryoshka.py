"""Matryoshka: embeddings whose first numbers are embeddings already."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np

from jaxtriplet import _checks
from jaxtriplet.numerics import l2_normalize
from jaxtriplet.parallel.sharding import as_weights, declared_classes, declared_rows, names_of
from jaxtriplet.types import Memory

_Loss = TypeVar("_Loss", bound=Callable[..., Any])

_ROWS = ("labels", "embeddings")
# Rows that are no vectors.
_FLAT = ("labels", "same")


def matryoshka(
    loss: _Loss, dims: Sequence[int], weights: Sequence[float] | None = None, *, normalize: bool = False
) -> _Loss:
    r"""Returns the sum of a loss over prefixes of the embeddings, so that these can be cut short later.

    $$\sum_k w_k \, L(x_{1..d_k})$$

    Args:
        loss: A loss of this package, a sum of them (`jaxtriplet.losses.weighted`), or any function whose arguments are
            rows as its `row_arguments` says (without that: labels [B] and embeddings [B, D], by position).
        dims: The lengths $d_k$ of the prefixes, each above 0.
        weights: The weights $w_k$, of any sign; None: 1 for each.
        normalize: Whether to scale each prefix to unit length (`jaxtriplet.l2_normalize`), as whoever cuts the
            embeddings short will: give the embeddings as they come out of the encoder then.

    Returns:
        A function of the same arguments, which a training step takes if it took the loss. Statistics are those of the
        longest prefix. A `memory` holds whole embeddings, and is cut as they are; so are class weights.

    Raises:
        ValueError: Lengths or weights do not fit; when called: a prefix is longer than the embeddings.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> import jaxtriplet as jt
        >>> labels, embeddings = jnp.array([0, 0, 1]), jnp.array([[0.0, 0.0], [1.0, 0.0], [1.5, 2.0]])
        >>> loss = matryoshka(jt.batch_hard, (1, 2))
        >>> parts = jt.batch_hard(labels, embeddings[:, :1]) + jt.batch_hard(labels, embeddings)
        >>> bool(jnp.allclose(loss(labels, embeddings), parts))
        True
        >>> loss_fn = matryoshka(jt.losses.weighted({"batch_hard": 1.0, "ge2e": 0.1}), (1, 2))  # for `make_update`
        >>> value, stats = loss_fn(loss_fn.init(jax.random.key(0)), labels, embeddings)
        >>> sorted(stats)
        ['batch_hard', 'ge2e']

    Reference:
        Kusupati et al., "Matryoshka Representation Learning", 2022.
    """
    if not callable(loss):
        raise ValueError(f"loss must be a function of rows; got {_checks.seen(loss)}")
    lengths = _listed("dims", dims)
    shares = (1.0,) * len(lengths) if weights is None else _listed("weights", weights)
    if not lengths or len(shares) != len(lengths):
        raise ValueError(f"dims must be one or more, with a weight for each; got {len(lengths)} and {len(shares)}")
    for length, share in zip(lengths, shares, strict=True):
        _checks.positive_integer("each of dims", length)
        _checks.finite("each of weights", share)
    _checks.flag("normalize", normalize)
    declared, of_classes = declared_rows(loss), declared_classes(loss)

    def cut(rows: jax.Array, length: int) -> jax.Array:
        return l2_normalize(rows[:, :length]) if normalize else rows[:, :length]

    @functools.wraps(loss)
    def summed(*arguments: Any, memory: Memory | None = None, **keywords: Any) -> Any:
        names = names_of(loss, len(arguments)) if declared else _ROWS
        arguments = tuple(
            as_weights(names[at], one) if names[at : at + 1] and names[at] in of_classes else one
            for at, one in enumerate(arguments)
        )
        by_name = {name: as_weights(name, keywords.pop(name)) for name in of_classes if name in keywords}
        places = [at for at, name in enumerate(names) if name in (declared or _ROWS) and name not in _FLAT]
        if max(places, default=len(arguments)) >= len(arguments) or any(one in keywords for one in declared or _ROWS):
            raise ValueError("rows are cut by their position: give them so, not by name")
        _checks.order(getattr(loss, "__name__", ""), dict(zip(names, arguments, strict=False)))
        rows = {at: _checks.rows(_checks.rows_as_given(names[at], arguments[at]), names[at]) for at in places}
        earlier = None if memory is None else _checks.by_name("memory", memory)
        whole = [*rows.values(), *([] if earlier is None else [earlier.embeddings])]
        if any(one.shape[1:] != whole[0].shape[1:] or one.shape[1] < max(lengths) for one in whole):
            got = ", ".join(map(_checks.seen, whole))
            raise ValueError(f"rows must be of one length, of {max(lengths)} numbers at least; got {got}")

        def of_prefix(length: int) -> Any:
            given = [cut(rows[at], length) if at in rows else _narrow(one, length) for at, one in enumerate(arguments)]
            more = keywords | {name: _narrow(one, length) for name, one in by_name.items()}
            if earlier is None:
                return loss(*given, **more)
            return loss(*given, memory=earlier._replace(embeddings=cut(earlier.embeddings, length)), **more)

        found = [of_prefix(length) for length in lengths]
        values = [one[0] if isinstance(one, tuple) else one for one in found]
        total = sum(share * value for share, value in zip(shares, values, strict=True))
        longest = found[lengths.index(max(lengths))]
        return (total, *longest[1:]) if isinstance(longest, tuple) else total

    # Of an object, `wraps` sees neither methods nor what its class has.
    for name in ("init", "row_arguments", "class_arguments"):
        if hasattr(loss, name):
            setattr(summed, name, getattr(loss, name))
    return cast(_Loss, summed)


def _listed(name: str, given: Any) -> tuple[Any, ...]:
    try:
        return tuple(given)
    except TypeError:
        raise ValueError(f"{name} must be a sequence, a number for each prefix; got {_checks.seen(given)}") from None


def _narrow(argument: Any, length: int) -> Any:
    """Returns an argument whose matrices, the class weights, are as narrow as the rows."""

    def one(leaf: Any) -> Any:
        return leaf[..., :length] if isinstance(leaf, jax.Array | np.ndarray) and leaf.ndim >= 2 else leaf

    return jax.tree.map(one, argument)

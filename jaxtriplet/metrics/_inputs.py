"""What every metric asks of the arrays that it is given."""

import math
from numbers import Real
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxtriplet import _checks

_SAME = "same must be bool of shape [T]: True where a trial has one speaker"
_EXPONENTS = 16  # of 2: between them, squares of float32 are far from where it ends


def labelled_rows(
    embeddings: ArrayLike, labels: ArrayLike, *, name: str = "embeddings"
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    """Return finite float64 rows [N, D] and their labels [N], or say in plain words what is wrong with them."""
    _checks.swapped(name, embeddings, "labels", labels)
    rows = finite_rows(embeddings, name=name)
    ids = _checks.hosted(labels, f"labels of {len(rows)} {name} must have shape [{len(rows)}]")
    if ids.shape != rows.shape[:1]:
        raise ValueError(f"labels of {len(rows)} {name} must have shape [{len(rows)}]; got {ids.shape}")
    if unnamed := sum(map(is_nan, ids.tolist())) if ids.dtype.kind in "fO" else 0:
        raise ValueError(f"{unnamed} of {len(ids)} labels of {name} are NaN, which names nobody")
    return rows, ids


def is_nan(name: object) -> bool:
    """Whether a name is what tables hold where there is none: it would be another one wherever it stands."""
    return isinstance(name, float) and math.isnan(name)


def real(given: ArrayLike, wants: str) -> NDArray[Any]:
    """Return real numbers as they are given, or say what was wanted, and what there is instead."""
    array = _checks.hosted(given, wants)
    try:
        array = array.astype(np.float64) if array.dtype == object else array
    except (TypeError, ValueError) as error:
        raise ValueError(f"{wants}; got {_checks.seen(given)}") from error
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (np.floating, np.integer, np.bool_)):
        raise ValueError(f"{wants}; got {_checks.seen(array)}")
    if np.ma.is_masked(given):
        raise ValueError(f"{wants}; got a masked array, some of whose numbers are missing")
    return array


def finite_rows(
    embeddings: ArrayLike, *, name: str = "embeddings", dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    """Return finite rows [N, D] of that dtype, or say in plain words what is wrong with them."""
    rows = real(embeddings, f"{name} must be numbers of shape [N, D]")
    if rows.ndim != 2:
        raise ValueError(f"{name} must have shape [N, D]: one row an utterance; got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} hold NaN or infinity in {np.sum(~np.isfinite(rows).all(axis=1))} of {len(rows)} rows")
    with np.errstate(over="ignore"):
        cast = rows.astype(dtype, copy=False)
    if cast is not rows and not np.isfinite(cast).all():
        raise ValueError(f"{name} hold numbers that are too large for {dtype.__name__}, up to {np.abs(rows).max():.3g}")
    return cast


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to unit length; a row of zeros stays as it is."""
    rows = of_moderate_size(rows)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def of_moderate_size(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows in the same directions, none so long or short that its square is lost; powers of 2 round nothing."""
    reach = np.maximum(rows.max(axis=-1, initial=0), -rows.min(axis=-1, initial=0))
    exponents = np.frexp(reach)[1]
    odd = np.abs(exponents) > _EXPONENTS
    if odd.any():
        rows = rows.copy()
        rows[odd] = np.ldexp(rows[odd], -exponents[odd, None])
    return rows


def checked_trials(scores: ArrayLike, same: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return finite float64 scores [T] and the truth [T], of both kinds, or say what is wrong with them."""
    if _all_are(scores, "bool", bool | np.bool_) and _all_are(same, "float", float | np.floating):
        raise ValueError("scores come first, and same, the truth, second; got bool first: are they swapped?")
    scores, same = scores_of(scores), _checks.hosted(same, _SAME)
    if scores.ndim != 1 or same.shape != scores.shape:
        raise ValueError(f"scores and same must both have shape [T], T trials; got {scores.shape}, {same.shape}")
    if same.dtype != np.bool_:
        advice = "; `.astype(bool)`, if 1 is that" if same.dtype.kind in "iuf" else ""
        raise ValueError(f"same must be bool: True where a trial has one speaker; got {same.dtype}{advice}")
    require_finite(scores)
    if not same.any():
        raise ValueError("there is no target trial (two utterances of one speaker), so nothing can be falsely rejected")
    if same.all():
        raise ValueError("there is no impostor trial (two speakers), so nothing can be falsely accepted")
    return scores, same


def _all_are(given: object, dtype: str, kind: Any) -> bool:
    """Whether all that is given is of a kind, as far as can be told without converting it."""
    if isinstance(given, list | tuple):
        return bool(given) and all(isinstance(one, kind) for one in given)
    return dtype in str(getattr(given, "dtype", ""))


def scores_of(given: ArrayLike) -> NDArray[np.float64]:
    """Return scores in float64, whatever they are given in, or say what there is instead."""
    return real(given, "scores must be numbers").astype(np.float64, copy=False)


def require_finite(scores: NDArray[np.float64]) -> None:
    """Refuse scores that are NaN or infinite."""
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.sum(~np.isfinite(scores))} of {scores.size} scores are NaN or infinite")


def require_probability(name: str, value: float) -> None:
    """Refuse what does not lie between 0 and 1, or is no number."""
    if not (is_number(value) and 0 < value < 1):
        raise ValueError(f"{name} is a probability between 0 and 1; got {value!r}")


def is_number(value: object) -> bool:
    """Whether something is one real number, NaN and infinity among them."""
    if getattr(value, "ndim", None) == 0:
        return real(value, "a number").dtype.kind != "b"  # type: ignore[arg-type]
    return isinstance(value, Real) and not isinstance(value, bool)

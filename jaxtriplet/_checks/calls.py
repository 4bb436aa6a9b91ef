"""Calls whose arguments are others, in another order or of other names than a function's."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from jaxtriplet._checks.words import nearest, seen

# What other libraries call the arguments that losses share.
_ELSEWHERE = {
    "distance": "distance_fn",
    "distance_metric": "distance_fn",
    "metric": "distance_fn",
    "mask": "where",
    "padding_mask": "where",
    "reducer": "reduce_fn",
    "reduction": "reduce_fn",
    "return_aux": "has_aux",
    "target": "labels",
    "targets": "labels",
    "y_pred": "embeddings",
    "y_true": "labels",
}


def bound(
    name: str,
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    rows: Sequence[str],
    elsewhere_fn: Callable[[str], str],
) -> inspect.BoundArguments:
    """Returns a call's arguments by name, or says which of them there are.

    Args:
        name: What the function is called.
        signature: Its arguments.
        args: Those given by position.
        kwargs: Those given by name.
        rows: Which must be given.
        elsewhere_fn: What to say of a keyword that the function has not; empty if nothing is known.

    Raises:
        TypeError: One is missing, not known, or given by position that goes by name.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        known = list(signature.parameters)
        unknown = [one for one in kwargs if one not in known]
        by_position = [key for key, one in signature.parameters.items() if one.kind is not one.KEYWORD_ONLY]
        begins = f"{name}({', '.join(rows)}, ...)"
        if unknown:
            said = f"{begins} has no argument {unknown[0]!r}{_instead(unknown[0], known, elsewhere_fn)}"
        elif len(args) > len(by_position):
            said = f"{begins} takes {', '.join(by_position)} by position; give others by name, such as `where=`"
        elif missing := [one for one in rows[len(args) :] if one not in kwargs]:
            said = f"{begins} lacks {' and '.join(missing)}; got {', '.join(map(seen, args)) or 'no rows'}"
        else:
            said = f"{begins}: {error}"
        raise TypeError(said) from None


def _instead(word: str, known: Sequence[str], elsewhere_fn: Callable[[str], str]) -> str:
    if _ELSEWHERE.get(word) in known:
        return f"; it is {_ELSEWHERE[word]} here"
    if word.startswith("normali"):
        return "; give `jaxtriplet.l2_normalize(embeddings)`"
    return elsewhere_fn(word) or nearest(word, known) or f"; it has {', '.join(known)}"


def order(name: str, given: Mapping[str, Any]) -> None:
    """Raises a `ValueError` if rows are given in another order, or labels to what takes none.

    Args:
        name: What the function is called.
        given: Its rows by name, as they are given.
    """
    looks = {key: _looks(value) for key, value in given.items()}
    first, *others = given
    strays = [key for key in given if looks[key] == "labels" and key not in ("labels", "same")]
    begins = f"{name}({', '.join(given)})"

    def got() -> str:  # Said of a wrong call alone: every call comes by here.
        return ", ".join(f"{key} {_told(value)}" for key, value in given.items())

    if looks[first] == "rows" and (first == "same" or (first == "labels" and strays)):
        raise ValueError(f"{begins}: {first} [B] come first, rows after them; got {got()}: are they swapped?")
    if strays and first not in ("labels", "same"):
        raise ValueError(
            f"{begins} takes no labels, and {strays[0]} {_told(given[strays[0]])} looks like some; losses that find "
            "pairs by labels are called with (labels, embeddings), such as jaxtriplet.semi_hard"
        )
    if len(others) > 1 and looks[first] == "labels" and all(looks[key] == "rows" for key in others):
        # Not `len`, which refuses the unknown sizes of an exported program; what is compiled refuses those in words.
        number, rows, weights = (value.shape[0] if hasattr(value, "shape") else len(value) for value in given.values())
        if number == weights != rows:
            raise ValueError(f"{begins}: rows of labels, then rows of classes; got {got()}: are they swapped?")


def swapped(rows_name: str, rows: Any, labels_name: str, labels: Any) -> None:
    """Raises a `ValueError` if labels are given where rows come first, and rows for labels."""
    if _looks(rows) == "labels" and _looks(labels) == "rows":
        raise ValueError(
            f"{rows_name} come first here and {labels_name} second, other than in losses; got {_told(rows)} and "
            f"{_told(labels)}: are they swapped?"
        )


def _looks(value: Any) -> str:
    """Returns whether something looks like "labels" or "rows", as far as can be told without converting it."""
    if isinstance(value, list | tuple) and value:
        if all(isinstance(one, int) and not isinstance(one, bool) for one in value):
            return "labels"
        return "rows" if all(isinstance(one, list | tuple) for one in value) else ""
    kind, axes = str(getattr(value, "dtype", "")).rpartition(".")[2], len(getattr(value, "shape", ()))
    if axes == 1 and kind.lower().startswith(("int", "uint")):
        return "labels"
    return "rows" if axes >= 2 and kind.lower().startswith(("float", "bfloat")) else ""


def _told(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else seen(value)


def mapped(**axes: Any) -> None:
    """Raises a `ValueError` unless axes are mapped where this is called."""
    for name, value in axes.items():
        try:
            jax.lax.axis_size(value)
        except NameError as error:
            raise ValueError(unbound(error, {name: value})) from error


def unbound(error: NameError, axes: Mapping[str, Any]) -> str:
    """Returns what to say in place of JAX's error that there is no axis of a name; empty if it is another error."""
    told = " and ".join(f"{name}={value!r}" for name, value in axes.items() if value is not None)
    if "axis name" not in str(error) or not told:
        return ""
    return (
        f"{told}: no such axis is mapped here; it names that of the `jax.shard_map`, `jax.pmap` or `jax.vmap` around "
        "the call, and the loss of arrays on a mesh is `jaxtriplet.parallel.sharded(loss, mesh)`"
    )

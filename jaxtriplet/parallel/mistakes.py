"""The usual mistakes of losses over devices, each recognised by what it would give."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtriplet.parallel.programs import PMAP, SHARD_MAP, Call, Program


@dataclass
class Trial:
    """A loss on one device, and what its rows are spread over."""

    call: Call
    one: Program
    devices: int
    tolerance: float

    @cached_property
    def right(self) -> Any:
        """What one device finds."""
        return self.one(self.call.leaves)

    @property
    def value(self) -> float:
        """The value on one device."""
        return float(self.right.values[0])

    @cached_property
    def own(self) -> np.ndarray | None:
        """The loss of each device's own rows; None where the loss does not take so few."""
        return self._of_shares(lambda leaf, device: np.split(leaf, self.devices)[device])

    @cached_property
    def dealt(self) -> np.ndarray | None:
        """The same, of rows that are dealt to the devices like cards."""
        return self._of_shares(lambda leaf, device: leaf[device :: self.devices])

    def _of_shares(self, share: Callable[[Any, int], Any]) -> np.ndarray | None:
        try:
            found = [self.one(self.changed(lambda leaf, device=i: share(leaf, device))) for i in range(self.devices)]  # type: ignore[misc]
        except Exception:  # whatever a loss raises of few rows
            return None
        return np.array([float(one.values[0]) for one in found])

    def changed(self, change: Callable[[Any], Any], which: Callable[[Any], bool] = lambda leaf: True) -> list[Any]:
        """Returns the arguments, those that are rows and of a kind changed."""
        return [
            change(np.asarray(leaf)) if is_spread and which(leaf) else leaf
            for leaf, is_spread in zip(self.call.leaves, self.call.is_spread, strict=True)
        ]

    def near(self, found: Any, wanted: Any) -> bool:
        """Returns whether two numbers are one, within the tolerance."""
        return bool(abs(found - wanted) <= self.tolerance * max(abs(found), abs(wanted)))


def in_value(trial: Trial, many: Program) -> list[str]:
    """Returns which mistakes explain values that are wrong, in words; none if all devices return the right one."""
    n, right, values = trial.devices, trial.value, many(trial.call.leaves).values.astype(np.float64)
    if all(trial.near(value, right) for value in values):
        return []
    mean, words = float(np.mean(values)), []
    if not all(trial.near(value, values[0]) for value in values):
        words.append(_of_another_on_each(trial, mean))
    elif trial.near(mean, n * right):
        words.append(
            f"the value is {n} times too large: a `psum` where a `pmean` belongs, or a sum over all devices that is "
            "divided by the number of rows of one"
        )
    elif trial.near(mean * n, right):
        words.append(f"the value is {n} times too small: a `pmean` where a `psum` belongs, or divided once too often")
    if _counts_padding(trial, mean):
        words.append("padding is counted: the value is that of a batch where all rows are valid")
    else:
        words += _of_rows_that_do_not_meet(trial, many, mean)
    if _depends_on_places(trial, many, mean):
        words.append(
            "the value depends on which device holds which rows: a row's place must be that in the batch of all "
            "devices, `axis_index(axis_name) * rows + arange(rows)`, where it is kept from being compared with itself"
        )
    return words or [
        "the value is another one, and none of the usual mistakes gives it: is every row kept from being compared with "
        "itself, and are numbers of rows and terms those of all devices?"
    ]


def _of_another_on_each(trial: Trial, mean: float) -> str:
    if trial.near(mean, trial.value):
        why = "their mean is right, so end with `jax.lax.pmean(value, axis_name)`"
    elif trial.near(mean * trial.devices, trial.value):
        why = "their sum is right, so end with `jax.lax.psum(value, axis_name)`"
    else:
        why = "neither `psum` nor `pmean` ends the loss"
    return f"each device returns another value: {why}"


def _of_rows_that_do_not_meet(trial: Trial, many: Program, mean: float) -> list[str]:
    cure = "gather the candidates, `jax.lax.all_gather(rows, axis_name, tiled=True)`"
    if trial.own is not None:
        found = {"mean": np.mean(trial.own), "sum": np.sum(trial.own)}
        alike = any(trial.near(one, trial.value) for one in found.values())  # then this would not be the mistake
        for name, value in found.items():
            if trial.near(mean, value) and not alike:
                return [
                    f"rows are compared within devices only: the value is the {name} over devices of the loss of each "
                    f"device's own rows; {cure}"
                ]
    apart = [name for name, kind in _KINDS.items() if not _meet(trial, many, kind)]
    if "embeddings" in apart:
        return [f"rows of different devices are never compared; {cure}"]
    return [f"{name} are not gathered: those of two devices are never compared; gather them" for name in apart]


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _is_bool(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.bool)


def _is_integer(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.integer)


# What is padding moves with the embeddings: it need not be finite.
_KINDS = {"embeddings": lambda leaf: _is_float(leaf) or _is_bool(leaf), "labels": _is_integer, "masks": _is_bool}


def _meet(trial: Trial, many: Program, kind: Callable[[Any], bool]) -> bool:
    """Returns whether what the rows of some devices contribute depends on those of others, if it does on one device.

    Where it does not, the value is a sum over devices: to change some and to change others adds up.
    """

    def mixed(program: Program) -> tuple[float, float]:
        values = []
        for some, others in ((0, 0), (1, 0), (0, 1), (1, 1)):
            which = np.array([some, others]).repeat([trial.devices // 2, trial.devices - trial.devices // 2])

            def change(leaf: Any, which: Any = which) -> Any:
                parts = np.split(leaf, trial.devices)
                return np.concatenate([_disturbed(x) if c else x for x, c in zip(parts, which, strict=True)])

            values.append(float(np.mean(program(trial.changed(change, kind)).values.astype(np.float64))))
        kept, one, other, both = values
        return abs(both - one - other + kept), trial.tolerance * max(abs(value) for value in values)

    together, rounding = mixed(trial.one)
    if not together > 10 * rounding:
        return True
    together, rounding = mixed(many)
    return not together <= rounding


def _disturbed(rows: Any) -> Any:
    """Returns other rows, as long, with as many of each class and as much padding."""
    rows = rows[::-1]
    return np.roll(rows, 1, axis=-1) if rows.ndim > 1 and _is_float(rows) else rows


def _counts_padding(trial: Trial, mean: float) -> bool:
    full = float(trial.one(trial.changed(np.ones_like, _is_bool)).values[0])
    return not trial.near(full, trial.value) and trial.near(mean, full)


def _depends_on_places(trial: Trial, many: Program, mean: float) -> bool:
    moved = trial.changed(lambda leaf: np.roll(leaf, len(leaf) // trial.devices, axis=0))
    stays = trial.near(float(trial.one(moved).values[0]), trial.value)
    return stays and not trial.near(float(np.mean(many(moved).values.astype(np.float64))), mean)


def errors(trial: Trial, gradients: dict[int, np.ndarray]) -> dict[str, float]:
    """Returns how far each gradient is from that of one device, relative to its length, by the argument's name.

    A gradient that rounding alone keeps from 0 is measured by the value: one of x has about the length of value / |x|.
    """
    found = {}
    for i, gradient in gradients.items():
        x, right = (np.asarray(one, np.float64) for one in (trial.call.leaves[i], trial.right.gradients[i]))
        usual = 0.1 * abs(trial.value) / max(float(np.linalg.norm(x[np.isfinite(x)])), 1e-30)
        apart = float(np.linalg.norm(np.asarray(gradient, np.float64) - right))
        found[trial.call.names[i]] = apart / max(float(np.linalg.norm(right)), usual) if apart else 0.0
    return found


def in_gradient(trial: Trial, gradients: dict[int, np.ndarray], setting: str) -> list[str]:
    """Returns what is wrong with the gradients of a value that is right, in words."""
    wrong: dict[str, list[str]] = {}
    for i, error in zip(gradients, errors(trial, gradients).values(), strict=True):
        if not error <= trial.tolerance:
            words = _of_gradient(trial, gradients[i], trial.right.gradients[i], setting)
            wrong.setdefault(words, []).append(trial.call.names[i])
    return [f"the value is right, but the gradient by {', '.join(names)} {words}" for words, names in wrong.items()]


def _of_gradient(trial: Trial, found: Any, right: Any, setting: str) -> str:
    n, found, right = trial.devices, np.asarray(found, np.float64), np.asarray(right, np.float64)
    if not np.all(np.isfinite(found)):
        return "is not finite"
    times = np.vdot(found, right) / max(np.vdot(right, right), 1e-300)
    if not np.linalg.norm(found - times * right) <= trial.tolerance * max(abs(times), 1) * np.linalg.norm(right):
        cut = "points elsewhere: are gathered rows cut off from it (`stop_gradient`, or an exchange that has none)?"
        inside = " A `custom_vjp` with collectives inside is right under `check_vma=True` alone"
        return cut + inside * (setting == PMAP)
    if trial.near(times, n):
        by_itself = (
            ": JAX itself sums over devices there, and over the copies of a value that is the same everywhere unless "
            "`psum` or `pmean` ends it"
        )
        return f"is {n} times too large: a sum over devices too many" + by_itself * (setting == SHARD_MAP)
    if trial.near(times * n, 1):
        return f"is {n} times too small: a sum over devices is missing, or a mean is taken twice"
    if trial.near(times, 0.5):
        return "is half of it: are gathered rows cut off from it (`stop_gradient`)?"
    return (
        "is 0: it is cut off (`stop_gradient`)" if abs(times) <= trial.tolerance else f"is {times:.4g} times as large"
    )


def proves_nothing(trial: Trial) -> list[str]:
    """Returns why a batch cannot tell a wrong loss from a right one, in words."""
    right, own, dealt = trial.right, trial.own, trial.dealt
    if not np.isfinite(trial.value) or not all(np.all(np.isfinite(one)) for one in right.gradients.values()):
        return ["the loss or its gradient is not finite on one device"]
    if trial.value == 0:
        return ["the loss is 0 on one device, and so is any multiple of it: give rows nearer to each other"]
    if not any(np.any(one) for one in right.gradients.values()):
        return ["the gradient is 0 on one device"]
    if own is None or dealt is None:
        return []
    for total in (np.mean, np.sum):
        # A loss of single rows is that of any shares.
        if trial.near(total(own), trial.value) and not trial.near(total(dealt), trial.value):
            return [
                "a loss that compared rows within devices only would give the same here: give rows of ragged classes, "
                "of which no device holds all"
            ]
    return []

"""The examples in the docstrings, and that every public name has one."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

import pytest

import jaxtriplet as jt
from jaxtriplet import metrics
from jaxtriplet.losses import registry
from jaxtriplet.training import metrics as batch_metrics

MODULES = ["jaxtriplet", *(m.name for m in pkgutil.walk_packages(jt.__path__, "jaxtriplet."))]
MODULES.remove("jaxtriplet.__main__")
MODULES.append("tests.toys")
MASKS = (jt.masks.anchor_positive, jt.masks.anchor_negative, jt.masks.triplet)
REDUCTIONS = (jt.reductions.mean, jt.reductions.mean_active, jt.reductions.sum)


def functions_of(owner: ModuleType, module: str) -> tuple[Callable[..., object], ...]:
    """The public functions of a namespace that come from a module of ours."""
    public = (value for name, value in vars(owner).items() if not name.startswith("_"))
    return tuple(f for f in public if callable(f) and getattr(f, "__module__", "").startswith(module))


LOSSES = functions_of(jt, "jaxtriplet.losses")
DISTANCES = functions_of(jt.distances, "jaxtriplet.distances")
METRICS = [
    function
    for owner in (metrics, batch_metrics)
    for function in functions_of(owner, owner.__name__)
    if inspect.isfunction(function)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


@pytest.mark.parametrize(
    "function",
    [*LOSSES, *DISTANCES, *MASKS, *REDUCTIONS, *METRICS, jt.l2_normalize],
    ids=lambda function: function.__qualname__,
)
def test_every_public_function_is_documented(function: Callable[..., object]) -> None:
    documentation = inspect.getdoc(function) or ""
    for heading in ("Args:", "Returns:", ">>>"):
        assert heading in documentation, f"{function} has no {heading}"


def test_the_losses_are_among_them() -> None:
    assert {one.function for one in registry.LOSSES.values()} | {jt.ge2e_similarity} == set(LOSSES)
    assert {jt.distances.euclidean, jt.distances.kl} <= set(DISTANCES)

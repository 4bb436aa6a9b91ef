"""The versions that the package admits, and the two modes of Flax."""

import runpy
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from packaging.requirements import Requirement

from tests import encoders

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
lowest: Callable[..., Iterator[str]] = runpy.run_path(str(ROOT / ".ci" / "lowest.py"))["lowest"]


def wanted(extra: str) -> Iterator[Requirement]:
    """What an extra adds, by pip's own reading."""
    for one in map(Requirement, EXTRAS[extra]):
        if one.name == PROJECT["name"]:
            for other in one.extras:
                yield from wanted(other)
        else:
            yield one


@pytest.mark.parametrize("extra", ["speech", "audio", "test", "bench", "aot"])
def test_the_lowest_versions_are_those_of_the_project(extra: str) -> None:
    asked = {one.name: one for one in [*map(Requirement, PROJECT["dependencies"]), *wanted(extra)]}
    pins = {one.name: one for one in map(Requirement, lowest(PROJECT, [extra]))}
    assert pins.keys() == asked.keys()
    for name, pin in pins.items():
        (version,) = pin.specifier
        assert version.operator == "=="
        assert f">={version.version}" in map(str, asked[name].specifier)
        assert asked[name].specifier.contains(version.version)
        assert pin.extras == asked[name].extras


def test_markers_and_upper_bounds_are_understood() -> None:
    table = {"name": "me", "dependencies": ["a<3,>=2.0; python_version < '4'", "b[c]>=1"], "optional-dependencies": {}}
    assert list(lowest(table)) == ["a==2.0; python_version < '4'", "b[c]==1"]


@pytest.mark.parametrize("wrong", ["a", "a<3", "a==3", "a @ file:///a"])
def test_a_requirement_without_a_lowest_version_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"requirement|lowest version"):
        list(lowest({"name": "me", "dependencies": [wrong], "optional-dependencies": {}}))


def test_an_extra_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no such extra: speach"):
        list(lowest(PROJECT, ["speech", "speach"]))


@pytest.mark.parametrize("name", encoders.ROWS)
def test_an_encoder_is_a_tree_so_that_either_mode_of_flax_takes_it(name: str) -> None:
    """The whole tests of training run in tree mode too, where `NNX_GRAPH_MODE=false` says so: see .ci/run."""
    model = encoders.small(name)
    states = []
    for graph_mode in (True, False):
        with nnx.set_graph_mode(graph_mode):
            again = nnx.merge(*nnx.split(model), copy=True)
            states.append(nnx.to_pure_dict(nnx.state(again)))
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_what_is_no_tree_is_refused_in_tree_mode() -> None:
    layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    twice = nnx.List([layer, layer])
    with nnx.set_graph_mode(False), pytest.raises(ValueError, match=r"[Dd]uplicate"):
        nnx.split(twice)

"""The package runs no code that comes with data: no pickles, no evaluated text, no shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxtriplet

PACKAGE = Path(jaxtriplet.__file__).parent
MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
CALLS = {"__import__", "compile", "eval", "exec", "os.popen", "os.system", "subprocess.getoutput"}
KEYWORDS = {"allow_pickle", "shell"}
# Unpickles: what workers say, over a pipe that no other process has.
BETWEEN_OWN_PROCESSES = {"tools/workers.py": {"multiprocessing.connection"}}


def findings(source: str) -> Iterator[str]:
    """What in a module could run code that is not the program's."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names if _unpickles(one.name))
            case ast.ImportFrom(module=str(module), names=names):
                yield from {one for one in (module, *(f"{module}.{name.name}" for name in names)) if _unpickles(one)}
            case ast.Call(func=func, keywords=keywords):
                yield from {ast.unparse(func)} & CALLS
                yield from (f"{one.arg}=" for one in keywords if one.arg in KEYWORDS)


def _unpickles(module: str) -> bool:
    return module.split(".")[0] in MODULES or module == "multiprocessing.connection"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_runs_what_it_reads(path: Path) -> None:
    allowed = BETWEEN_OWN_PROCESSES.get(path.relative_to(PACKAGE).as_posix(), set())
    assert set(findings(path.read_text())) == allowed


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from yaml import load", "yaml"),
        ("np.load(file, allow_pickle=True)", "allow_pickle="),
        ("subprocess.run(words, shell=True)", "shell="),
        ("x = [eval(word) for word in words]", "eval"),
        ("os.system(words)", "os.system"),
        ("from multiprocessing import connection", "multiprocessing.connection"),
    ],
)
def test_what_runs_code_is_found(source: str, found: str) -> None:
    assert found in set(findings(source))
    assert not set(findings("import numpy as np\nnp.load(file)\nre.compile(word)\nmodel.eval()"))

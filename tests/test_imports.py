"""Who may import whom, and what `import jaxtriplet` costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxtriplet

ROOT = Path(jaxtriplet.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# The house from the ground up. A part is a file or folder directly below the package, "jaxtriplet" the package's own
# `__init__`. A part may import those of the lines above its own, no other; inside one folder, all may import all.
HOUSE = [
    ["types", "_files"],
    ["numerics"],
    ["_checks"],
    ["distances", "masks", "reductions", "parallel"],
    ["engine"],
    ["losses", "metrics"],
    ["jaxtriplet"],
    ["data", "models", "training"],
    ["speech"],
    ["pages"],
    ["jobs"],
    ["tools"],
    ["cli"],
    ["__main__"],
]
FLOOR = {part: floor for floor, parts in enumerate(HOUSE) for part in parts}
# What `import jaxtriplet` gives: these need three libraries, and nothing else that pip installs.
CORE = {part for part, floor in FLOOR.items() if floor <= FLOOR["jaxtriplet"]} - {"metrics"}
CORE_LIBRARIES = {"jax", "numpy", "chex"}
MOST_ENTRIES, MOST_LINES = 22, 300


def part_of(module: Path) -> str:
    """The part of the package that a file belongs to."""
    first = module.relative_to(ROOT).parts[0]
    return "jaxtriplet" if first == "__init__.py" else first.removesuffix(".py")


def imports_of(module: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, as a dotted absolute name."""
    package = ["jaxtriplet", *module.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def parts_imported(module: Path) -> Iterator[str]:
    """The parts of the package that a file imports, its own left out."""
    parts = {part_of(path) for path in MODULES}
    for name in imports_of(module):
        first, _, rest = name.partition(".")
        if first == "jaxtriplet":
            part = rest.split(".")[0]
            part = part if part in parts else "jaxtriplet"
            if part != part_of(module):
                yield part


every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@every_module
def test_imports_go_down(module: Path) -> None:
    part = part_of(module)
    assert part in FLOOR, f"{part} has no place in the house"
    upwards = {other for other in parts_imported(module) if FLOOR[other] >= FLOOR[part]}
    assert not upwards, f"{part} may not import {sorted(upwards)}"


def test_the_house_has_no_room_that_is_not_there_and_few_on_the_ground() -> None:
    entries = {path.name for path in ROOT.iterdir() if path.name != "__pycache__"}
    assert {part_of(module) for module in MODULES} == set(FLOOR)
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


@every_module
def test_a_file_is_a_room_not_a_hall(module: Path) -> None:
    lines = len(module.read_text().splitlines())
    assert lines <= MOST_LINES


@pytest.mark.parametrize(
    "module", [m for m in MODULES if part_of(m) in CORE], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_losses_need_jax_numpy_and_chex_alone(module: Path) -> None:
    libraries = {name.split(".")[0] for name in imports_of(module)} - set(sys.stdlib_module_names) - {"jaxtriplet"}
    assert libraries <= CORE_LIBRARIES


def test_the_table_sees_imports(tmp_path: Path) -> None:
    """Relative, nested and plain imports are all found."""
    module = ROOT / "losses" / "imagined.py"
    source = "import flax.nnx\nfrom .. import engine\ndef f():\n    from ..models.blstm import Encoder\n"
    imagined = type("Imagined", (type(module),), {"read_text": lambda self: source})(module)
    assert list(imports_of(imagined)) == ["flax.nnx", "jaxtriplet.engine", "jaxtriplet.models.blstm.Encoder"]


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_the_package_takes_no_extra_library() -> None:
    loaded = python("import sys, jaxtriplet; print(*{m.split('.')[0] for m in sys.modules})").split()
    extra = {"flax", "optax", "orbax", "sklearn", "matplotlib", "click", "typer", "tqdm", "grain", "sktime", "pandas"}
    assert not extra & set(loaded)


def test_importing_the_package_is_quick() -> None:
    code = "import jax, numpy, chex, time; t = time.perf_counter(); import jaxtriplet; print(time.perf_counter() - t)"
    # The best of some runs: the machine may be busy.
    assert min(float(python(code)) for _ in range(3)) < 0.3


def test_the_first_line_of_the_readme_works() -> None:
    code = (
        "import numpy as np, jaxtriplet; print(jaxtriplet.__version__); "
        "print(jaxtriplet.semi_hard(np.array([0, 0, 1, 1]), np.eye(4, dtype=np.float32), 1.0))"
    )
    version, loss = python(code).split()
    assert version == jaxtriplet.__version__
    assert float(loss) == 1.0  # all rows are at squared distance 2, nothing is beyond: the margin remains

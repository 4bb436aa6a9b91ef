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

# What each part of the package may import of the others. A part is a file or folder directly below the package;
# "" is the package itself (its `__init__`). Inside one folder everything may import everything.
FLOOR_0 = {"_types", "_checks", "_frames", "numerics"}
FLOOR_1 = FLOOR_0 | {"stats", "rows", "distances", "masks", "reductions"}
FLOOR_2 = FLOOR_1 | {"engine"}
BESIDE = {"metrics", "features", "frontend", "augmentation", "models", "data", "clustering", "plots"}
ABOVE = ["speech", "training", "checkpoints", "evaluation", "configs", "recipes", "monitor", "runs", "page", "report"]
ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(FLOOR_1 | BESIDE, FLOOR_0),
    "_types": set(),
    "masks": FLOOR_0 | {"rows"},
    "reductions": FLOOR_0 | {"stats"},
    "engine": FLOOR_1,
    "losses": FLOOR_2,
    # A mesh and what lies on it: JAX alone, and so part of what `import jaxtriplet` gives.
    "parallel": FLOOR_0,
    "": FLOOR_2 | {"losses", "parallel"},
    **{part: FLOOR_0 | BESIDE | {"parallel"} | set(ABOVE[:i]) for i, part in enumerate(ABOVE)},
    # The race against other libraries runs what a user runs.
    "bench": {"", "distances", "masks", "plots", "configs"},
    # What is compiled ahead of time is what a user runs.
    "fits": {"", "losses", "parallel", "models", "training"},
    # Only the command line sees the losses and everything else.
    "cli": FLOOR_2 | {"", "losses", "parallel", "bench", "fits"} | BESIDE | set(ABOVE),
    "__main__": {"cli"},
}
# The losses need these three and nothing else that pip installs.
CORE = FLOOR_2 | {"", "losses", "parallel"}
CORE_LIBRARIES = {"jax", "numpy", "chex"}


def part_of(module: Path) -> str:
    """The part of the package that a file belongs to."""
    first = module.relative_to(ROOT).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


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
            part = part if part in parts else ""
            if part != part_of(module):
                yield part


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_is_in_the_table(module: Path) -> None:
    part = part_of(module)
    assert part in ALLOWED, f"{part} has no line in the table of allowed imports"
    forbidden = set(parts_imported(module)) - ALLOWED[part]
    assert not forbidden, f"{part} may not import {sorted(forbidden)}"


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

"""What the reference of the site holds: the modules whose public names are for users."""

import importlib
import inspect

DOCUMENTED = (
    "jaxtriplet",
    "jaxtriplet.losses",
    "jaxtriplet.distances",
    "jaxtriplet.masks",
    "jaxtriplet.reductions",
    "jaxtriplet.types",
    "jaxtriplet.engine.memory",
    "jaxtriplet.engine",
    "jaxtriplet.losses.registry",
    "jaxtriplet.parallel",
    "jaxtriplet.metrics",
    "jaxtriplet.metrics.backends",
    "jaxtriplet.data",
    "jaxtriplet.models",
    "jaxtriplet.speech",
    "jaxtriplet.training",
    "jaxtriplet.training.metrics",
    "jaxtriplet.jobs",
)
HIDDEN = {
    "cli": "options and printing: `--help` and a page of its own",
    "tools": "`bench` and `fits`, commands",
    "pages": "what the jobs write",
    "numerics": "below the losses; `l2_normalize` is a name of `jaxtriplet`",
}
# By which name users know what a module holds.
_ELSEWHERE = {
    "jaxtriplet.losses": "jaxtriplet",
    "jaxtriplet.engine.memory": "jaxtriplet.memory",
}
# What losses alone need of a module that is a name of `jaxtriplet`.
_INNER = {f"jaxtriplet.engine.memory.{name}" for name in ("Memory", "Rows", "meet")}


def public_names() -> set[str]:
    """Returns every public function and class of ours, by the name that users write."""
    found = set()
    for module in DOCUMENTED:
        owner = importlib.import_module(module)
        for name in getattr(owner, "__all__", [name for name in vars(owner) if not name.startswith("_")]):
            value = getattr(owner, name)
            ours = str(getattr(value, "__module__", "")).startswith("jaxtriplet")
            is_named = inspect.isfunction(value) or inspect.isclass(value) or hasattr(value, "lower")  # a jitted one
            if ours and is_named and f"{module}.{name}" not in _INNER:
                found.add(f"{_ELSEWHERE.get(module, module)}.{name}")
    return found

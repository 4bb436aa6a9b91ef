"""What the command line does, for Python: train, evaluate, compare, embed, cluster, export, and feed training fast.

>>> from jaxtriplet import jobs
>>> jobs.cluster("runs/never", "recordings", num_speakers=2)
Traceback (most recent call last):
...
ValueError: runs/never holds no weights of a finished run: there is no such folder
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtriplet.jobs.checkpoints import Checkpoints
    from jaxtriplet.jobs.clustering import cluster
    from jaxtriplet.jobs.comparing import compare
    from jaxtriplet.jobs.config import Config
    from jaxtriplet.jobs.embedding import embed
    from jaxtriplet.jobs.evaluation import evaluate
    from jaxtriplet.jobs.exporting import export, load_exported
    from jaxtriplet.jobs.throughputs import throughput
    from jaxtriplet.jobs.training import train

__all__ = [
    "Checkpoints",
    "Config",
    "cluster",
    "compare",
    "embed",
    "evaluate",
    "export",
    "load_exported",
    "throughput",
    "train",
]

# Where each job is; imported when it is asked for, since what one needs costs the others seconds.
_JOBS = {
    "Checkpoints": "jaxtriplet.jobs.checkpoints",
    "Config": "jaxtriplet.jobs.config",
    "train": "jaxtriplet.jobs.training",
    "evaluate": "jaxtriplet.jobs.evaluation",
    "compare": "jaxtriplet.jobs.comparing",
    "embed": "jaxtriplet.jobs.embedding",
    "cluster": "jaxtriplet.jobs.clustering",
    "export": "jaxtriplet.jobs.exporting",
    "load_exported": "jaxtriplet.jobs.exporting",
    "throughput": "jaxtriplet.jobs.throughputs",
}


def __getattr__(name: str) -> Any:
    if name in _JOBS:
        return getattr(import_module(_JOBS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

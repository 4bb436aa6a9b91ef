"""Names that a module has not: what ours are called instead, here or in other libraries."""

import importlib.util
from collections.abc import Collection

from jaxtriplet._checks.words import nearest

# What else people call them, without "loss", underscores and capitals. (A test holds ours against the package.)
ELSEWHERE = {
    "addmarginproduct": "am_softmax",
    "arcface": "aam_softmax",
    "arcmarginproduct": "aam_softmax",
    "batchalltriplet": "batch_all",
    "batchhardsoftmargintriplet": "batch_hard",
    "batchhardtriplet": "batch_hard",
    "batchsemihardtriplet": "semi_hard",
    "cosface": "am_softmax",
    "createstate": "training.create_state",
    "crossbatchmemory": "memory.create",
    "eer": "metrics.equal_error_rate",
    "liftedstruct": "lifted_structure",
    "makeupdate": "training.make_update",
    "matryoshka": "losses.matryoshka",
    "multiplenegativesranking": "info_nce",
    "normalize": "l2_normalize",
    "normsoftmax": "normalized_softmax",
    "npairs": "info_nce",
    "siglip": "sigmoid_contrastive",
    "simclr": "nt_xent",
    "subcenterarcface": "aam_softmax",
    "supcon": "supervised_contrastive",
    "triplethard": "batch_hard",
    "tripletmargin": "batch_all or triplet",
    "tripletsemihard": "semi_hard",
    "weighted": "losses.weighted",
}


def lacks(module: str, name: str, known: Collection[str]) -> str:
    """Returns what to say of a name that a module has not.

    Args:
        module: What the module is called.
        name: The name.
        known: Names that it has.

    Example:
        >>> lacks("jaxtriplet", "SupConLoss", ["semi_hard"])
        "module 'jaxtriplet' has no attribute 'SupConLoss'; did you mean supervised_contrastive?"
        >>> lacks("jaxtriplet", "metrics", ["semi_hard"])
        "module 'jaxtriplet' has no attribute 'metrics'; `import jaxtriplet.metrics` first"
    """
    said = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):  # asked for by tools, not by people
        return said
    if importlib.util.find_spec(f"{module}.{name}"):
        return f"{said}; `import {module}.{name}` first"
    ours = ELSEWHERE | {_plain(one): one for one in known}
    meant = ours.get(_plain(name))
    return said + (f"; did you mean {meant}?" if meant else nearest(name, known))


def _plain(name: str) -> str:
    return name.lower().replace("_", "").removesuffix("loss")

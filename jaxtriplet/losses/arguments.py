"""What the arguments that losses share mean: said once, and put into the docstring of each loss that has them."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_ARGUMENTS = {
    "labels": "Integers [B].",
    "embeddings": """Floats [B, D], usually of unit length (`jaxtriplet.l2_normalize`); they are not normalised
        here.""",
    "where": "Booleans [B]; False rows are padding and count for nothing.",
    "reduce_fn": """From the sums of the terms to a scalar (`jaxtriplet.reductions`); None for each anchor's sum, [B];
        static.""",
    "axis_name": """Mapped axes over which the batch is spread: these rows are anchors, those of all devices candidates,
        and every device returns the loss of the whole batch; static.""",
    "has_aux": "Whether to return statistics too; distances are those of all positive and all negative pairs; static.",
    "class_axis_name": """Mapped axes over which the classes are spread: the weights are those of this device's classes,
        a share of all, and rows that are spread over the same axes come together; static.""",
    "memory": """Rows of earlier batches, which are candidates too, without gradient (`jaxtriplet.memory`); None for
        none.""",
    "exchange": """With `axis_name`: "gather", or "ring", by which no device ever holds all rows, at a third more work;
        static.""",
    "block_size": "How many anchors to compare at a time, None for a good number; memory grows with it; static.",
    "precision": """How products of float32 matrices are made, those of the gradient too: "exact", or on GPU and TPU
        "fast", three products in bfloat16, about 2e-6 of a cosine off; of a distance of your own, as it makes them;
        static.""",
    "max_class_size": """A bound on the rows of a class, those of all devices and of the memory together, such as K of a
        P x K batch: then nothing has to be asked of the data, which an accelerator waits for. More rows of a class give
        NaN. None: no bound is known; static.""",
    "distance_fn": "A pairwise distance (`jaxtriplet.distances`); static.",
    "hinge_fn": "An elementwise hinge h, such as `jax.nn.relu`; static.",
}
_WEIGHTS = """Floats [C, D], a vector for each class, or [C, K, D] for K centres of each, of which the nearest counts;
        brought to unit length here."""
_OF_CLASSES = {
    "labels": "Integers [B], the classes from 0 to C - 1; one outside makes the loss NaN.",
    "embeddings": "Floats [B, D], brought to unit length here.",
    "weights": _WEIGHTS,
    "proxies": _WEIGHTS,
    "axis_name": """Mapped axes over which the batch is spread: every device returns the loss of the whole batch;
        static.""",
    "has_aux": """Whether to return statistics too: active are the rows that are not yet right, nearer to another class
        than to their own (the margin left aside); distances are 1 less the cosines to the own class, and to all others;
        static.""",
    "block_size": "How many classes to compare at a time, None for a good number; memory grows with it; static.",
}
_SECTIONS = {
    "Returns": "    The loss, a scalar of at least float32; with `has_aux`, the loss and its `Stats`.",
    "Raises": "    ValueError: The shapes, types, functions or words do not fit.",
}
_ENTRY = re.compile(r"^    (\w+)(?: \([^)]*\))?: (.*(?:\n {8}.*)*)$", re.MULTILINE)
_HEADING = re.compile(r"^(Args|Returns|Raises|Example|Reference):\n", re.MULTILINE)


def documented(function: Callable[..., Any]) -> str | None:
    """Returns the docstring of a loss, complete: with the arguments in the order of its signature, and what it returns.

    What the docstring says itself stands; what it leaves out is what is said here. One without `Args` stays as it is.

    Args:
        function: The loss.

    Raises:
        TypeError: An argument is described neither there nor here.
    """
    head, *rest = _HEADING.split(inspect.cleandoc(function.__doc__ or ""))
    told = dict(zip(rest[::2], rest[1::2], strict=True))
    if "Args" not in told:  # python -OO, or a loss of few words
        return function.__doc__
    names = inspect.signature(function).parameters
    shared = _ARGUMENTS | (_OF_CLASSES if "class_axis_name" in names else {})
    described = shared | dict(_ENTRY.findall(told.pop("Args")))
    if lacking := [name for name in names if name not in described]:
        raise TypeError(f"the docstring of {function.__name__} says nothing of {', '.join(lacking)} under Args")
    sections = {"Args": "\n".join(f"    {name}: {described[name]}" for name in names)} | _SECTIONS | told
    return "\n\n".join([head.rstrip(), *(f"{name}:\n{words.rstrip()}" for name, words in sections.items())])

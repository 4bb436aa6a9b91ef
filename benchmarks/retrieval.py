"""Retrieval among many rows, beside one product of matrices, pytorch-metric-learning and faiss; writes Markdown.

`python benchmarks/retrieval.py --rows 120000` takes about a quarter of an hour on two cores that have nothing else to
do. Each contender has a process of its own, which makes the rows, calls once to warm up, and is timed on a second call;
with `--rounds` they take turns. `--peers PYTHON` runs the other libraries by the interpreter that has them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DIM, EACH, NOISE = 256, 10, 2.0
CONTENDERS = {
    "product": "the product of all rows with all, in blocks, in float32",
    "map_at_r": "`map_at_r`",
    "retrieval": "`retrieval`: all figures, recall at 1 and 10, NDCG at 10",
    "accuracy": "pytorch-metric-learning, `AccuracyCalculator`: MAP@R and precision@1",
    "faiss": "faiss, `IndexFlatIP.search` of 10 neighbours: no figure",
}
PEERS = ("accuracy", "faiss")


def rows_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows [count, DIM], 10 of a class, and their labels."""
    rng, labels = np.random.default_rng(0), np.arange(count) // EACH
    rows = rng.standard_normal((labels[-1] + 1, DIM), np.float32)[labels]
    rows += NOISE * rng.standard_normal(rows.shape, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, labels


def product(rows: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """The floor: the products of the blocks in which `retrieval` meets the rows, of which nothing is kept."""
    import jax
    import jax.numpy as jnp

    from jaxtriplet import distances
    from jaxtriplet.metrics._nearest import Field

    del labels
    block = Field(rows, None, distances.cosine, None).block
    held, multiply = jnp.asarray(rows), jax.jit(lambda x, y: jnp.matmul(x, y.T, precision="highest"))

    def call() -> dict[str, float]:
        for start in range(0, len(rows), block):
            multiply(jnp.asarray(rows[start : start + block]), held).block_until_ready()
        return {}

    return call


def map_at_r(rows: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """One figure."""
    from jaxtriplet import metrics

    return lambda: {"map_at_r": metrics.map_at_r(rows, labels)}


def retrieval(rows: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """All figures."""
    from jaxtriplet import metrics

    def call() -> dict[str, float]:
        found = metrics.retrieval(rows, labels)
        return {"map_at_r": found.map_at_r, "precision_at_1": found.precision_at_1}

    return call


def accuracy(rows: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """The same two figures by pytorch-metric-learning, which searches by faiss."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = {"mean_average_precision_at_r": "map_at_r", "precision_at_1": "precision_at_1"}
    # Else it clusters by a class of its own, although nobody asks for clusters.
    options = {"k": "max_bin_count", "device": torch.device("cpu"), "kmeans_func": lambda *given: None}
    calculator = AccuracyCalculator(include=tuple(names), **options)

    def call() -> dict[str, float]:
        found = calculator.get_accuracy(rows, labels)
        return {ours: float(found[theirs]) for theirs, ours in names.items()}

    return call


def faiss(rows: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """The exact search alone."""
    import faiss

    del labels

    def call() -> dict[str, float]:
        index = faiss.IndexFlatIP(DIM)
        index.add(rows)
        index.search(rows, EACH)
        return {}

    return call


def peak() -> int:
    """The most memory that this process has held, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def run_one(name: str, count: int) -> dict[str, Any]:
    """Times a contender in this process."""
    call: Callable[[], dict[str, float]] = globals()[name](*rows_of(count))
    started = time.perf_counter()
    call()
    first, cpu, begun = time.perf_counter() - started, time.process_time(), time.perf_counter()
    found = call()
    wall = time.perf_counter() - begun
    return {"first": first, "wall": wall, "cpu": time.process_time() - cpu, "peak": peak(), "found": found}


def asked(name: str, count: int, python: str) -> dict[str, Any] | None:
    """Times a contender in a process of its own; None if its library is missing."""
    command = [python, __file__, "--rows", str(count), "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name} is left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """What is written: of each contender its fastest round."""
    best = {name: min(rounds, key=lambda one: one["wall"]) for name, rounds in found.items() if rounds}
    floor = best["product"]["wall"]
    lines = ["| | seconds | of the product | CPU seconds | first call | peak MiB | MAP@R | precision@1 |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, one in best.items():
        figures = (f"{one['found'][key]:.4f}" if key in one["found"] else "" for key in ("map_at_r", "precision_at_1"))
        numbers = f"{one['wall']:.1f} | {one['wall'] / floor:.2f} | {one['cpu']:.1f} | {one['first']:.1f}"
        lines.append(f"| {CONTENDERS[name]} | {numbers} | {one['peak'] / 2**20:.0f} | {' | '.join(figures)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the contenders in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has the other libraries")
    parser.add_argument("--out", type=Path, help="a Markdown file; without, it is printed")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(run_one(chosen.one, chosen.rows)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for turn in range(chosen.rounds):
        for name, rounds in found.items():
            outcome = asked(name, chosen.rows, chosen.peers if name in PEERS else sys.executable)
            rounds += [outcome] if outcome else []
            print(f"round {turn + 1}, {name}: {outcome}", file=sys.stderr, flush=True)
    said = (
        f"{chosen.rows} rows of {DIM} numbers, {EACH} of a class, one set; {os.cpu_count()} cores, "
        f"jax {version('jax')}; the best of {chosen.rounds}. The first call compiles; it is "
        "not in the seconds. Written by `python benchmarks/retrieval.py`."
    )
    page = f"# Retrieval among {chosen.rows} rows\n\n{said}\n\n{table(found)}\n"
    if chosen.out:
        chosen.out.write_text(page)
    else:
        print(page)


if __name__ == "__main__":
    main()

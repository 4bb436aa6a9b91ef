"""`jaxtriplet bench --device gpu` where there is none: its workers are given the processor in the device's place."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from jaxtriplet.tools.bench import accelerators, machine, picture, race, report, with_jax, with_torch, worker
from jaxtriplet.tools.bench.contenders import CONTENDERS, Contender
from jaxtriplet.tools.bench.plan import Plan, Setting
from jaxtriplet.tools.bench.race import Limits, Outcome

SMALL = Setting("batch-hard", 16, 4, 8)
CARD = {"name": "imagined card", "memory": 2**33}
NAMES_ITS_PROCESS = """
import os
def prepare(*job):
    return lambda limit: {'': lambda: (os.getpid(), [0.5])}
"""
NEEDS_ITS_DEVICE = """
import fcntl
held = open(__file__ + '.held', 'w')
fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
def prepare(*job):
    keep = held
    return lambda limit: {'': lambda: (0.5, [0.5] if keep else [])}
"""
QUEUES = """
class Queued:
    waited = called = 0
    def __call__(self):
        Queued.called += 1
        return 0.5, [0.5]
    def wait(self, result):
        Queued.waited += 1
    def peak(self):
        return 1000 * Queued.called + Queued.waited
def prepare(contender, loss, batch, numbers, device):
    assert device == 'gpu'
    return lambda limit: {'': Queued()}
"""


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX sees the processor alone, whatever this machine has."""
    monkeypatch.setitem(accelerators.PLATFORMS, "gpu", "cpu")


@pytest.fixture
def imagined_gpu(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that PyTorch cannot use, and whose programs the processor runs."""
    unable = {"sentence-transformers": "sentence-transformers is left out: no CUDA"}
    monkeypatch.setattr(machine, "accelerator", lambda device, contenders: (CARD, unable))


def imagined(tmp_path: Path, name: str, source: str) -> Contender:
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    return Contender(name, path, (), {"": "imagined"})


# --- the device -------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_one_line_and_status_2(
    no_gpu: None, call: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = call("bench", "--device", "gpu", "--quiet")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "jax has no GPU here: " in err
    assert not (tmp_path / "runs").exists()


def test_workers_of_a_device_take_no_more_of_it_than_they_need() -> None:
    assert accelerators.environment("cpu") == {"JAX_PLATFORMS": "cpu"}
    assert accelerators.environment("gpu") == {"JAX_PLATFORMS": "cuda,cpu", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def asked(library: str, device: str) -> dict[str, Any]:
    return next(accelerators.serve(iter([{"library": library, "device": device}])))


def test_jax_and_torch_are_asked_what_they_see(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked("jax", "cpu")["name"] == jax.devices("cpu")[0].device_kind
    assert "no-such-device" in asked("jax", "no-such-device")["failed"]
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda: "imagined card",
        get_device_properties=lambda number: SimpleNamespace(total_memory=2**33),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert asked("torch", "gpu") == CARD
    assert asked("torch", "tpu") == {"failed": "its PyTorch has no TPU here"}
    cuda.is_available = lambda: False
    assert asked("torch", "gpu") == {"failed": "its PyTorch has no GPU here"}


def test_who_cannot_use_the_device_is_left_out_with_the_reason(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"jax": CARD, "torch": {"failed": "its PyTorch has no GPU here"}}
    monkeypatch.setattr(machine, "_ask", lambda device, library: answers[library])
    both = [CONTENDERS["jaxtriplet"], CONTENDERS["sentence-transformers"]]
    reason = "sentence-transformers is left out: its PyTorch has no GPU here"
    assert machine.accelerator("gpu", both) == (CARD, {"sentence-transformers": reason})
    answers["torch"] = CARD
    assert machine.accelerator("gpu", both) == (CARD, {})
    assert machine.accelerator("gpu", both[:1]) == (CARD, {})


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_device_has_its_own_sizes_contenders_and_memory() -> None:
    plan = Plan(device="gpu").resolved(memory=2**36)
    assert (plan.table_sizes, plan.memory_limit) == ([2048, 8192], 32)
    assert [one.name for one in plan.contenders if not one.processor] == ["jaxtriplet-fast", "floor-fast"]
    assert all(one.processor for one in Plan().resolved().contenders)
    assert [one.name for one in Plan(only="floor-fast").resolved().contenders] == ["floor-fast"]
    assert [line.settings for line in plan.lines(plot=True)] == [(setting,) for setting in plan.table()]


# --- workers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "processes"), [("cpu", 2), ("gpu", 1)])
def test_workers_stay_on_a_device_and_are_new_on_the_processor(
    device: str, processes: int, no_gpu: None, tmp_path: Path
) -> None:
    contender = imagined(tmp_path, "own", NAMES_ITS_PROCESS)
    plan = Plan(device=device, losses="batch-hard", batch_sizes="16,32", rounds=1).resolved()
    found = [outcomes[0] for _, outcomes in race.run(plan, plan.lines(plot=False), [contender], lambda step: None)]
    assert [(one.failure, len(one.turns)) for one in found] == [(None, 1), (None, 1)]
    assert len({one.ready["value"] for one in found}) == processes


def test_a_tpu_has_one_process_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(accelerators.PLATFORMS, "tpu", "cpu")
    one = imagined(tmp_path, "one", NEEDS_ITS_DEVICE)
    both = [one, replace(one, name="other")]
    plan = Plan(device="tpu", losses="batch-hard", batch_sizes="16,32", rounds=2).resolved()
    results = list(race.run(plan, plan.lines(plot=False), both, lambda step: None))
    assert [[found.failure for found in outcomes] for _, outcomes in results] == [[None, None], [None, None]]
    together = race.race(SMALL, both, 1, Limits(2**30, 60.0))
    assert "BlockingIOError" in str(together[1].failure)


def test_a_failure_ends_a_job_and_not_the_next() -> None:
    jobs = [{"module": "nowhere.py", "memory_limit": 2**30, **SMALL._asdict()}] * 2
    first, second = worker.serve(iter(jobs))
    assert first == second
    assert "nowhere.py" in first["failed"]


def test_calls_of_a_turn_are_queued_and_the_last_is_waited_for(no_gpu: None, tmp_path: Path) -> None:
    limits = Limits(2**30, 60.0, "gpu")
    (found,) = race.race(SMALL, [imagined(tmp_path, "queued", QUEUES)], 1, limits)
    assert found.failure is None
    # The first call, the one that tells how many make a turn, and the turn.
    assert found.turns[0]["peak"] == 1000 * (2 + found.ready["calls"]) + 3
    assert found.ready["calls"] > 2


def test_what_jax_queues_is_what_it_computes() -> None:
    batch = worker.make_batch(12, 3, 5)
    for name in ("jaxtriplet", "floor", "floor-fast", "textbook"):
        plain, queued = (
            with_jax.prepare(name, "batch-all", batch, {"margin": 0.2}, device)(2**30)[""] for device in ("cpu", "gpu")
        )
        result = queued()
        queued.wait(result)
        jax.tree.map(np.testing.assert_array_equal, plain(), result)
        assert queued.peak() >= sum(array.nbytes for array in batch)
    with pytest.raises(MemoryError):
        with_jax.prepare("floor", "batch-all", batch, {}, "gpu")(100)


def test_torch_is_held_to_its_limit_and_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    def too_much() -> None:
        raise OutOfMemoryError

    shares: list[float] = []
    cuda = SimpleNamespace(
        empty_cache=lambda: None,
        reset_peak_memory_stats=lambda: None,
        synchronize=lambda: None,
        max_memory_allocated=lambda: 42,
        set_per_process_memory_fraction=shares.append,
        get_device_properties=lambda number: SimpleNamespace(total_memory=2**33),
    )
    autograd = SimpleNamespace(grad=lambda value, rows: [2 * one for one in rows])
    stub = SimpleNamespace(cuda=cuda, autograd=autograd, OutOfMemoryError=OutOfMemoryError)
    monkeypatch.setitem(sys.modules, "torch", stub)
    contender = with_torch.OnCuda(lambda: SimpleNamespace(detach=lambda: 0.5), [3.0], 2**31)
    assert contender() == (0.5, [6.0])
    assert contender.peak() == 42
    with pytest.raises(MemoryError):
        with_torch.OnCuda(too_much, [], 2**40)()
    assert shares == [0.25, 1.0]


# --- results ----------------------------------------------------------------------------------------------------------


def outcome(name: str, wall: float) -> Outcome:
    return Outcome(name, ready={"first_call": 1.0}, turns=[{"wall": wall, "cpu": 7.0, "peak": 2**20}])


def test_fast_rows_have_a_table_of_their_own_and_no_table_has_time_of_the_processor() -> None:
    found = [outcome("jaxtriplet", 0.02), outcome("floor", 0.01)]
    fast = [outcome("jaxtriplet-fast", 0.006), outcome("floor-fast", 0.002)]
    exact, other = report.table([*found, *fast], "gpu").split("\n\n")
    assert exact.splitlines()[0] == "| contender | wall ms | / jaxtriplet | / floor | peak MiB | first call s |"
    assert exact.splitlines()[2] == "| jaxtriplet | 20.0 | 1.00 | 2.00 | 1 | 1.0 |"
    assert other.splitlines()[0] == exact.splitlines()[0]
    assert other.splitlines()[2:] == [
        "| jaxtriplet-fast | 6.00 | 1.00 | 3.00 | 1 | 1.0 |",
        "| floor-fast | 2.00 | 0.33 | 1.00 | 1 | 1.0 |",
    ]


def test_the_picture_names_the_device() -> None:
    sizes = [Setting("info-nce", size, None, 4) for size in (2048, 8192)]
    results = [(one, [outcome("jaxtriplet", 0.02), outcome("jaxtriplet-fast", 0.01)]) for one in sizes]
    figure = picture.draw(results, rows_per_class=8, device="gpu")
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_visible()] == ["seconds", "peak memory of the GPU, MiB"]
    assert {"jaxtriplet", "jaxtriplet-fast"} <= {line.get_label() for line in figure.axes[0].get_lines()}


def test_the_command_says_which_card_and_who_is_left_out(imagined_gpu: None, call: Any, tmp_path: Path) -> None:
    words = ["--device", "gpu", "--losses", "batch-hard", "--batch-sizes", "16,32", "--rounds", "1"]
    status, _, err = call("bench", *words, "--only", "jaxtriplet,floor,floor-fast", "--out", str(tmp_path / "out"))
    assert status == 0, err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "bench.md", "bench.png"}
    found = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert found["plan"]["memory_limit"] == 4
    assert found["left_out"] == ["sentence-transformers is left out: no CUDA"]
    assert found["sweep"] == []
    for setting in found["table"]:
        ours, *_ = outcomes = setting["outcomes"]
        assert [one["contender"] for one in outcomes] == ["jaxtriplet", "floor", "floor-fast"]
        assert [one["failure"] for one in outcomes] == [None, None, None]
        assert ours["peak_bytes"] < 2**25  # of the plan, not of the process
    page = (tmp_path / "out" / "bench.md").read_text()
    assert page.splitlines()[2].startswith("imagined card, 8 GiB for JAX; ")
    assert "CPU ms" not in page
    assert "\n- sentence-transformers is left out: no CUDA.\n" in page

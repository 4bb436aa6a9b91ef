"""A long training takes no more memory than a short one."""

import gc
import os
from pathlib import Path
from typing import Any

import pytest

from jaxtriplet import jobs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.history import History

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("points")]

# GROWTH_STEPS=100000 tries a long one.
STEPS, SETTLED = int(os.environ.get("GROWTH_STEPS", 9_000)), 3_000
MEBIBYTE = 2**20


def resident() -> int:
    """Returns the bytes of this process that are in memory."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells the memory of a process there")
def test_a_training_of_many_steps_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, seen = History.add, dict[int, int]()

    def add(self: History, row: Any) -> None:
        whole(self, row)
        if row["step"] % SETTLED == 0:
            seen[row["step"]] = resident()
            print(f"{row['step']:>7} {seen[row['step']] / MEBIBYTE:.1f} MiB", flush=True)

    monkeypatch.setattr(History, "add", add)
    config = Config.of_recipe("points", steps=STEPS, evaluate_every=SETTLED // 2)
    jobs.train(config, out=tmp_path / "run", quiet=True, devices=1, checkpoint_every=1000)
    # 10 MiB in 15,000 updates, and no more than that in any number of them.
    assert seen[STEPS] - seen[SETTLED] < 10 * MEBIBYTE * min(1, (STEPS - SETTLED) / 15_000)

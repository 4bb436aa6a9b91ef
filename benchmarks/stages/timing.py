"""How programs are timed: in turns, so that what disturbs one disturbs all, and the median of the turns counts."""

import math
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import jax

from stages.session import LATE, Built, Session, said

LEAST_SECONDS = 0.05
"""Of a turn: long enough that neither the clock nor a card that wakes up shows."""
MOST_CALLS = 2000
WARM_CALLS, WARM_SECONDS = 3, 0.3
"""Of calls before the first turn: a GPU records what it launches, and replays it later. Enough is either."""


def times(session: Session, built: Mapping[Any, Built | str], turns: int = 7) -> dict[Any, dict[str, Any]]:
    """Times programs beside each other.

    The calls of a turn are queued one behind the other and the last is waited for, as those of a training loop: a
    device works them off in order.

    Args:
        session: The run.
        built: What `Session.compile` returned.
        turns: How many each has, if there is time.

    Returns:
        By the same keys `ms` (of a call, the median), `turns` (all of them), `compile_s`, `trace_s` and `needs_mib`; or
        `failed`.
    """
    least = 0.01 if session.quick else LEAST_SECONDS
    turns = 3 if session.quick else turns
    found: dict[Any, dict[str, Any]] = {}
    calls: dict[Any, int] = {}
    for key, one in built.items():
        if isinstance(one, str):
            found[key] = {"failed": one}
        elif session.left_of_all < 0:
            found[key] = {"failed": LATE}
        else:
            try:
                calls[key] = min(MOST_CALLS, math.ceil(least / _warm(one)))
                found[key] = {"turns": []} | figures(one)
            except Exception as error:
                found[key] = {"failed": said(error)}
    for _ in range(turns):
        for key, number in calls.items():
            # What has been compiled is measured, even if its stage was to end by now; a late turn is better than none.
            if session.left_of_all > 0 or not found[key]["turns"]:
                found[key]["turns"].append(1e3 * _turn(built[key], number))
    for key in calls:
        found[key]["ms"] = median(found[key]["turns"])
        found[key]["turns"] = [round(one, 5) for one in found[key]["turns"]]
    return found


def figures(built: Built) -> dict[str, Any]:
    """Returns what is known of a program without running it."""
    needs = None if built.needs is None else round(built.needs / 2**20, 1)
    return {"trace_s": round(built.traced, 2), "compile_s": round(built.compiled, 2), "needs_mib": needs}


def _warm(built: Built) -> float:
    """Returns the seconds of the last of the calls before the first turn."""
    spent = [_turn(built, 1)]
    while len(spent) < WARM_CALLS and sum(spent) < WARM_SECONDS:
        spent.append(_turn(built, 1))
    return spent[-1]


def _turn(built: Any, calls: int) -> float:
    """Returns the seconds of a call, the mean of so many in a row."""
    started = time.perf_counter()
    for _ in range(calls):
        last = built.call(*built.arguments)
    jax.block_until_ready(last)
    return (time.perf_counter() - started) / calls

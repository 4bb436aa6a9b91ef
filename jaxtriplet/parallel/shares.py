"""What processes of a job share that is no batch: a folder to read, recordings to embed, one file to write."""

import dataclasses
import hashlib
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import jax
import numpy as np

Result = TypeVar("Result")

# Processes that share work meet so often, in seconds: whether another one is still there, they notice as they meet.
ROUND = 10.0
SHARED = "every process of the job knows of it"
"""What is noted on an error by which every process of the job ends."""

_MOST = 1 << 25  # bytes that are gathered at a time, by all processes together: each device has them all
_WORKS, _DONE, _FAILED = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes that share a piece of work: what each does of it, and what they tell each other.

    All of them call each method, in the same order. A single one, `ALONE`, tells nobody and waits for nobody.

    Attributes:
        index: Which of them this is, from 0.
        count: How many there are.
    """

    index: int = 0
    count: int = 1

    def share(self, sizes: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns which process does each of some tasks, so that all have about as much to do.

        Args:
            sizes: How much work each is, [N] integers, the same in every process.

        Returns:
            The index of a process for each, [N] int32, the same in every process.

        Example:
            >>> Processes(0, 2).share([5, 1, 9, 3]).tolist()
            [1, 1, 0, 1]
        """
        amounts, owners = np.asarray(sizes), np.zeros(len(sizes), np.int32)
        loads = [(0, index) for index in range(self.count)]
        for task in np.argsort(-amounts, kind="stable").tolist() if self.count > 1 else ():
            load, owners[task] = loads[0]  # the largest first, to whoever has least
            heapq.heapreplace(loads, (load + int(amounts[task]), int(owners[task])))
        return owners

    def gather(self, data: bytes) -> list[bytes]:
        """Returns what each process has given, in their order.

        Args:
            data: What this one gives.
        """
        if self.count == 1:
            return [data]
        mine = np.array([len(data)], np.uint64).view(np.uint32)  # JAX has 64 bits only where they are asked for
        sizes = _of_all(mine).view(np.uint64)[:, 0].tolist()
        width = min(_MOST // self.count, 1 << max(sizes).bit_length())  # few widths, few programs
        parts: list[list[bytes]] = [[] for _ in sizes]
        for begin in range(0, max(sizes), width):
            block = np.zeros(width, np.uint8)
            piece = np.frombuffer(data[begin : begin + width], np.uint8)
            block[: len(piece)] = piece
            for part, one in zip(parts, _of_all(block), strict=True):
                part.append(one.tobytes())
        return [b"".join(part)[:size] for part, size in zip(parts, sizes, strict=True)]

    def agree(self, work: Callable[[], Result], *, doing: str = "go on") -> Result:
        """Does something in every process that any of them may be unable to do; then all end.

        Args:
            work: What to do, without any other process.
            doing: What cannot be done without it.

        Returns:
            What it returns, of this process.

        Raises:
            OSError: It could not be done, in this process.
            ValueError: Likewise; or in another one, which says why.
        """
        if self.count == 1:
            return work()
        problem: Exception | None = None
        try:
            result = work()
        except (ValueError, OSError) as error:
            problem = error
        told = self.gather(b"" if problem is None else b"!")
        if any(told):
            raise known(problem or ValueError(f"process {told.index(b'!')} cannot {doing}, and says why"))
        return result

    def by_first(self, work: Callable[[], Result], *, doing: str = "go on") -> Result | None:
        """Lets process 0 do something for all, who wait until it is done; see `agree`.

        Args:
            work: What to do.
            doing: What cannot be done without it.

        Returns:
            What it returns; None in the other processes.
        """
        return self.agree(lambda: None if self.index else work(), doing=doing)

    def require_alike(self, value: object, what: str) -> None:
        """Refuses what is not the same in every process, by the checksum of its `repr`.

        Args:
            value: What must be the same.
            what: What that is, in words, of several things.

        Raises:
            ValueError: It is not, in every process.
        """
        if self.count == 1:
            return
        sums = self.gather(hashlib.sha256(repr(value).encode()).digest())
        if others := [str(index) for index, one in enumerate(sums) if one != sums[0]]:
            raise known(ValueError(f"{what} are not the same in process 0 and process {', '.join(others)}"))

    @contextmanager
    def rounds(self, progress_fn: Callable[[int, int], None] | None = None) -> Iterator[Callable[[int, int], None]]:
        """Lets each process do its share: they meet again and again meanwhile, and all end if one does.

        Args:
            progress_fn: Called as `progress_fn(done, total)`, of the shares of all.

        Yields:
            A function `progress_fn(done, total)` of this process's share, to be called often.

        Raises:
            ValueError: Another process cannot do its share, and says why.
        """
        if self.count == 1:
            yield progress_fn or (lambda *_: None)
            return
        share, met = (0, 0), time.monotonic()

        def meet(state: int) -> bool:
            told = _of_all(np.array([*share, state], np.int32))
            if progress_fn:
                progress_fn(*told[:, :2].sum(0).tolist())
            failed = np.flatnonzero(told[:, 2] == _FAILED)
            if len(failed) and state != _FAILED:
                raise known(ValueError(f"process {failed[0]} cannot go on, and says why"))
            return bool(np.all(told[:, 2] == _DONE))

        def show(done: int, total: int) -> None:
            nonlocal share, met
            share = done, total
            if time.monotonic() - met >= ROUND:
                meet(_WORKS)
                met = time.monotonic()

        try:
            yield show
        except (ValueError, OSError) as error:
            if SHARED not in getattr(error, "__notes__", ()):
                meet(_FAILED)
                known(error)
            raise
        while not meet(_DONE):
            pass


ALONE = Processes()


def here() -> Processes:
    """Returns the processes of the job that this one has joined; `ALONE` if it has joined none."""
    return Processes(jax.process_index(), jax.process_count())


def _of_all(mine: np.ndarray) -> np.ndarray:
    """Returns the arrays of all processes, stacked; what JAX says of one that is gone is always an error of JAX's."""
    from jax.experimental import multihost_utils  # not before there are several

    try:
        return np.asarray(multihost_utils.process_allgather(mine))
    except ValueError as error:
        raise jax.errors.JaxRuntimeError(str(error)) from error


def known(error: Exception) -> Exception:
    """Notes on an error that every process of the job ends by it, so that each can wait for the others' last words."""
    error.add_note(SHARED)
    return error

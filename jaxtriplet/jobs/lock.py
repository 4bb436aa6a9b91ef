"""One writer at a time: a lock that ends with its process, however that ends, and that other hosts see too.

The operating system holds it (`flock`, which reaches over NFS), and lets go when the process dies. Where a shared file
system keeps such locks to one host or has none, the file itself tells the others who writes, and by its time that he is
alive.
"""

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BEAT = 10.0  # seconds between two signs of life
SILENT = 60.0  # seconds without one, after which a process that only these tell of is taken for dead


@contextmanager
def writing(file: Path, what: Path) -> Iterator[None]:
    """Holds a lock, or refuses at once.

    Args:
        file: The lock: a file that is there as long as somebody writes. Its folder is made.
        what: What is written, for the message.

    Raises:
        ValueError: Another process writes it, or had not ended a minute ago.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lock, what = Path(folder, ".lock"), Path("runs/mine")
        ...     with writing(lock, what), writing(lock, what):
        ...         print("never")
        Traceback (most recent call last):
        ...
        ValueError: runs/mine is being written by another process (host ..., pid ..., since ...); wait until it ends...
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _take(file, what)
    done = threading.Event()
    life = threading.Thread(target=_live, args=(handle, done), name="lock", daemon=True)
    try:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps(owner).encode(), 0)
        life.start()
        yield
    finally:
        done.set()
        if life.ident:
            life.join()
        file.unlink(missing_ok=True)
        os.close(handle)


def check_free(file: Path, what: Path) -> None:
    """Refuses what another process writes.

    Args:
        file: The lock.
        what: What is written, for the message.

    Raises:
        ValueError: Another process writes it.
    """
    if file.exists():
        with writing(file, what):
            pass


def _take(file: Path, what: Path) -> int:
    """Returns the handle of the lock, which is ours."""
    while True:
        handle, locks = os.open(file, os.O_RDWR | os.O_CREAT, 0o644), True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        except OSError:
            free, locks = True, False
        owner = _owner(handle)
        if owner and (not locks or owner.get("host") != socket.gethostname()):
            free &= time.time() - os.fstat(handle).st_mtime > SILENT
        # The one before may have removed the file between our opening and our locking it.
        with suppress(FileNotFoundError):
            if free and os.path.samestat(os.fstat(handle), os.stat(file)):
                return handle
        os.close(handle)
        if not free:
            who = ", ".join(f"{name} {value}" for name, value in owner.items()) or "one that has just begun"
            raise ValueError(f"{what} is being written by another process ({who}); wait until it ends, or stop it")


def _owner(handle: int) -> dict[str, object]:
    """Returns what a lock says of who holds it, nothing if it is fresh or was cut."""
    with suppress(ValueError):
        found = json.loads(os.pread(handle, 4096, 0))
        return found if isinstance(found, dict) else {}
    return {}


def _live(handle: int, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(handle)

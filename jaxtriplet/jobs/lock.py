"""One writer at a time: a lock that ends with its process, however that ends, and that other hosts see too.

The operating system holds it (`flock`, which reaches over NFS), and lets go when the process dies. Where the system has
no such locks, or a shared file system keeps them to one host or has none, the file itself tells the others who writes,
and by its time that he is alive.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

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
    life = threading.Thread(target=_live, args=(file, done), name="lock", daemon=True)
    try:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, json.dumps(owner).encode())
        life.start()
        yield
    finally:
        done.set()
        if life.ident:
            life.join()
        _let_go(file, handle)


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
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        free, locks = _flock(handle)
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


def _flock(handle: int) -> tuple[bool, bool]:
    """Returns whether no other process of this host has the lock, and whether there are such locks at all."""
    if fcntl is None:
        return True, False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False, True
    except OSError:
        return True, False
    return True, True


def _let_go(file: Path, handle: int) -> None:
    """Removes the lock: while it is held, lest it be another's by then; Windows removes only what nobody has open."""
    with suppress(PermissionError):
        file.unlink(missing_ok=True)
    os.close(handle)
    if fcntl is None:
        file.unlink(missing_ok=True)


def _owner(handle: int) -> dict[str, object]:
    """Returns what a lock says of who holds it, nothing if it is fresh or was cut."""
    with suppress(ValueError):
        os.lseek(handle, 0, os.SEEK_SET)
        found = json.loads(os.read(handle, 4096))
        return found if isinstance(found, dict) else {}
    return {}


def _live(file: Path, done: threading.Event) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):
            os.utime(file)

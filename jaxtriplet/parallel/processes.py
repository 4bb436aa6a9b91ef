"""The processes of a job: how they meet, and which rows each loads."""

import jax

from jaxtriplet import _checks

# A dead process is noticed after so many seconds without a sign of life; a live one gives ten in that time.
HEARTBEAT = 10
# The processes of a job may be started minutes apart.
PATIENCE = 300


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat: int = HEARTBEAT,
) -> None:
    """Joins the processes of a job, with JAX's distributed runtime; call it before anything else of JAX.

    Args:
        coordinator: "host:port" of process 0; None, with the other two, for what SLURM, Open MPI or Kubernetes tell.
        num_processes: How many processes there are.
        process_id: Which of them this is, from 0.
        heartbeat: Seconds without a sign of life after which a process is taken for dead.

    Raises:
        ValueError: Some but not all are given, they make no sense, or the environment does not tell.
    """
    given = [coordinator is not None, num_processes is not None, process_id is not None]
    if any(given) and not all(given):
        raise ValueError("`coordinator`, `num_processes` and `process_id` belong together: give all three, or none")
    if coordinator is not None and num_processes is not None and process_id is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"the coordinator must be host:port, where process 0 can be reached; got {coordinator}")
        if not 0 <= process_id < num_processes:
            raise ValueError(f"of {num_processes} processes, the ids are 0 to {num_processes - 1}; got {process_id}")
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=heartbeat,
        )
    except ValueError as error:
        raise ValueError(
            "neither SLURM, Open MPI nor Kubernetes tells where the other processes are; name `coordinator`, number of "
            f"processes and process id ({error})"
        ) from None


def share_of(rows: int) -> slice:
    """Returns which rows of a batch this process loads.

    A batch stands speaker by speaker, so that a process has speakers of its own.

    Args:
        rows: The number of rows in the batch of all processes.

    Returns:
        A slice.

    Raises:
        ValueError: The rows do not divide among the processes.

    Example:
        >>> share_of(90)
        slice(0, 90, None)
    """
    _checks.whole_number("rows", rows)
    count, index = jax.process_count(), jax.process_index()
    if rows % count:
        raise ValueError(f"a batch of {rows} rows does not divide among {count} processes")
    each = rows // count
    return slice(index * each, (index + 1) * each)

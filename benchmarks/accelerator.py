"""Ten minutes with an accelerator: everything that this library has to know about it, measured in one call.

    python benchmarks/accelerator.py --out runs/h100              # stage after stage, within --seconds
    python benchmarks/accelerator.py --only card,losses           # some of them
    python benchmarks/accelerator.py --profile semi-hard 2048     # which kernels a call's time is spent in
    python benchmarks/accelerator.py --device cpu --quick         # the rehearsal: small shapes, where there is none

It needs no installation: jax (with its plugin), flax, optax and chex are enough; the picture needs matplotlib, and the
stage `bench` what `jaxtriplet bench` needs. After every item `results.json` is whole on the disk, and after every stage
`results.md`: a run that is cut short keeps what it has measured. What fails, or has no time left, says so in its place.
"""

import argparse
import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

STAGES = {"card": 60, "losses": 160, "update": 45, "tiles": 60, "numerics": 110, "profile": 90, "bench": 240}
"""The stages in the order of what they are worth, and how many seconds each may take at the most."""
PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}


def options() -> argparse.Namespace:
    """Returns what the command line says, or ends the program with one line and status 2."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=PLATFORMS, default="gpu", help="where to measure [default: gpu]")
    parser.add_argument("--out", type=Path, default=Path("runs/accelerator"), help="folder of the results")
    parser.add_argument("--seconds", type=float, default=420.0, help="for everything together [default: 420]")
    parser.add_argument("--only", default="", help=f"stages, joined by commas, of {', '.join(STAGES)}")
    parser.add_argument("--quick", action="store_true", help="small shapes and few turns, to try the script itself")
    parser.add_argument(
        "--profile", nargs=2, action="append", default=[], metavar=("LOSS", "BATCH"), help="kernels of a loss's call"
    )
    parser.add_argument("--options", default="{}", help="keywords of the profiled losses, as JSON")
    given = parser.parse_args()
    given.only = [word for word in given.only.split(",") if word] or (["profile"] if given.profile else [*STAGES])
    if unknown := [word for word in given.only if word not in STAGES]:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    try:
        given.options = json.loads(given.options)
        given.profile = [(loss, int(batch)) for loss, batch in given.profile]
    except ValueError as error:
        parser.error(f"--options is one JSON object, BATCH a whole number: {error}")
    return given


def main() -> None:
    """Runs the stages that are asked for, each with what is left of the time."""
    given = options()
    os.environ["JAX_PLATFORMS"] = PLATFORMS[given.device]
    # `jaxtriplet bench` starts other processes on the same card; and nothing is to be refused that would fit.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")
    from stages import page
    from stages.session import Session

    try:
        session = Session(given.device, given.out, quick=given.quick, seconds=given.seconds)
    except RuntimeError as error:
        print(f"jax has no {given.device} here: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    try:
        for name in (name for name in STAGES if name in given.only):
            with session.stage(name, STAGES[name]) as there_is_time:
                if there_is_time:
                    run(name, session, given)
            page.write(session)
        print((session.out / "results.md").read_text(), flush=True)
    finally:
        session.end()


def run(name: str, session: "Session", given: argparse.Namespace) -> None:  # noqa: F821 (JAX must be imported late)
    """Runs one stage; if it fails, that is its result, and the next ones are still run."""
    try:
        stage = import_module(f"stages.{name}")
        stage.run(session, *((given.profile, given.options) if name == "profile" else ()))
    except Exception as error:
        traceback.print_exc()
        session.record("failed", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()

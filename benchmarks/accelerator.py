"""Ten minutes with an accelerator: everything that this library has to know about it, measured in one call.

    python benchmarks/accelerator.py --out runs/h100              # stage after stage, within --seconds
    python benchmarks/accelerator.py --only card,losses           # some of them
    python benchmarks/accelerator.py --profile semi-hard 2048     # which kernels a call's time is spent in
    python benchmarks/accelerator.py --device cpu --quick         # the rehearsal: small shapes, where there is none
    python benchmarks/accelerator.py --draw runs/h100/results.json --overwrite  # picture and tables of results again

It needs no installation: jax (with its plugin), flax, optax and chex are enough; the picture needs matplotlib, and the
stage `bench` what `jaxtriplet bench` needs. After every item `results.json` is whole on the disk, and after every stage
`results.md`: a run that is cut short keeps what it has measured. What fails says so in its place.

On a GPU most of the time goes into compiling: XLA tries kernels on the card. What it has found is kept beside the
folder of the results (`--autotune-cache`), for all runs, and a second run compiles about twice as fast.
"""

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))

STAGES = {"card": 60, "losses": 150, "numerics": 90, "update": 60, "tiles": 50, "profile": 60, "large": 240}
STAGES |= {"bench": 240}
"""The stages, what compiles quickly first, and how many seconds each may take at the most."""
PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns what the command line says, or ends the program with status 2; the last line says why.

    Args:
        words: Of the command line; None for those that the program was called with.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=PLATFORMS, default="gpu", help="where to measure [default: gpu]")
    parser.add_argument("--out", type=Path, help="folder of the results [default: runs/accelerator-<time>]")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there")
    parser.add_argument("--seconds", type=float, default=420.0, help="for everything together [default: 420]")
    parser.add_argument("--only", default="", help=f"stages, joined by commas, of {', '.join(STAGES)}")
    parser.add_argument("--quick", action="store_true", help="small shapes and few turns, to try the script itself")
    parser.add_argument(
        "--profile", nargs=2, action="append", default=[], metavar=("LOSS", "BATCH"), help="kernels of a loss's call"
    )
    parser.add_argument("--options", default="{}", help="keywords of the profiled losses, as JSON")
    parser.add_argument(
        "--autotune-cache",
        type=Path,
        help="folder of the kernels that were found to be best [default: OUT/../autotune]",
    )
    parser.add_argument("--draw", type=Path, metavar="JSON", help="measure nothing; draw a file of results beside it")
    given = parser.parse_args(words)
    given.out = given.out or Path("runs", time.strftime("accelerator-%Y-%m-%d_%H-%M-%S"))
    given.autotune_cache = given.autotune_cache or given.out.resolve().parent / "autotune"
    given.only = [word for word in given.only.split(",") if word] or (["profile"] if given.profile else [*STAGES])
    if unknown := [word for word in given.only if word not in STAGES]:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    if not 0 < given.seconds < math.inf:
        parser.error(f"--seconds must be a finite number above 0, but is {given.seconds}")
    try:
        given.options = json.loads(given.options)
        given.profile = [(loss, int(batch)) for loss, batch in given.profile]
    except (ValueError, RecursionError) as error:
        parser.error(f"--options is one JSON object, BATCH a whole number: {error}")
    if not isinstance(given.options, dict):
        parser.error(f"--options is one JSON object, not {json.dumps(given.options)}")
    # JAX reads which platforms there are when it is imported, as it is for the names of the losses.
    os.environ["JAX_PLATFORMS"] = PLATFORMS[given.device]
    for loss, batch in given.profile:
        if wrong := wrong_profile(loss, batch):
            parser.error(f"--profile {loss} {batch}: {wrong}")
    return given


def wrong_profile(loss: str, batch: int) -> str:
    """Returns why a loss cannot be profiled with a batch, or nothing."""
    from jaxtriplet.tools import losses

    try:
        losses.find(loss)
    except ValueError as error:
        return str(error)
    return "" if batch >= 1 else "a batch has 1 row or more"


def main(words: Sequence[str] | None = None) -> None:
    """Runs the stages that are asked for, each with what is left of the time; `words` are those of `options`."""
    given = options(words)
    if given.draw:
        draw(given.draw, overwrite=given.overwrite)
        return
    from stages import places

    try:
        places.check_folder(given.out, overwrite=given.overwrite)
        if given.device == "gpu":
            places.check_folder(given.autotune_cache, overwrite=True)
    except (OSError, ValueError) as error:
        refuse(error)
    # `jaxtriplet bench` starts other processes on the same card; and nothing is to be refused that would fit.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")
    if given.device == "gpu":
        os.environ["XLA_FLAGS"] = with_cache(os.environ.get("XLA_FLAGS", ""), given.autotune_cache.resolve())
    from stages.session import Session

    try:
        session = Session(given.device, given.out, quick=given.quick, seconds=given.seconds)
        if given.device == "gpu":
            places.make(given.autotune_cache)
        for old in ("results.json", "results.md", "results.png"):  # Else pages of two runs may lie side by side.
            (given.out / old).unlink(missing_ok=True)
    except OSError as error:
        refuse(error)
    except RuntimeError as error:
        refuse(f"jax has no {given.device} here: {error}")
    try:
        for name in (name for name in STAGES if name in given.only):
            with session.stage(name, STAGES[name]) as there_is_time:
                if there_is_time:
                    run(name, session, given)
            write(session)
        print((session.out / "results.md").read_text(), flush=True)
    finally:
        session.end()


def refuse(why: object) -> NoReturn:
    """Ends the program with one line and status 2."""
    print("Error:", *str(why).split(), file=sys.stderr)
    sys.exit(2)


def with_cache(flags: str, cache: Path) -> str:
    """Returns XLA's flags with the folder of what autotuning has found, unless they name one.

    >>> with_cache("--xla_dump_to=dumps", Path("/runs/autotune"))
    "--xla_dump_to=dumps --xla_gpu_per_fusion_autotune_cache_dir='/runs/autotune'"
    """
    name = "--xla_gpu_per_fusion_autotune_cache_dir"
    return flags if name in flags else f"{flags} {name}='{cache}'".strip()


def write(session: "Session") -> None:  # noqa: F821 (JAX must be imported late)
    """Writes `results.md`, and `results.png` if there is something to draw and something to draw it with."""
    from stages import page, picture

    (session.out / "results.md").write_text(page.markdown(session.results))
    try:
        picture.draw(session.results, session.out / "results.png")
    except ImportError as error:
        session.say(f"no picture: {error}")


def draw(path: Path, *, overwrite: bool) -> None:
    """Draws results beside their file, and prints their tables.

    Args:
        path: Of the results.
        overwrite: Whether a picture may be there already.
    """
    from stages import page, picture, places

    beside = path.with_suffix(".png")
    try:
        results = json.loads(path.read_text())
        if not isinstance(results, dict) or not results or not all(name in STAGES for name in results):
            raise ValueError(f"no JSON object of the stages {', '.join(STAGES)}")
        told = page.markdown(results)
        places.check_file(beside, overwrite=overwrite)
        picture.draw(results, beside)
    except places.TakenError as error:
        refuse(error)
    except ImportError as error:
        refuse(f"no picture: {error}")
    except OSError as error:
        refuse(error if error.filename else f"{beside}: {error}")
    except Exception as error:  # A wrong value shows where it is first used.
        refuse(f"{path} holds no results: {error if isinstance(error, ValueError) else repr(error)}")
    print(told)


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

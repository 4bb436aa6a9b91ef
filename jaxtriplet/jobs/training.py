"""The job `train`: an encoder of whatever a config names, trained, judged and written down."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxtriplet import _checks, _files, pages
from jaxtriplet.jobs import event_files, latest, nonfinite, notes, runs
from jaxtriplet.jobs.config import Config
from jaxtriplet.jobs.fit import OnMetrics, fit
from jaxtriplet.jobs.history import Row
from jaxtriplet.jobs.meeting import by_first, check_place, devices_for, meet, warn
from jaxtriplet.jobs.recipes import usual
from jaxtriplet.jobs.schedules import unreached
from jaxtriplet.jobs.sources import find
from jaxtriplet.jobs.sources.source import Run, Source
from jaxtriplet.jobs.told import section_words


class Trained(NamedTuple):
    """What `train` made.

    Attributes:
        folder: Where it is written.
        figures: The content of metrics.json; None in a process that leaves the judgement to process 0.
        run: The trained encoder; None likewise.
        history: The figures of all updates.
    """

    folder: Path
    figures: dict[str, Any] | None
    run: Run | None
    history: list[Row]


def train(
    config: Config | str | Path | None = None,
    *,
    data: str | Path | None = None,
    dev: str | Path | None = None,
    dev_fraction: float | None = None,
    allow_outside: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    quiet: bool = False,
    on_metrics: OnMetrics | None = None,
    tensorboard: bool = False,
    devices: int | None = None,
    checkpoint_every: int = 100,
    distributed: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Trained:
    """Trains an encoder, judges it, and writes the results into a folder.

    The folder gets config.json, metrics.jsonl (a line per update), checkpoints/, weights/ (both with SHA256SUMS),
    metrics.json, embeddings.npz (those that were judged, with the names of their speakers, and labels, which count
    these from 0), report.html and, of recordings, data.json (which were used, and what is wrong with the others). While
    a run writes into it, there is a file .lock; a loss that is not finite leaves nan/, for `jobs.nonfinite` to read.

    Args:
        config: The numbers of the run, or the file that holds them, such as the config.json of another run; None for
            the recipe "best" with `data`, else for "japanese-vowels".
        data: The folder of the recordings to train on: <speaker>/[<session>/]<utterance>.
        dev: The folder of other speakers, who choose the best checkpoint and judge it.
        dev_fraction: The share of the speakers in `data` that are held out for that.
        allow_outside: Whether Kaldi's `wav.scp` may name files outside `data` and `dev`.
        out: The folder for the results; None for `runs/<time>`, to which `runs/latest` leads from then on.
        overwrite: Whether the folder may hold something.
        resume: Whether to go on from the newest checkpoint in the folder.
        quiet: Whether to show no progress on standard error.
        on_metrics: Called after each update, in process 0 alone, with the number of updates so far and their figures by
            name, such as `loss`, `gradient_norm` and, where the encoder was judged, `equal_error_rate`: for Weights &
            Biases, MLflow or a plot. What it raises ends the run, which can then be resumed; a resumed run tells the
            updates after its newest checkpoint once more.
        tensorboard: Whether to write the same figures for TensorBoard, into tensorboard/ in the folder; a resumed run
            writes those from before anew, so that none is there twice.
        devices: How many devices of this process to use; None for as many as divide a batch.
        checkpoint_every: Updates between checkpoints.
        distributed: Whether this is one of several processes, which all call this with the same arguments.
        coordinator: host:port of process 0; None for what SLURM, Open MPI or Kubernetes tell.
        num_processes: How many processes there are; None likewise.
        process_id: Which of them this is, from 0; None likewise.

    Returns:
        The folder, the figures, the run and its history.

    Raises:
        ValueError: The config, the data, the folder or the devices do not fit, or the loss is no longer finite.
        ImportError: `tensorboard` needs a library that is not installed.

    Example:
        >>> from jaxtriplet import jobs
        >>> jobs.train(jobs.Config.of_recipe("best", steps=10))
        Traceback (most recent call last):
        ...
        ValueError: the recipe best trains on recordings: name their folder, `data`
    """
    check_place(coordinator, num_processes, process_id, distributed=distributed)
    # A link is followed once: another run may move it meanwhile.
    asked, folder = _settled(config, data), None if out is None else latest.resolved(Path(out))
    settings, numbers = asked.nested(), asked.flat()
    _checks.positive_integer("`checkpoint_every`", checkpoint_every)
    if dev_fraction is not None:
        _checks.finite("`dev_fraction`", dev_fraction)
        if not 0 < dev_fraction < 1:
            raise ValueError(f"`dev_fraction` must lie between 0 and 1; got {dev_fraction}")
    if on_metrics is not None and not callable(on_metrics):
        raise ValueError(f"`on_metrics` must be a function of a step and its figures; got {_checks.seen(on_metrics)}")
    if tensorboard:
        event_files.library()  # not installed, that is said before anything is made
    # Before the processes meet: until then none of them writes, and all see the folder as it was.
    folder = runs.choose_to_train(numbers, folder, overwrite=overwrite, resume=resume)
    if tensorboard:
        event_files.place_in(folder)
    source = _source(asked, data, dev, dev_fraction, allow_outside=allow_outside, quiet=quiet)
    content = source.content()
    if resume:
        runs.check_data(folder, content)
    if distributed:
        mesh = meet(source.config, None if out is None else folder, coordinator, num_processes, process_id)
    else:
        mesh = devices_for(source.config, devices)
    batches, started = source.batches(mesh.size), time.perf_counter()
    with ExitStack() as held:

        def begin() -> None:
            held.enter_context(runs.writing(folder))
            # Once more, now that nobody else writes.
            runs.choose_to_train(numbers, folder, overwrite=overwrite, resume=resume)
            runs.begin(folder, settings, content, overwrite=overwrite)
            if out is None and (words := latest.point_at(folder)):
                warn(words)
            source.report()
            if words := unreached(asked):
                warn(words)

        by_first(begin)
        held.enter_context(notes.resumable(folder))  # before, there is nothing to go on from
        told = [] if on_metrics is None else [on_metrics]
        if tensorboard:
            told.append(held.enter_context(event_files.EventFiles(folder)))
        how: dict[str, Any] = {"checkpoint_every": checkpoint_every, "quiet": quiet}
        model, step, history = fit(source, batches, folder, mesh, told=() if jax.process_index() else told, **how)
        if jax.process_index():
            return Trained(folder, None, None, history)
        if not quiet:
            warn("judging the encoder, and drawing its report")
        run = source.run(model)
        runs.save_weights(folder, run)
        judgement, more, arrays, page = source.judge(run)
        seconds = round(time.perf_counter() - started, 1)
        figures = {"judged": judgement.judged, **judgement.figures, **more, "step": step, "training_seconds": seconds}
        _files.write_json(folder / "metrics.json", figures)
        arrays = {"embeddings": judgement.embeddings, "labels": judgement.labels, **arrays}
        _files.write_arrays(folder / "embeddings.npz", **arrays)
        chosen = None if source.watched == "training" else step
        words = section_words(source.config)
        pages.run_page(
            folder, config=words, history=history, judgement=judgement, figures=figures, chosen=chosen, **page
        )
        nonfinite.remove(folder / "nan")  # An earlier attempt may have left it.
        return Trained(folder, figures, run, history)


def _settled(config: Config | str | Path | None, data: str | Path | None) -> Config:
    if config is None:
        return Config.of_recipe(usual(data))
    return config.replace() if isinstance(config, Config) else Config.read(config)


def _source(
    config: Config, data: str | Path | None, dev: str | Path | None, dev_fraction: float | None, **options: bool
) -> Source:
    kind = find(config.data.source)
    if data is None and (dev, dev_fraction) != (None, None):
        raise ValueError("`dev` and `dev_fraction` belong to `data`")
    if data is None and kind.needs_data:
        raise ValueError(f"the recipe {config.recipe} trains on recordings: name their folder, `data`")
    if data is not None and not kind.needs_data:
        raise ValueError(f"`data`: of no use with the recipe {config.recipe}")
    data, dev = (None if one is None else Path(one) for one in (data, dev))
    return kind(config, data=data, dev=dev, dev_fraction=dev_fraction, **options)

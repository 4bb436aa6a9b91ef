"""The job on recordings: train on one folder's speakers, judge on other speakers, and write it all down."""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxtriplet import parallel
from jaxtriplet.cli.recorded import name_problems
from jaxtriplet.data import Crops, Problem, Recordings, load, read, recordings, require_pairs, split_by_speaker
from jaxtriplet.jobs import runs
from jaxtriplet.jobs.fit import Job, Task, begin, choose_folder, fit, make_loss, meet
from jaxtriplet.jobs.progress import progress
from jaxtriplet.jobs.recipes import SpeechConfig, optimizer_of
from jaxtriplet.metrics import equal_error_rate, judge_unseen, pair_scores
from jaxtriplet.pages import run_page
from jaxtriplet.pages.stages import stage_pictures
from jaxtriplet.speech.encoder import embed_recordings
from jaxtriplet.training import Batch

SHOWN = 3.0  # seconds of a recording, in the pictures of what training does to it
MAX_JUDGED = 2000  # recordings have two million pairs, which take a second; more say no more


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the recordings are."""

    data: Path
    """The folder to train on."""
    dev: Path | None = None
    """The folder of the development speakers."""
    dev_fraction: float | None = None
    """The share of the speakers in `data` that are held out for development."""


class Material(NamedTuple):
    """Recordings to train on, and of other speakers to develop on, if there are such."""

    train: Recordings
    dev: Recordings | None
    problems: tuple[Problem, ...]


def train_speech(
    config: SpeechConfig,
    source: Source,
    out: Path | None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    job: Job,
) -> tuple[Path, dict[str, Any] | None]:
    """Trains an encoder of recordings, judges it on development speakers, and writes the results.

    Args:
        config: The numbers of the run.
        source: Where the recordings are.
        out: The folder for the results; None for `runs/<time>`.
        overwrite: Whether the folder may hold something.
        resume: Whether to go on from the newest checkpoint in the folder.
        job: How to carry it out.

    Returns:
        The folder, and the figures of `metrics.json`; none in a process that leaves them to process 0.

    Raises:
        ValueError: The config, the recordings, the folder or the devices do not fit, or the loss is no longer finite.
    """
    # Before the processes meet: until then none of them writes, and all see the folder as it was.
    folder = choose_folder(config, out, overwrite=overwrite, resume=resume)
    material = listen(source, quiet=job.quiet)
    content = _content(material)
    if resume and (folder / "data.json").is_file() and json.loads((folder / "data.json").read_text()) != content:
        raise ValueError(f"{folder} was begun with other recordings than {source.data} now holds")
    batch = batch_that_fits(config, material.train)
    mesh = meet(batch, out, job)
    if is_first := not jax.process_index():
        _report_on(material, asked=config.speakers, given=batch.speakers)
    judged = _some(material.train if material.dev is None else material.dev, config.evaluate_on)
    task = _task(batch, material.train, None if material.dev is None else judged, mesh.size)
    begin(folder, config, overwrite=overwrite)
    if is_first:
        runs.write_json(folder / "data.json", content)

    started = time.perf_counter()
    fitted = fit(task, folder, mesh, job)
    if not is_first:
        return folder, None
    run = runs.SpeechRun(config, fitted.model)
    runs.save(folder, run)
    embeddings = run.embed_recordings(judged)
    judgement = judge_unseen(embeddings, judged.labels, judged=task.judged)
    metrics: dict[str, Any] = {"judged": task.judged, **judgement.figures}
    metrics |= {"step": fitted.step, "training_seconds": round(time.perf_counter() - started, 1)}
    runs.write_json(folder / "metrics.json", metrics)
    np.savez(folder / "embeddings.npz", embeddings=embeddings, labels=judged.labels, paths=judged.paths)
    run_page(
        folder,
        config=dataclasses.asdict(config),
        history=fitted.history,
        judgement=judgement,
        figures=metrics,
        label_names=judged.speakers,
        untrained=embed_recordings(runs.build_speech_encoder(config), judged),
        more=[
            stage_pictures(run.model, read(judged.root / judged.paths[0], sample_rate=run.sample_rate, seconds=SHOWN))
        ],
    )
    return folder, metrics


def listen(source: Source, *, quiet: bool) -> Material:
    """Reads what the folders hold.

    Args:
        source: The folders.
        quiet: Whether to show no progress.

    Returns:
        The recordings, those that cannot be used apart.

    Raises:
        ValueError: There is nothing to train on or nothing to develop on, or one speaker is in both.
    """
    if source.dev is not None and source.dev_fraction is not None:
        raise ValueError("--dev names the development speakers, --dev-fraction draws them: give one of them")
    with progress("recordings", quiet=quiet) as show:
        train, dev = recordings(source.data, progress_fn=show), None
    problems = train.problems
    if source.dev is not None:
        with progress("development", quiet=quiet) as show:
            dev = recordings(source.dev, progress_fn=show)
        problems += dev.problems
        if both := sorted({*train.speakers} & {*dev.speakers}):
            raise ValueError(f"speakers to develop on must be others than those to train on; in both: {both[0]}")
    elif source.dev_fraction is not None:
        train, dev = split_by_speaker(train, source.dev_fraction)
    for index in (train, dev):
        if index is not None:
            require_pairs(index)
    return Material(train, dev, problems)


def _report_on(material: Material, *, asked: int, given: int) -> None:
    """Says what is left out, and what a batch is made of if not of what was asked for."""
    name_problems(material.problems, len(material.train) + (0 if material.dev is None else len(material.dev)))
    if given < asked:
        print(f"jaxtriplet: {given} speakers in a batch, not {asked}: no more have two recordings", file=sys.stderr)


def batch_that_fits(config: SpeechConfig, index: Recordings) -> SpeechConfig:
    """Returns the config with no more speakers in a batch than can be drawn.

    Args:
        config: The numbers of the run.
        index: The recordings to train on.
    """
    several = int(np.sum(np.bincount(index.labels) > 1)) * len(config.speed_factors)
    return dataclasses.replace(config, speakers=min(config.speakers, several))


def _some(index: Recordings, each: int) -> Recordings:
    """Returns some recordings of each speaker, from all over the order of the paths and so of the sessions."""
    each = min(each, max(2, MAX_JUDGED // len(index.speakers)))
    rows = [np.flatnonzero(index.labels == label) for label in range(len(index.speakers))]
    spread = [own[np.unique(np.linspace(0, len(own) - 1, each).astype(int))] for own in rows]
    return index.take(np.concatenate(spread))


def _content(material: Material) -> dict[str, Any]:
    """Returns what `data.json` says of the recordings: no path but those inside the folders."""

    def of(index: Recordings | None) -> dict[str, Any] | None:
        if index is None:
            return None
        listing = "\n".join(f"{path} {frames}" for path, frames in zip(index.paths, index.frames, strict=True))
        return {
            "speakers": list(index.speakers),
            "recordings": len(index),
            "hours": round(float(index.seconds.sum()) / 3600, 3),
            "sha256": hashlib.sha256(listing.encode()).hexdigest(),
        }

    left_out = [problem._asdict() for problem in material.problems]
    return {"training": of(material.train), "development": of(material.dev), "left_out": left_out}


def crops_of(config: SpeechConfig, index: Recordings, *, devices: int = 1) -> Crops:
    """Returns the batches of a run.

    Args:
        config: The numbers of the run.
        index: The recordings to train on.
        devices: How many devices share a batch.

    Raises:
        ValueError: The recordings do not fill a batch.
    """
    in_thirds = "deep-speaker" in config.weights
    rows = config.speakers * config.utterances
    return Crops(
        index,
        speakers=config.speakers,
        utterances=config.utterances,
        seed=config.seed,
        seconds=config.crop_seconds,
        speeds=config.speed_factors,
        sample_rate=config.sample_rate,
        triplet_shares=devices if in_thirds else None,
        share=parallel.share_of(rows // 3 * 3 if in_thirds else rows),
    )


def _task(config: SpeechConfig, train: Recordings, dev: Recordings | None, devices: int) -> Task:
    """Returns what to train, and on whom to judge it."""
    crops = crops_of(config, train, devices=devices)

    def batches(begin: int) -> Iterator[Batch]:
        loader = load(crops)
        loader.set_state({"next_index": begin})
        for waveforms, lengths, labels in loader:
            yield Batch(*map(jax.numpy.asarray, (waveforms, labels, lengths)))

    def error(model: Any) -> float:
        assert dev is not None
        return equal_error_rate(*pair_scores(embed_recordings(model, dev), dev.labels))

    return Task(
        config,
        model=runs.build_speech_encoder(config),
        loss_fn=make_loss(config.weights, config.margin, hinge=config.hinge),
        optimizer=optimizer_of(config),
        batches=batches,
        judge_fn=None if dev is None else error,
        judged="training" if dev is None else "development",
    )

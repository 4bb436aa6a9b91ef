"""The job `evaluate`: trials of a list or of a folder, scored and judged."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxtriplet import _checks
from jaxtriplet.data import Recordings, Trials
from jaxtriplet.data.pairs import SameSession
from jaxtriplet.jobs import judging, listening, results, retrieving, runs
from jaxtriplet.jobs.calibrating import Development
from jaxtriplet.jobs.hearing import hearing_for
from jaxtriplet.jobs.meeting import meet_to_share
from jaxtriplet.jobs.scoring import Comparison, disjoint
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.jobs.told import asked_words
from jaxtriplet.jobs.trial_scores import ByRun, Normalizing, by_run
from jaxtriplet.jobs.trials import Listed, Wanted
from jaxtriplet.metrics import Calibration
from jaxtriplet.parallel.shares import Processes


class Evaluated(NamedTuple):
    """What `evaluate` found.

    Attributes:
        folder: Where it is written.
        figures: The content of `metrics.json`; {} in a process that leaves the judgement to process 0.
        trials: The trials that could be scored, T of them.
        scores: Of each trial, [T], by the prefix of their figures: "" as they are, and "as_norm_" after AS-norm;
            {} likewise.
        calibrations: What makes log-likelihood ratios of them, by the same prefixes; {} if nothing was fitted.
        sides: The speakers of both recordings of each trial, [T, 2] integers; None if nobody knows.
    """

    folder: Path
    figures: dict[str, Any]
    trials: Trials
    scores: Mapping[str, np.ndarray]
    calibrations: Mapping[str, Calibration]
    sides: np.ndarray | None


def evaluate(
    run: str | Path | Sequence[str | Path],
    data: str | Path,
    trials: str | Path | None = None,
    *,
    pairs: int | None = None,
    seed: int = 0,
    same_session: SameSession = "keep",
    write_trials: str | Path | None = None,
    retrieval: bool = False,
    calibrate: str | Path | None = None,
    calibrate_data: str | Path | None = None,
    backend: str | None = None,
    backend_layer: str | None = None,
    fit_on: str | Path | None = None,
    crops: int = 0,
    crop_seconds: float = 4.0,
    as_norm: bool = False,
    cohort: str | Path | None = None,
    top: int = 300,
    draws: int = 1000,
    allow_outside: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    distributed: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Evaluated:
    r"""Judges the encoder of a run by trials, and writes metrics.json, scores.txt, det.png and report.html.

    Trials come from a list or are the pairs of the recordings in a folder that tells who speaks, all or a balanced
    draw. If files of a list are missing, nothing is begun. Trials of files that cannot be decoded are left out and
    counted. The 95 % interval of the equal error rate is a bootstrap over speakers, if the folder or the first folder
    of every path tells who they are; of fewer than `metrics.MIN_SPEAKERS` there is none. Where they are not known, it
    is a bootstrap over trials, which is narrower than the truth.

    A score is a cosine or, with the back-end "plda", a log-likelihood ratio of its model, which is not to be taken at
    its word: `calibrate` fits scale and offset on trials of other speakers, by which scores become ratios that may be.
    Of several runs a score is the mean of theirs, before AS-norm and after it, and embeddings are joined to one whose
    cosine is the mean of theirs. Scores after AS-norm, calibrated ones and those of pairs judged apart are in files of
    their own: scores_as_norm.txt, scores_calibrated.txt, scores_same_session.txt.

    With `distributed=True`, several processes share the recordings, and process 0 judges and writes. What is embedded
    is kept in `<out>.partial` meanwhile: if one of them is gone, the same call goes on from there, in any number of
    processes or in one alone. All of them see the same recordings and lists, and the same folder of `out`.

    Args:
        run: The folder of a finished run on recordings, or several such.
        data: The folder of the recordings.
        trials: The list, as `data.read_trials` takes it: lines `1 path path` (one speaker) or `0 path path` (two),
            or `path path target` and `path path nontarget`, paths relative to `data`; of Kaldi's folders, names of
            utterances. None for pairs of the recordings in `data`, which must tell who speaks.
        pairs: How many pairs to draw, half of them of one speaker, evenly over speakers; None for all.
        seed: Of that draw.
        same_session: What becomes of pairs of one speaker in one session, which share microphone and room, so that
            they are the easy ones: "keep" them, "leave-out", or judge them "apart" from the others, in figures and a
            file of their own. How many there are is told in any case.
        write_trials: A file for the pairs that were judged, as `trials` takes it.
        retrieval: Whether to add figures of retrieval: of each recording's nearest others by cosine, those of its own
            session among them, which are of its speaker.
        calibrate: A list of trials of speakers who are neither judged nor trained on, on which calibration is fitted.
        calibrate_data: The folder of their recordings; None for `data`.
        backend: How to compare recordings: "none" (the cosine of embeddings), "centered", "wccn", "lda" or "plda"; None
            for the run's own.
        backend_layer: What of the encoder a back-end sees that is fitted anew: "pooled" or "embedding"; None for
            what the run says.
        fit_on: A folder of recordings of other, known speakers to fit the back-end on; None for those trained on.
        crops: How many crops of a recording to take the mean of; 0 for the whole recording.
        crop_seconds: How long they are.
        as_norm: Whether to add figures after AS-norm.
        cohort: A folder of recordings of others to measure against, which asks for AS-norm too; None for those in
            `fit_on` or some of those trained on.
        top: How many of the cohort, those nearest to a recording, to measure it against, at least 2.
        draws: Draws of the bootstrap.
        allow_outside: Whether lists may name files outside their folder, and Kaldi's `wav.scp` such outside its own.
        out: The folder for the results; None for `runs/evaluate-<time>`.
        overwrite: Whether it may hold something, and the file for the pairs be there.
        quiet: Whether to show no progress on standard error.
        distributed: Whether this is one of several processes, which all call this with the same arguments.
        coordinator: host:port of process 0; None for what SLURM, Open MPI or Kubernetes tell.
        num_processes: How many processes there are; None likewise.
        process_id: Which of them this is, from 0; None likewise.

    Returns:
        The figures, all rates from 0 to 1, and the scores.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: A number is too small, a run, a list, the recordings or the folder cannot be used, the cohort, what
            to fit on or what to calibrate on shares a file with the trials, scores of several kinds would be
            averaged, or the processes do not see the same.

    Example:
        >>> import pathlib, tempfile
        >>> from jaxtriplet import jobs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pathlib.Path(folder, "trials.txt").write_text("1 a.wav\n") and None
        ...     jobs.evaluate("runs/mine", folder, f"{folder}/trials.txt")
        Traceback (most recent call last):
        ...
        ValueError: ...trials.txt, line 1: expected 1 or 0 and two paths, ...; got `1 a.wav`
    """
    _checks.positive_integer("`draws`", draws)
    if top < 2:
        raise ValueError(f"`top` must be at least 2; got {top}")
    if calibrate_data is not None and calibrate is None:
        raise ValueError("`calibrate_data`: of no use without `calibrate`, a list of trials")
    comparison = Comparison(backend, backend_layer, fit_on, crops, crop_seconds).checked()
    wanted = Wanted(trials, pairs, seed, same_session, write_trials).checked()
    asked = Listed.of(trials, data, allow_outside=allow_outside)
    try:
        developing = Listed.of(calibrate, calibrate_data or data, allow_outside=allow_outside)
    except ValueError as error:
        hint = "; if they are in another folder, name it with `calibrate_data`" * (calibrate_data is None)
        raise ValueError(f"{error}{hint}") from error
    folder = runs.choose(out, overwrite=overwrite, job="evaluate-")
    file = None if write_trials is None else results.choose_list(write_trials, folder, overwrite=overwrite)
    for one in (asked, developing):
        if one is not None:
            one.require_both_kinds()
    names = [run] if isinstance(run, str | Path) else list(run)
    processes = meet_to_share(
        out, distributed=distributed, coordinator=coordinator, num_processes=num_processes, process_id=process_id
    )
    alike = (wanted, retrieval, calibrate, calibrate_data, comparison, as_norm, cohort, top, draws)
    processes.require_alike((*alike, allow_outside, overwrite), "the options")
    normalizes = as_norm or cohort is not None
    needs_cohort = normalizes and cohort is fit_on is None
    encoders = processes.agree(lambda: _encoders(names, comparison, needs_cohort=needs_cohort))
    if asked is None:
        judged = wanted.of_folder(data, allow_outside=allow_outside, processes=processes, quiet=quiet)
    else:
        judged = asked.chosen(processes=processes, quiet=quiet)
    if retrieval:
        processes.agree(lambda: retrieving.require_known(judged))
    others = None
    if cohort is not None:
        others = _cohort(cohort, judged.recordings, allow_outside=allow_outside, processes=processes, quiet=quiet)
    known = comparison.recordings(
        judged=judged.recordings, allow_outside=allow_outside, processes=processes, quiet=quiet
    )
    development = developing_on = None
    if developing is not None:
        developing_on = developing.chosen("calibration's recordings", processes=processes, quiet=quiet)
        seen = {"the cohort": others, "what to fit on": known}
        development = processes.by_first(
            lambda: Development.of(developing.path, developing_on, judged, seen, listening.speakers_of_training(names))
        )
    normalizing = Normalizing(others, top) if normalizes else None
    settings = {
        "run": ", ".join(map(str, names)),
        "data": data,
        **wanted._asdict(),
        "calibrate": calibrate,
        "calibrate_data": calibrate_data,
        "retrieval": retrieval,
        "as_norm": normalizes,
        "cohort": cohort,
        "top": top if normalizes else None,
        **comparison._asdict(),
        "crops": crops or None,
        "crop_seconds": crop_seconds if crops else None,
        "seed": None if pairs is None else seed,
        "same_session": same_session if trials is None else None,
        "draws": draws,
    }

    def finish(heard: Sequence[ByRun]) -> Evaluated:
        threshold = _development_threshold(names, comparison, heard[0].run)
        verdict = judging.judge(judged, heard, development, draws=draws, threshold=threshold)
        figures = {
            **verdict.figures,
            **judged.figures,
            "compared_by": ", ".join(dict.fromkeys(one.run.compared_by for one in heard)),
            "num_runs": len(names),
            "num_recordings": len(judged.recordings),
            **listening.problems_as_json(judged.recordings.problems),
        }
        runs.claim(folder, overwrite=overwrite)
        if file is not None:
            results.write_trials(file, judged.trials)
        results.write(folder, judged, verdict, figures, asked_words(settings))
        return Evaluated(folder, figures, judged.trials, verdict.scores, verdict.calibrations, judged.sides)

    with hearing_for(folder, processes, distributed=distributed, overwrite=overwrite, quiet=quiet) as hearing:
        heard = list[ByRun]()
        for number, (name, encoder) in enumerate(encoders.items()):
            fitted = comparison.fit(encoder, known, processes=processes, quiet=quiet)
            by = hearing.by(number, name, comparison)
            if (found := by_run(fitted, judged, developing_on, normalizing, embeds=retrieval, hearing=by)) is not None:
                heard.append(found)
        done = processes.by_first(partial(finish, heard))
    return done or Evaluated(folder, {}, judged.trials, {}, {}, judged.sides)


def _encoders(names: Sequence[str | Path], comparison: Comparison, *, needs_cohort: bool) -> dict[str, SpeechRun]:
    """Returns the runs by their names, if they go together and, if these must, have recordings to measure against."""
    encoders = {str(name): comparison.load(name) for name in names}
    _check_alike(names, {name: comparison.kind(one) for name, one in encoders.items()})
    for name, encoder in encoders.items():
        if needs_cohort and encoder.cohort is None:
            raise ValueError(f"{name} holds none of the recordings it was trained on; name a `cohort` of others")
    return encoders


def _check_alike(names: Sequence[str | Path], kinds: Mapping[str, str]) -> None:
    """Refuses no run, one that is named twice, and runs whose scores are of two kinds."""
    if len(kinds) != len(names) or not names:
        raise ValueError(f"`run` must be one or several different folders; got {', '.join(map(str, names)) or 'none'}")
    if len({kind == "plda" for kind in kinds.values()}) > 1:
        words = ", ".join(f"{name} has {kind}" for name, kind in kinds.items())
        raise ValueError(
            f"the mean of log-likelihood ratios (plda) and of cosines tells nothing; name a `backend`: {words}"
        )


def _cohort(
    folder: str | Path, judged: Recordings, *, allow_outside: bool, processes: Processes, quiet: bool
) -> Recordings:
    words = "cohort's recordings"
    others = listening.listen(
        folder, labelled=False, allow_outside=allow_outside, words=words, processes=processes, quiet=quiet
    )
    processes.agree(partial(disjoint, "the cohort", judged, others))
    return others


def _development_threshold(names: Sequence[str | Path], comparison: Comparison, run: SpeechRun) -> float | None:
    """Returns the threshold that training chose for such scores, if there is one."""
    if len(names) > 1 or not comparison.is_own(run):
        return None
    return listening.threshold_of(names[0], "development", "threshold" if run.backend is None else "backend_threshold")

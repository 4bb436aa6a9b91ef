"""The command `evaluate`: a list of trials, scored and judged."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from jaxtriplet.cli import kinds, options

TRIALS, CALIBRATION, NORMALISATION, JUDGING = "Trials", "Calibration", "Normalisation", "Judging"


@click.command(
    cls=options.Sections,
    examples=[
        ("runs/latest --data others", "All pairs of recordings in a folder of speakers, by the newest run."),
        ("runs/mine --data voxceleb1 --trials list.txt", "A published list of trials."),
    ],
)
@options.RUNS
@options.DATA
@options.option(
    "--trials",
    type=options.PATH,
    metavar="FILE",
    help="List of pairs to score.  [default: pairs of all in --data]",
    section=TRIALS,
)
@options.option(
    "--pairs", type=kinds.Whole(2), help="Without --trials: how many pairs to draw.  [default: all]", section=TRIALS
)
@options.option("--seed", type=kinds.Whole(0), default=0, show_default=True, help="Of that draw.", section=TRIALS)
@options.option(
    "--same-session",
    type=kinds.Choice(("keep", "leave-out", "apart")),
    default="keep",
    show_default=True,
    help="Without --trials: what becomes of pairs of one speaker in one session.",
    section=TRIALS,
)
@options.option(
    "--write-trials",
    type=options.PATH,
    metavar="FILE",
    help="File for the pairs, which --trials reads.",
    section=TRIALS,
)
@options.option(
    "--retrieval", is_flag=True, help="Add recall, R-precision, MAP@R and reciprocal rank.", section=JUDGING
)
@options.option(
    "--draws", type=kinds.Whole(1), default=1000, show_default=True, help="Draws of the bootstrap.", section=JUDGING
)
@options.option(
    "--calibrate",
    type=options.PATH,
    metavar="FILE",
    help="List of trials of other speakers to calibrate scores on.",
    section=CALIBRATION,
)
@options.option(
    "--calibrate-data",
    type=options.PATH,
    metavar="DIR",
    help="Folder of their recordings.  [default: --data]",
    section=CALIBRATION,
)
@options.comparing()
@options.option(
    "--as-norm", is_flag=True, help="Normalise scores as well, by recordings of others.", section=NORMALISATION
)
@options.option(
    "--cohort",
    type=options.PATH,
    metavar="DIR",
    help="Those others, for --as-norm.  [default: some of those trained on]",
    section=NORMALISATION,
)
@options.option(
    "--top",
    type=kinds.Whole(2),
    default=300,
    show_default=True,
    help="Nearest of the cohort to use.",
    section=NORMALISATION,
)
@options.ALLOW_OUTSIDE
@options.out_folder("evaluate")
@options.OVERWRITE
@options.JSON
@options.QUIET
@options.distributed
def evaluate(as_json: bool, **asked: Any) -> None:
    """Judge the encoder in the folder RUN by trials: is it one speaker in both recordings?

    RUN is the folder of a finished run on recordings; runs/latest, if none is named. Of several, RUN RUN ..., the mean
    of their scores is judged.

    Lists: a trial is a line `1 path path` (one speaker) or `0 path path` (two), or `path path target` or `path path
    nontarget`, all lines alike; paths are relative to --data, or names of utterances if that is Kaldi's folder. Names
    that hold spaces need tabs between the fields. A number after `1 path path` is a score and passed over. If any files
    are missing, nothing is begun. Trials of files that cannot be decoded are left out and counted.

    Without --trials, --data must tell who speaks, as for embed, and all pairs are scored or, with --pairs N, half as
    many of one speaker, evenly over speakers, and half of two. Pairs of one speaker in one session share microphone and
    room, and are easy: --same-session leave-out drops them, and --same-session apart gives them figures of their own.

    The 95 % interval of the equal error rate is a bootstrap over speakers, if the folder or the first folder of every
    path is one; else over trials, which is narrower than the truth. Below five speakers there is none. --as-norm adds
    figures after AS-norm, under names of their own.

    Scores are cosines or, with the back-end plda, log-likelihood ratios of its model, which is too sure of itself.
    --calibrate LIST fits scale and offset on trials of other speakers, and tells what the ratios are worth then: Cllr,
    and the DCF at the threshold that priors and costs ask for. A back-end that the run was not trained with can be
    fitted on other recordings, --fit-on DIR.

    --retrieval looks each recording up among all others, those of its own session included, by the cosine of embeddings
    (of a back-end, of those that it makes): who speaks must be known.

    The folder gets metrics.json, scores.txt (the trials, each with its score), det.png and report.html; normalised and
    calibrated scores, and those of pairs judged apart, are in files of their own.

    With --distributed, several processes share the recordings, and process 0 judges and writes. What is embedded is
    kept in OUT.partial meanwhile: if one of them is gone, all end, and the same command goes on from there, in any
    number of processes or in one alone. All of them see the same recordings and lists, and the folder of OUT.
    """
    from jaxtriplet import jobs

    done = jobs.evaluate(**asked)
    if not done.figures:
        return
    files = f"scores: {done.folder / 'scores.txt'}", f"pictures: {done.folder / 'report.html'}"
    print(json.dumps(done.figures) if as_json else "\n".join([*_in_words(done.figures), *files]))


def _in_words(figures: Mapping[str, Any]) -> Iterator[str]:
    for prefix, words in (("", ""), ("as_norm_", "after AS-norm: ")):
        of = {name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix)}
        if "threshold" in of:
            rate, costs = of["equal_error_rate"], _costs(of, "minDCF", "min_dcf")
            yield f"{words}equal error rate {rate:.2%} ({_interval(figures, of)}), {costs}"
        if "cllr" in of:
            worth, costs = f"Cllr {of['cllr']:.3f} (at best {of['min_cllr']:.3f})", _costs(of, "DCF", "actual_dcf")
            source = figures["calibrated_on"]
            bare = "as the back-end gives them (scores are not calibrated)"
            how = bare if source == "nothing" else f"calibrated on {source}"
            yield f"{words}as likelihood ratios, {how}: {worth}, {costs}"
        if "same_session_equal_error_rate" in of:
            rate, cost = of["same_session_equal_error_rate"], of["same_session_min_dcf"]
            yield f"{words}same-speaker pairs of one session: equal error rate {rate:.2%}, minDCF {cost:.3f} at 0.01"
    if "development_threshold" in figures:
        yield (
            f"at the run's own threshold {figures['development_threshold']:.3f}: "
            f"false acceptance {figures['false_acceptance_rate']:.2%}, "
            f"false rejection {figures['false_rejection_rate']:.2%}"
        )
    yield from _of_retrieval(figures)
    if figures["compared_by"] != "none" or figures["num_runs"] > 1:
        yield f"back-end: {figures['compared_by']}; runs: {figures['num_runs']}"
    yield from _of_trials(figures)


def _interval(figures: Mapping[str, Any], of: Mapping[str, Any]) -> str:
    if "no_interval" in figures:
        return str(figures["no_interval"])
    low, high = of["equal_error_rate_interval"]
    over = figures["bootstrap_over"]
    if over == "trials":
        over = "trials: the first folders of the paths do not tell who speaks"
    return f"95% interval {low:.2%} to {high:.2%}, drawn over {over}" if high else f"no draw of {over} had an error"


def _costs(of: Mapping[str, Any], title: str, name: str) -> str:
    return f"{title} {of[name]:.3f} at 0.01, {of[f'{name}_0.05']:.3f} at 0.05"


def _of_retrieval(figures: Mapping[str, Any]) -> Iterator[str]:
    if "map_at_r" in figures:
        recalls = [f"{figures[f'recall_at_{k}']:.2%} at {k}" for k in (1, 5, 10) if f"recall_at_{k}" in figures]
        yield (
            f"recall {', '.join(recalls)}; R-precision {figures['r_precision']:.2%}, MAP@R {figures['map_at_r']:.2%}, "
            f"mean reciprocal rank {figures['mean_reciprocal_rank']:.3f}; {figures['num_queries']:,} recordings, "
            f"{figures['num_queries_left_out']:,} without another of their speaker"
        )
    if "no_recall" in figures:
        yield str(figures["no_recall"])


def _of_trials(figures: Mapping[str, Any]) -> Iterator[str]:
    total, targets = figures["num_trials"], figures["num_target_trials"]
    drawn = f", {targets:,} of one speaker, drawn by seed {figures['seed']}" if "seed" in figures else ""
    yield f"{total:,} trials{drawn}, {figures['num_trials_left_out']:,} left out"
    if total < (wanted := figures.get("num_pairs_asked", 0)):
        short = (("of one speaker", targets < wanted // 2), ("of two speakers", 2 * (total - targets) < wanted))
        kinds = " and ".join(kind for kind, is_short in short if is_short)
        yield f"fewer than the {wanted:,} pairs asked for: there are no more {kinds}"
    if count := figures.get("num_same_session_pairs", 0):
        fate = {
            "keep": f"of the {targets:,} trials of one speaker are of one session, the easy ones; see --same-session",
            "leave-out": "pairs of one speaker in one session are left out",
            "apart": "pairs of one speaker in one session are judged apart",
        }
        yield f"{count:,} {fate[figures['same_session']]}"

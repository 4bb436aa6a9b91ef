"""The command `evaluate`: a list of trials, scored and judged."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from jaxtriplet.cli import options


@click.command()
@click.argument("run", type=options.PATH, nargs=-1, required=True)
@options.DATA
@click.option("--trials", type=options.PATH, required=True, help="Lines `1 path path` or `0 path path`.")
@options.comparing()
@click.option("--as-norm", is_flag=True, help="Normalise scores as well, by recordings of others.")
@click.option("--cohort", type=options.PATH, help="Those others, for --as-norm.  [default: some of those trained on]")
@click.option("--top", type=click.IntRange(2), default=300, show_default=True, help="Nearest of the cohort to use.")
@click.option("--draws", type=click.IntRange(1), default=1000, show_default=True, help="Draws of the bootstrap.")
@options.ALLOW_OUTSIDE
@options.out_folder("evaluate")
@options.OVERWRITE
@options.JSON
@options.QUIET
def evaluate(as_json: bool, **asked: Any) -> None:
    """Judge the encoder in the folder RUN by trials: is it one speaker in both recordings?

    Of several folders, RUN RUN ..., the mean of their scores is judged.

    A trial is a line `1 path path` (one speaker) or `0 path path` (two), paths relative to --data, or names of
    utterances if that is Kaldi's folder. If any are missing, nothing is begun. Trials of files that
    cannot be decoded are left out and counted.

    The 95 % interval of the equal error rate is a bootstrap over speakers, if the first folder of every path is one;
    else over trials, which is narrower than the truth. --as-norm adds figures after AS-norm, under names of their own.

    Scores are cosines or, with the back-end plda, log-likelihood ratios of its model; where to accept is known from
    development speakers. A back-end that the run was not trained with can be fitted on other recordings, --fit-on DIR.

    The folder gets metrics.json, scores.txt (the trials, each with its score), det.png and report.html.
    """
    from jaxtriplet import jobs

    done = jobs.evaluate(**asked)
    pictures = f"pictures: {done.folder / 'report.html'}"
    print(json.dumps(done.figures) if as_json else "\n".join([*_in_words(done.figures), pictures]))


def _in_words(figures: Mapping[str, Any]) -> Iterator[str]:
    for prefix, words in (("", ""), ("as_norm_", "after AS-norm: ")):
        if f"{prefix}threshold" in figures:
            low, high = figures[f"{prefix}equal_error_rate_interval"]
            yield (
                f"{words}equal error rate {figures[f'{prefix}equal_error_rate']:.2%} (95% interval {low:.2%} to "
                f"{high:.2%}, drawn over {figures['bootstrap_over']}), minDCF {figures[f'{prefix}min_dcf']:.3f} at "
                f"0.01, {figures[f'{prefix}min_dcf_0.05']:.3f} at 0.05"
            )
    if figures["compared_by"] != "none" or figures["num_runs"] > 1:
        yield f"back-end: {figures['compared_by']}; runs: {figures['num_runs']}"
    yield f"{figures['num_trials']:,} trials, {figures['num_trials_left_out']:,} left out"

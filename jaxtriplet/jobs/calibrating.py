"""Calibration of scores: a scale and an offset, fitted on trials of other speakers than those that are judged."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxtriplet import metrics
from jaxtriplet.data import Recordings
from jaxtriplet.jobs.meeting import warn
from jaxtriplet.jobs.scoring import disjoint
from jaxtriplet.jobs.trial_scores import Scores
from jaxtriplet.jobs.trials import Chosen
from jaxtriplet.metrics import Calibration


class Development(NamedTuple):
    """Trials to calibrate on; `of` says what does not fit.

    Attributes:
        path: Their list.
        chosen: The trials.
        figures: What there is to say of them.
    """

    path: str | Path
    chosen: Chosen
    figures: dict[str, Any]

    @classmethod
    def of(
        cls,
        path: str | Path,
        chosen: Chosen,
        judged: Chosen,
        seen: Mapping[str, Recordings | None],
        trained_on: Collection[str] = (),
    ) -> "Development":
        """Refuses trials that share recordings with others, and tells of speakers that they share.

        Args:
            path: The list.
            chosen: The trials.
            judged: What is judged.
            seen: What else scores are made by, by what it is in words.
            trained_on: The names of those whom encoders were trained on.

        Raises:
            ValueError: A recording is in both.
        """
        disjoint("what to calibrate on", judged.recordings, chosen.recordings)
        for words, index in seen.items():
            if index is not None:
                disjoint(words, chosen.recordings, index)
        same = chosen.trials.same
        figures = {
            "calibrated_on": str(path),
            "num_calibration_trials": len(same),
            "num_calibration_target_trials": int(same.sum()),
            "num_calibration_trials_left_out": chosen.figures["num_trials_left_out"],
        }
        if chosen.names and judged.names:
            both = sorted({*chosen.names} & {*judged.names})
            figures["num_calibration_speakers_judged"] = len(both)
            if both:
                warn(
                    f"{len(both)} of the {len(judged.names)} speakers who are judged share a name with those to "
                    f"calibrate on, such as {both[0]}; if they are the same people, calibration seems better than it is"
                )
        if chosen.names and trained_on:
            known = sorted({*chosen.names} & {*trained_on})
            figures["num_calibration_speakers_trained_on"] = len(known)
            if known:
                warn(
                    f"{len(known)} of the {len(chosen.names)} speakers to calibrate on share a name with those whom "
                    f"the encoder was trained on, such as {known[0]}; if they are the same people, it tells them apart "
                    "better than others, and the ratios will be too sure"
                )
        return cls(path, chosen, figures)

    def fit(self, scores: Scores) -> dict[str, Calibration]:
        """Returns the calibration of each kind of scores.

        Args:
            scores: Those of the trials.

        Raises:
            ValueError: They do not overlap.
        """
        try:
            return {prefix: metrics.calibrate(own, self.chosen.trials.same) for prefix, own in scores.items()}
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

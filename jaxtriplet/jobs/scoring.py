"""How the jobs on recordings compare them: by the run's own back-end or by another, whole or by crops."""

from pathlib import Path
from typing import NamedTuple, cast

from jaxtriplet import _checks
from jaxtriplet.data import Recordings, require_pairs
from jaxtriplet.jobs import listening, runs
from jaxtriplet.jobs.sections import BACKENDS, LAYERS
from jaxtriplet.jobs.sources.fitting import fitted, hear
from jaxtriplet.jobs.sources.speech_run import SpeechRun
from jaxtriplet.models import Layer
from jaxtriplet.parallel.shares import ALONE, Processes
from jaxtriplet.speech import Excerpts


class Comparison(NamedTuple):
    """How recordings are to be compared; `checked` says what does not fit.

    Attributes:
        backend: One of `sections.BACKENDS`; None for the run's own or, with `fit_on`, for one of its kind.
        backend_layer: What of the encoder a back-end that is fitted anew sees; None for what the run says.
        fit_on: A folder of recordings, which tells who speaks, to fit a back-end on; None for the training recordings,
            on which the run has fitted its own already.
        crops: How many crops of a recording to take the mean of; 0 for the whole recording.
        crop_seconds: How long they are.
    """

    backend: str | None = None
    backend_layer: str | None = None
    fit_on: str | Path | None = None
    crops: int = 0
    crop_seconds: float = 4.0

    def checked(self) -> "Comparison":
        """Returns the same, if it makes sense.

        Raises:
            ValueError: It does not.

        Example:
            >>> Comparison(backend="none", fit_on="calls").checked()
            Traceback (most recent call last):
            ...
            ValueError: `fit_on`: of no use with `backend="none"`, the cosine of embeddings
        """
        if self.backend is not None:
            _checks.option("`backend`", self.backend, BACKENDS)
        if self.backend_layer is not None:
            _checks.option("`backend_layer`", self.backend_layer, LAYERS)
        for name in ("backend_layer", "fit_on"):
            if self.backend == "none" and getattr(self, name) is not None:
                raise ValueError(f'`{name}`: of no use with `backend="none"`, the cosine of embeddings')
        if self.backend_layer is not None and self.fit_on is None:
            raise ValueError("`backend_layer`: of no use without `fit_on`, recordings to fit a back-end on")
        if self.crops:
            _checks.positive_integer("`crops`", self.crops)
        if self.crops == 1:
            raise ValueError("`crops` must be at least 2, or 0 for whole recordings; got 1")
        _checks.finite("`crop_seconds`", self.crop_seconds)
        if self.crop_seconds < 0.1:
            raise ValueError(f"`crop_seconds` must be at least 0.1; got {self.crop_seconds}")
        if not self.crops and self.crop_seconds != Comparison().crop_seconds:
            raise ValueError("`crop_seconds`: of no use without `crops`")
        return self

    def load(self, folder: str | Path) -> SpeechRun:
        """Returns the encoder of a run, compared in this way if nothing has to be fitted.

        Args:
            folder: The folder of a finished run of `jaxtriplet train --data`.

        Raises:
            ValueError: The folder holds no such run, or it has no such back-end and there is nothing to fit one on.
        """
        run = runs.load_speech(folder)._replace(excerpts=Excerpts(self.crops, self.crop_seconds))
        if self.backend == "none" and run.backend is not None:
            return run._replace(layer="embedding", backend=None, cohort=None)
        if self.fit_on is None and self.backend not in (None, run.config.backend.name):
            raise ValueError(
                f"{folder} has {'no back-end' if run.backend is None else f'the back-end {run.compared_by}'}; "
                f"to fit {self.backend}, name recordings of known speakers with `fit_on`"
            )
        return run

    def is_own(self, run: SpeechRun) -> bool:
        """Returns whether this is how training compared recordings, so that the thresholds it found are of use."""
        return self.fit_on is None and not self.crops and self.backend in (None, run.config.backend.name)

    def kind(self, run: SpeechRun) -> str:
        """Returns what the back-end of a run is or, once it is fitted, will be: one of `sections.BACKENDS`."""
        own = "none" if run.backend is None else run.backend.kind
        return own if self.fit_on is None else self.backend or run.config.backend.name.replace("none", "plda")

    def recordings(
        self,
        *,
        judged: Recordings | None = None,
        allow_outside: bool,
        processes: Processes = ALONE,
        quiet: bool,
    ) -> Recordings | None:
        """Returns what there is to fit a back-end on, if anything.

        Args:
            judged: What is judged by it.
            allow_outside: Whether Kaldi's `wav.scp` may name files outside the folder.
            processes: Who shares the reading.
            quiet: Whether to show no progress.

        Raises:
            ValueError: It is not of two speakers, none of them has two recordings, or some of it is judged.
        """
        if self.fit_on is None:
            return None
        words = "back-end's recordings"
        index = listening.listen(
            self.fit_on, known=True, allow_outside=allow_outside, words=words, processes=processes, quiet=quiet
        )

        def check() -> None:
            require_pairs(index)
            if judged is not None:
                disjoint("what to fit on", judged, index)

        processes.agree(check)
        return index

    def fit(self, run: SpeechRun, index: Recordings | None, *, processes: Processes = ALONE, quiet: bool) -> SpeechRun:
        """Returns the run with a back-end that is fitted now; as it is, if there is nothing to fit one on.

        Args:
            run: What `load` has given.
            index: What `recordings` has.
            processes: Who shares the hearing; the first of them alone gets a back-end.
            quiet: Whether to show no progress.
        """
        if index is None:
            return run
        run = run._replace(layer=cast(Layer, self.backend_layer or run.config.backend.backend_layer))
        with listening.progress("back-end", quiet=quiet or processes.index > 0, compiles=True) as show:
            known = hear(run, index, run.config.backend.speed_factors, show, processes=processes)
        return processes.by_first(lambda: fitted(run, self.kind(run), known)) or run

    def settled(self, folder: str | Path, *, allow_outside: bool, quiet: bool) -> SpeechRun:
        """Returns the encoder of a run, compared in this way; see `load`, `recordings` and `fit`."""
        run = self.checked().load(folder)
        return self.fit(run, self.recordings(allow_outside=allow_outside, quiet=quiet), quiet=quiet)


def disjoint(what: str, index: Recordings, others: Recordings) -> None:
    """Refuses recordings among which are some of those that are judged.

    Args:
        what: What they are, in words.
        index: Those that are judged.
        others: Those that must be other ones.

    Raises:
        ValueError: A file is among both.
    """
    files = [{(one.root / path).resolve() for path in one.paths.tolist()} for one in (index, others)]
    if both := sorted(files[0] & files[1]):
        raise ValueError(f"{what} must be of other speakers than what is judged; {len(both)} in both: {both[0]}")

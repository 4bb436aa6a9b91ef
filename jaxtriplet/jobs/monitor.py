"""Notices when training has gone wrong in a way that a falling loss does not show."""

from collections.abc import Mapping

from jaxtriplet.losses import registry
from jaxtriplet.types import Stats

# Of the length of the embeddings: less than a fiftieth of what separates trained speakers.
ALIKE = 0.02


class CollapseMonitor:
    """Notices embeddings that have all become alike, so that a triplet loss stays at its margin.

    It looks at distances between rows; those to class weights, of losses that have some, say nothing of this.

    Args:
        patience: For how many steps on end this must hold; the first steps of a fresh encoder look so too.

    Example:
        >>> monitor = CollapseMonitor(patience=2)
        >>> apart = Stats(4, 2, 0.5, 0.3, 0.9, 0.5, 0.6, 1.0)
        >>> alike = Stats(4, 4, 1.0, 0.001, 0.001, 0.002, 0.0, 1.0)
        >>> [monitor({"batch_hard": stats}) for stats in (apart, alike)]
        [None, None]
        >>> monitor({"batch_hard": alike})[:50]
        'the embeddings have collapsed: all distances lie w'
        >>> monitor({"batch_hard": alike}) is None  # said once
        True
    """

    def __init__(self, *, patience: int = 40) -> None:
        """Starts to count."""
        self._patience, self._steps = patience, 0

    def __call__(self, stats: Mapping[str, Stats]) -> str | None:
        """Returns a warning in plain words at the step at which a collapse is certain, else None.

        Args:
            stats: The statistics of a step, by loss.

        Returns:
            The warning, or None.
        """
        spans = [_span(one) for name, one in stats.items() if not registry.find(name).class_weights]
        collapsed = bool(spans) and all(high - low < ALIKE * norm for low, high, norm in spans)
        self._steps = self._steps + 1 if collapsed else 0
        if self._steps != self._patience:
            return None
        low, high, _ = spans[0]
        return (
            f"the embeddings have collapsed: all distances lie within {low:.4f} and {high:.4f}, so the loss can only "
            "stay at its margin. A smaller learning rate, a smaller margin, or a loss that averages over more triplets "
            "(batch-all, semi-hard) usually helps"
        )


def _span(stats: Stats) -> tuple[float, float, float]:
    distances = [float(value) for name, value in stats._asdict().items() if name.endswith("_distance")]
    return min(distances), max(distances), min(1.0, float(stats.mean_norm))

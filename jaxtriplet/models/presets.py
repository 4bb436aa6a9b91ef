"""Encoders by name, in sizes that have names."""

from typing import Any

from flax import nnx

from jaxtriplet import _checks
from jaxtriplet.models.blstm import BLSTM
from jaxtriplet.models.ecapa_tdnn import ECAPATDNN
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.models.lstm import LSTM
from jaxtriplet.models.tdnn import TDNN

ENCODERS: dict[str, type[Encoder]] = {"blstm": BLSTM, "lstm": LSTM, "tdnn": TDNN, "ecapa-tdnn": ECAPATDNN}
"""Every encoder by name."""

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "blstm": {
        "small": {"hidden": 64, "layers": 2, "embedding_dim": 64},  # the net that learns JapaneseVowels
        # Stadelmann et al., 2018, for 100 speakers: dense layers of 10 and of 5 units for each.
        "paper": {"hidden": 256, "layers": 2, "dense": (1000,), "embedding_dim": 500},
    },
    "lstm": {
        "small": {"hidden": 128, "projection": 64, "layers": 3, "embedding_dim": 64},
        "paper": {"hidden": 768, "projection": 256, "layers": 3, "embedding_dim": 256},  # Wan et al., 2018
    },
    "tdnn": {
        # One layer: with the voices of a few dozen speakers, deeper ones did no better on others.
        "small": {"channels": (64,), "sizes": (5,), "dilations": (1,), "stride": 2, "embedding_dim": 128},
        # The same, for a back-end that is fitted on its statistics: these gain by their number.
        "wide": {"channels": (512,), "sizes": (3,), "dilations": (1,), "stride": 2, "embedding_dim": 128},
        # Snyder et al., 2018.
        "paper": {
            "channels": (512, 512, 512, 512, 1500),
            "sizes": (5, 3, 3, 1, 1),
            "dilations": (1, 2, 3, 1, 1),
            "embedding_dim": 512,
        },
    },
    "ecapa-tdnn": {
        # Every other frame: neighbours share more than half of their samples, and an update takes half the time.
        "small": {"channels": 128, "scale": 4, "stride": 2, "bottleneck": 64, "aggregated": 256, "embedding_dim": 128},
        # Desplanques et al., 2020, the smaller of its two.
        "paper": {"channels": 512, "scale": 8, "bottleneck": 128, "aggregated": 1536, "embedding_dim": 192},
    },
}
"""The sizes of every encoder, by its name and the preset's.

"small" and "wide" train on two CPU cores, where an update of 64 crops of 2 s takes less than a second; "paper" is what
was published.
"""


def preset_names() -> list[str]:
    """Returns the names that sizes have, of any encoder.

    Example:
        >>> preset_names()
        ['small', 'paper', 'wide']
    """
    return list(dict.fromkeys(name for sizes in PRESETS.values() for name in sizes))


def build(
    name: str,
    preset: str,
    in_features: int,
    *,
    embedding_dim: int | None = None,
    num_outputs: int | None = None,
    rngs: nnx.Rngs,
) -> Encoder:
    """Returns an encoder with random weights.

    Args:
        name: A key of `ENCODERS`, such as "ecapa-tdnn".
        preset: A key of `PRESETS[name]`, such as "small".
        in_features: Number of features of a frame, F.
        embedding_dim: Size of the embedding, E; None for the preset's.
        num_outputs: Number of logits that the loss is to see in place of the embedding, or None.
        rngs: Source of the initial weights.

    Returns:
        The encoder.

    Raises:
        ValueError: There is no encoder or preset of that name.

    Example:
        >>> from flax import nnx
        >>> from jaxtriplet.models import build
        >>> build("ecapa-tdnn", "small", 80, embedding_dim=32, rngs=nnx.Rngs(0)).embedding.out_features
        32
    """
    _checks.option("encoder", name, ENCODERS)
    _checks.option("preset", preset, PRESETS[name])
    _checks.positive_integer("in_features", in_features)
    _checks.given("rngs", rngs, nnx.Rngs, "a source of randomness of Flax NNX, `nnx.Rngs(0)`, say")
    sizes = PRESETS[name][preset] | ({} if embedding_dim is None else {"embedding_dim": embedding_dim})
    return ENCODERS[name](in_features, **sizes, num_outputs=num_outputs, rngs=rngs)

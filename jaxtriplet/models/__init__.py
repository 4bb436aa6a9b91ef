"""Speaker encoders: Flax NNX modules from padded feature sequences to one embedding per utterance."""

from jaxtriplet.models.blstm import BLSTM
from jaxtriplet.models.embedding import embed

__all__ = ["BLSTM", "embed"]

"""Speaker encoders: Flax NNX modules from padded feature sequences to one embedding per utterance."""

from jaxtriplet.models.blstm import BLSTM
from jaxtriplet.models.ecapa_tdnn import ECAPATDNN
from jaxtriplet.models.embedding import embed
from jaxtriplet.models.encoder import Encoder
from jaxtriplet.models.kinds import Projection, kinds
from jaxtriplet.models.lstm import LSTM
from jaxtriplet.models.presets import ENCODERS, PRESETS, build
from jaxtriplet.models.sliding import embed_sliding
from jaxtriplet.models.tdnn import TDNN

__all__ = [
    "BLSTM",
    "ECAPATDNN",
    "ENCODERS",
    "LSTM",
    "PRESETS",
    "TDNN",
    "Encoder",
    "Projection",
    "build",
    "embed",
    "embed_sliding",
    "kinds",
]

"""Speaker encoders: Flax NNX modules from padded feature sequences to one embedding per utterance."""

from jaxtriplet.models.blstm import BLSTM as BLSTM
from jaxtriplet.models.ecapa_tdnn import ECAPATDNN as ECAPATDNN
from jaxtriplet.models.embedding import Layer as Layer, embed as embed
from jaxtriplet.models.encoder import Encoder as Encoder
from jaxtriplet.models.kinds import Projection as Projection, kinds as kinds
from jaxtriplet.models.lstm import LSTM as LSTM
from jaxtriplet.models.presets import (
    ENCODERS as ENCODERS,
    PRESETS as PRESETS,
    build as build,
    preset_names as preset_names,
)
from jaxtriplet.models.tdnn import TDNN as TDNN

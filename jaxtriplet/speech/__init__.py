"""Speech: from waveforms to embeddings of voices.

- `frontend`: level, log-mel features and their normalisation, of batches of waveforms.
- `augmentation`: random rooms, channels, noises and gains of waveforms, and masks of log-mel features.
- `encoder`: all of that before an encoder of `jaxtriplet.models`, as one module, and embeddings of recordings by it.
- `features`: standardisation and augmentation of features that come without their waveforms, such as JapaneseVowels.
"""

from jaxtriplet.speech.augmentation import (
    FeatureAugmentation,
    WaveformAugmentation,
    add_noise,
    augment_waveforms,
    change_gain,
    filter_channel,
    mask_features,
    reverberate,
    stages,
)
from jaxtriplet.speech.encoder import SpeechEncoder, embed_batches, embed_recordings
from jaxtriplet.speech.features import Augmentation, Standardizer, augment
from jaxtriplet.speech.frontend import (
    NORMALIZATIONS,
    fixed_normalize,
    log_mel,
    mean_normalize,
    mel_filters,
    normalize_level,
)

__all__ = [
    "NORMALIZATIONS",
    "Augmentation",
    "FeatureAugmentation",
    "SpeechEncoder",
    "Standardizer",
    "WaveformAugmentation",
    "add_noise",
    "augment",
    "augment_waveforms",
    "change_gain",
    "embed_batches",
    "embed_recordings",
    "filter_channel",
    "fixed_normalize",
    "log_mel",
    "mask_features",
    "mean_normalize",
    "mel_filters",
    "normalize_level",
    "reverberate",
    "stages",
]

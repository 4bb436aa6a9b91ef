"""Speech: from waveforms to embeddings of voices.

- `frontend`: level, log-mel features and their normalisation, of batches of waveforms.
- `augmentation`: random rooms, channels, noises and gains of waveforms, and masks of log-mel features.
- `encoder`: all of that before an encoder of `jaxtriplet.models`, as one module.
- `recordings`: embeddings of recordings, from their files.
- `features`: standardisation and augmentation of features that come without their waveforms, such as JapaneseVowels.
"""

from jaxtriplet.speech.augmentation.changes import (
    WaveformAugmentation as WaveformAugmentation,
    add_noise as add_noise,
    change_gain as change_gain,
    filter_channel as filter_channel,
    reverberate as reverberate,
)
from jaxtriplet.speech.augmentation.features import (
    FeatureAugmentation as FeatureAugmentation,
    mask_features as mask_features,
)
from jaxtriplet.speech.augmentation.waveforms import augment_waveforms as augment_waveforms, stages as stages
from jaxtriplet.speech.encoder import SpeechEncoder as SpeechEncoder
from jaxtriplet.speech.features import Augmentation as Augmentation, Standardizer as Standardizer, augment as augment
from jaxtriplet.speech.frontend import (
    NORMALIZATIONS as NORMALIZATIONS,
    fixed_normalize as fixed_normalize,
    log_mel as log_mel,
    mean_normalize as mean_normalize,
    mel_filters as mel_filters,
    normalize_level as normalize_level,
    remove_offset as remove_offset,
)
from jaxtriplet.speech.recordings import (
    Excerpts as Excerpts,
    embed_batches as embed_batches,
    embed_recordings as embed_recordings,
)

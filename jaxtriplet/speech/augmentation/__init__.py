"""What training does to utterances: random rooms, channels and noises, and masks of their log-mel features.

Every function is pure and takes one key per row: what happens to an utterance depends on its own key and samples alone,
so that a run does not depend on how a batch is spread over devices. That leaves out babble mixed from the batch's other
voices.
"""

from jaxtriplet.speech.augmentation.channels import filter_channel as filter_channel, reverberate as reverberate
from jaxtriplet.speech.augmentation.features import (
    FeatureAugmentation as FeatureAugmentation,
    mask_features as mask_features,
)
from jaxtriplet.speech.augmentation.noise import add_noise as add_noise, change_gain as change_gain
from jaxtriplet.speech.augmentation.strengths import WaveformAugmentation as WaveformAugmentation
from jaxtriplet.speech.augmentation.waveforms import augment_waveforms as augment_waveforms, stages as stages

"""Real speech for training, and the samplers and loaders that draw batches from it."""

from jaxtriplet.data.audio import read
from jaxtriplet.data.japanese_vowels import Utterances, japanese_vowels
from jaxtriplet.data.layouts import Problem
from jaxtriplet.data.loader import Crops, Waveforms, Whole, load, whole_recordings
from jaxtriplet.data.recordings import Recordings, recordings, recordings_of, require_pairs, split_by_speaker
from jaxtriplet.data.sampler import SpeakerSampler, TripletSampler
from jaxtriplet.data.trials import Trials, read_trials

__all__ = [
    "Crops",
    "Problem",
    "Recordings",
    "SpeakerSampler",
    "Trials",
    "TripletSampler",
    "Utterances",
    "Waveforms",
    "Whole",
    "japanese_vowels",
    "load",
    "read",
    "read_trials",
    "recordings",
    "recordings_of",
    "require_pairs",
    "split_by_speaker",
    "whole_recordings",
]

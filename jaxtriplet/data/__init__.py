"""Real speech for training, and the samplers that draw batches from it."""

from jaxtriplet.data.japanese_vowels import Utterances, japanese_vowels
from jaxtriplet.data.sampler import SpeakerSampler, TripletSampler

__all__ = ["SpeakerSampler", "TripletSampler", "Utterances", "japanese_vowels"]

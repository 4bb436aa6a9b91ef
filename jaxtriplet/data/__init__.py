"""Real speech for training, and the samplers and loaders that draw batches from it."""

from jaxtriplet.data.audio import read as read
from jaxtriplet.data.entry import Problem as Problem
from jaxtriplet.data.epochs import EpochSampler as EpochSampler
from jaxtriplet.data.japanese_vowels import Utterances as Utterances, japanese_vowels as japanese_vowels
from jaxtriplet.data.loader import (
    Crops as Crops,
    Waveforms as Waveforms,
    load as load,
)
from jaxtriplet.data.pairs import Pairs as Pairs, all_pairs as all_pairs, drawn_pairs as drawn_pairs
from jaxtriplet.data.recordings import (
    Recordings as Recordings,
    recordings as recordings,
    recordings_of as recordings_of,
)
from jaxtriplet.data.sampler import (
    Sampler as Sampler,
    ShuffledSampler as ShuffledSampler,
    SpeakerSampler as SpeakerSampler,
    TripletSampler as TripletSampler,
    sampler_of as sampler_of,
)
from jaxtriplet.data.speakers import require_pairs as require_pairs, split_by_speaker as split_by_speaker
from jaxtriplet.data.trials import Trials as Trials, read_trials as read_trials
from jaxtriplet.data.whole import Whole as Whole, whole_recordings as whole_recordings

"""Pictures of what training does to an utterance, stage by stage."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxtriplet.pages import pictures
from jaxtriplet.pages.page import Section, picture
from jaxtriplet.speech import SpeechEncoder, mask_features, stages

_CAPTIONS = {
    "original": "As it was recorded",
    "room": "In a room that was drawn",
    "channel": "Through another microphone and line",
    "noise": "With noise",
    "mask": "With frames and bands hidden: what the encoder sees",
}


def stage_pictures(model: SpeechEncoder, waveform: np.ndarray, *, seed: int = 0) -> Section:
    """Return a section of a run's page: the features of an utterance after each stage of its augmentation.

    Args:
        model: The encoder; stages that its training leaves out are left out.
        waveform: Samples, [T].
        seed: Of the draws.
    """
    strengths = model.waveform_augmentation
    shares: dict[str, Any] = {name: float(getattr(strengths, name) > 0) for name in ("room", "channel", "noise")}
    always = dataclasses.replace(strengths, **shares, gain=0.0)  # the level is normalised: a gain would not be seen

    @jax.jit
    def seen(waveforms: jax.Array, lengths: jax.Array, keys: jax.Array) -> dict[str, jax.Array]:
        heard = stages(keys, waveforms, lengths, always, sample_rate=model.sample_rate)
        features = {name: model.features(changed, lengths)[0] for name, changed in heard.items()}
        last, counts = model.features(list(heard.values())[-1], lengths)
        return features | {"mask": mask_features(keys, last, counts, model.feature_augmentation)}

    found = seen(waveform[None], np.array([len(waveform)]), jax.random.split(jax.random.key(seed), 1))
    drawn = [
        picture(
            pictures.draw_features,
            f"{caption}: log-mel features, normalised.",
            height=2.4,
            features=found[name][0],
        )
        for name, caption in _CAPTIONS.items()
        if name in found
    ]
    return Section("What training does to an utterance", drawn)

"""Pictures of what training does to an utterance, stage by stage."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxtriplet.pages import pictures
from jaxtriplet.pages.page import Section, picture
from jaxtriplet.speech import FeatureAugmentation, SpeechEncoder, mask_features, stages

_CAPTIONS = {
    "original": "As it was recorded",
    "room": "In a room that was drawn",
    "channel": "Through another microphone and line",
    "noise": "With noise",
}


def stage_pictures(model: SpeechEncoder, waveform: np.ndarray, *, seed: int = 0) -> Section:
    """Return a section of a run's page: the features of an utterance after each stage of its augmentation.

    Args:
        model: The encoder; stages that its training leaves out are left out.
        waveform: Samples, [T].
        seed: Of the draws.
    """
    strengths = model.waveform_augmentation
    shares_of = {name: float(getattr(strengths, name)) for name in ("room", "channel", "noise")}
    shares: dict[str, Any] = {name: float(share > 0) for name, share in shares_of.items()}
    always = dataclasses.replace(strengths, **shares, gain=0.0)  # the level is normalised: a gain would not be seen

    hidden = _hidden(model.feature_augmentation)

    @jax.jit
    def seen(waveforms: jax.Array, lengths: jax.Array, keys: jax.Array) -> dict[str, jax.Array]:
        heard = stages(keys, waveforms, lengths, always, sample_rate=model.sample_rate)
        features = {name: model.features(changed, lengths)[0] for name, changed in heard.items()}
        if not hidden:
            return features
        last, counts = model.features(list(heard.values())[-1], lengths)
        return features | {"mask": mask_features(keys, last, counts, model.feature_augmentation)}

    found = seen(waveform[None], np.array([len(waveform)]), jax.random.split(jax.random.key(seed), 1))
    drawn = {name: caption + _often(shares_of.get(name, 1.0)) for name, caption in _CAPTIONS.items() if name in found}
    if hidden:
        drawn["mask"] = f"With {hidden} hidden"
    last = list(drawn)[-1]
    pages = [
        picture(
            pictures.draw_features,
            f"{caption}{': what the encoder sees' if name == last else ''}. Log-mel features, normalised.",
            height=2.4,
            features=found[name][0],
        )
        for name, caption in drawn.items()
    ]
    changed = len(drawn) > 1
    return Section("What training does to an utterance" if changed else "What the encoder sees of an utterance", pages)


def _hidden(strengths: FeatureAugmentation) -> str:
    """Returns what is hidden of the features, "" if nothing is."""
    kinds = {"frames": strengths.time_masks, "bands": strengths.band_masks}
    return " and ".join(kind for kind, number in kinds.items() if number)


def _often(share: float) -> str:
    return "" if share >= 1 else f", as {share:.0%} of the crops are"

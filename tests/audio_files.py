"""Recordings for the tests: something like speech, written to files."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16_000


def voice(seconds: float, *, pitch: float = 120.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Harmonics of a pitch under four syllables a second, and a little noise; float32 within [-0.6, 0.6]."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = np.arange(1, int(3_500 / pitch))[:, None]  # below what 8 kHz can hold
    voiced = np.sum(np.sin(2 * np.pi * pitch * harmonics * time) / harmonics, axis=0)
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time + seed)
    noise = np.random.default_rng(seed).normal(size=len(time))
    return (0.2 * voiced * syllables + 0.002 * noise).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: Any) -> Path:
    """Writes a file and the folders that it lies in; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def corpus(root: Path, *, speakers: int = 3, sessions: int = 2, utterances: int = 2, seconds: float = 0.5) -> Path:
    """Writes `s<i>/<session>/<utterance>.wav`; each speaker has a pitch, no two utterances are as long."""
    count = 0
    for speaker in range(speakers):
        for session in range(sessions):
            for utterance in range(utterances):
                count += 1
                samples = voice(seconds + 0.01 * count, pitch=90 + 40 * speaker, seed=count)
                write(root / f"s{speaker}" / f"day{session}" / f"{utterance:02}.wav", samples)
    return root

"""JapaneseVowels: real speech of nine men that ships inside the sktime wheel."""

from typing import Literal, NamedTuple

import numpy as np

MAX_FRAMES = 29  # the longest utterance of both splits; one shape for both compiles once


class Utterances(NamedTuple):
    """Utterances as padded arrays.

    Attributes:
        features: Frames, [N, T, F] float32, zero past each length.
        lengths: Number of valid frames, [N] int32.
        labels: Speaker, [N] int32 from 0.
    """

    features: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray


def japanese_vowels(split: Literal["train", "test"] = "train") -> Utterances:
    """Loads the vowels /ae/ of nine men: 12 LPC cepstra a frame, 7 to 29 frames an utterance.

    Both splits hold the same nine speakers: the task is closed-set.

    Args:
        split: `"train"` (30 utterances of each speaker) or `"test"` (24 to 88 of each).

    Returns:
        Features [N, 29, 12], lengths [N] and labels [N] from 0 to 8, in the order of the published file.

    Raises:
        ImportError: If sktime, whose wheel holds the recordings, is not installed.
        ValueError: If there is no such split.

    Example:
        >>> from jaxtriplet.data import japanese_vowels
        >>> japanese_vowels("train").features.shape
        (270, 29, 12)

    Reference:
        Kudo, Toyama, Shimbo, "Multidimensional curve classification using passing-through regions", Pattern
        Recognition Letters 20, 1999; UCI Machine Learning Repository, DOI 10.24432/C5NS47.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test"; got {split!r}')
    try:
        from sktime.datasets import load_japanese_vowels
    except ImportError as error:
        raise ImportError('JapaneseVowels ships inside sktime: pip install "jaxtriplet[speech]"') from error
    cells, speakers = load_japanese_vowels(split=split.upper(), return_type="nested_univ")
    utterances = [np.stack(row, axis=-1).astype(np.float32) for row in cells.to_numpy()]
    lengths = np.array([len(frames) for frames in utterances], np.int32)
    padded = [np.pad(frames, ((0, MAX_FRAMES - len(frames)), (0, 0))) for frames in utterances]
    return Utterances(np.stack(padded), lengths, speakers.astype(np.int32) - 1)

"""The front end, the encoders' parts and windows over long utterances, as plain loops over one utterance."""

from collections.abc import Callable

import numpy as np


def mel_to_hertz(mel: float) -> float:
    """Slaney's scale: 200 / 3 Hz per mel up to 1000 Hz, then 27 mel for every factor of 6.4."""
    return mel * 200 / 3 if mel <= 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def hertz_to_mel(hertz: float) -> float:
    """The inverse of `mel_to_hertz`."""
    return hertz * 3 / 200 if hertz <= 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)


def log_mel(samples: np.ndarray, *, rate: int, bands: int, low: float, high: float, floor: float) -> np.ndarray:
    """Log-mel features [N, F] of one utterance: windows of 25 ms in the middle of 512 samples, every 10 ms."""
    taps, step, size = rate // 40, rate // 100, 512
    window = np.array([np.sin(np.pi * i / taps) ** 2 for i in range(taps)])
    edges = [mel_to_hertz(m) for m in np.linspace(hertz_to_mel(low), hertz_to_mel(high), bands + 2)]
    bins = np.arange(size // 2 + 1)
    fourier = np.exp(-2j * np.pi * np.outer(bins, np.arange(taps)) / size)
    frames = []
    for start in range(0, len(samples) - size + 1, step):
        piece = samples[start + (size - taps) // 2 :][:taps].astype(float)
        power = np.abs(fourier @ (window * piece)) ** 2
        triangles = [
            np.interp(bins * rate / size, edges[b : b + 3], [0, 1, 0], left=0, right=0) * 2 / (edges[b + 2] - edges[b])
            for b in range(bands)
        ]
        frames.append([np.log(max(floor, triangle @ power)) for triangle in triangles])
    return np.array(frames)


def attentive_statistics(x: np.ndarray, frame: tuple, context: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Means and standard deviations [2 C] of the frames [T, C] of one utterance, each channel with its attention."""
    kernel, bias = frame
    spread = np.sqrt(np.maximum(1e-4, x.var(axis=0)))
    whole = np.concatenate([x.mean(axis=0), spread]) @ context
    scores = np.array([np.tanh(row @ kernel + bias + whole) @ score for row in x])
    means, deviations = [], []
    for channel in range(x.shape[1]):
        odds = np.exp(scores[:, channel])
        weights = odds / odds.sum()
        mean = sum(w * v for w, v in zip(weights, x[:, channel], strict=True))
        variance = sum(w * (v - mean) ** 2 for w, v in zip(weights, x[:, channel], strict=True))
        means.append(mean)
        deviations.append(np.sqrt(max(1e-4, variance)))
    return np.array(means + deviations)


def normalized(x: np.ndarray) -> np.ndarray:
    """Layer normalisation of a vector, with the variance's addend of Flax."""
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6)


def convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, dilation: int, stride: int) -> np.ndarray:
    """Normalised outputs [T / stride, C] of a convolution with a kernel [S, F, C] over the frames [T, F]."""
    outputs = []
    for middle in range(0, len(x), stride):
        total = bias.copy()
        for tap, weights in enumerate(kernel):
            place = middle + dilation * (tap - len(kernel) // 2)
            if 0 <= place < len(x):
                total = total + x[place] @ weights
        outputs.append(normalized(np.maximum(0, total)))
    return np.array(outputs)


def projected_lstm(
    x: np.ndarray, inputs: tuple, recurrent: np.ndarray, projection: np.ndarray, *, forget_bias: float
) -> np.ndarray:
    """Projected outputs [T, P] of one LSTM over the frames [T, F] of one utterance."""

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    kernel, bias = inputs
    cell, output = np.zeros(len(projection)), np.zeros(projection.shape[1])
    outputs = []
    for row in x:
        write, forget, read, value = np.split(row @ kernel + bias + output @ recurrent, 4)
        cell = sigmoid(forget + forget_bias) * cell + sigmoid(write) * np.tanh(value)
        output = (sigmoid(read) * np.tanh(cell)) @ projection
        outputs.append(output)
    return np.array(outputs)


def embed_sliding(embed_fn: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, window: int) -> np.ndarray:
    """The mean [E] of the unit-length embeddings of windows, half of each in the next, at unit length again."""
    starts = list(range(0, len(samples) - window, window // 2))
    starts.append(len(samples) - window)  # the last one ends with the utterance
    mean = np.mean([embed_fn(samples[start : start + window]) for start in starts], axis=0)
    return mean / np.sqrt(np.sum(mean**2))

"""The classifier heads of other programs as their code reads, in float64: value for value, quirks included.

Read in 2026, and written anew as loops. wespeaker: `wespeaker/models/projections.py` (2022, SphereFace2 of 2023);
speechbrain: `speechbrain/nnet/losses.py` (2022) and `Classifier` of `speechbrain/lobes/models/ECAPA_TDNN.py` (2020);
insightface: `recognition/arcface_torch/losses.py` and `partial_fc_v2.py` (2022). Weights are [C, D], those of several
centres to a class [C, K, D].
"""

import math

import numpy as np


def normalized(x: np.ndarray) -> np.ndarray:
    """As PyTorch's `normalize`: over the length, which counts as 1e-12 at least."""
    return x / max(math.sqrt(np.sum(x * x)), 1e-12)


def cosines(row: np.ndarray, weights: np.ndarray) -> list[float]:
    """The cosine of a row with the weight of every class."""
    return [float(np.sum(normalized(row) * normalized(weight))) for weight in weights]


def mean_cross_entropy(labels: np.ndarray, logits: list[list[float]]) -> float:
    """PyTorch's `CrossEntropyLoss`."""
    total = 0.0
    for label, row in zip(labels, logits, strict=True):
        largest = max(row)
        total += largest + math.log(sum(math.exp(logit - largest) for logit in row)) - row[label]
    return total / len(labels)


def sine(cosine: float) -> float:
    """The root of what the squared cosine leaves; in the originals NaN where rounding leaves less than nothing."""
    return math.sqrt(max(1 - cosine**2, 0.0))


def wespeaker_turned(cosine: float, margin: float) -> float:
    """The cosine of angle plus margin; past half a turn, less what makes it go on without a step."""
    if cosine > math.cos(math.pi - margin):
        return cosine * math.cos(margin) - sine(cosine) * math.sin(margin)
    return cosine - (1 + math.cos(math.pi - margin))


def wespeaker_arc_margin(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`ArcMarginProduct` (2022) without its easy margin."""
    logits = []
    for label, row in zip(labels, x, strict=True):
        output = cosines(row, weights)
        output[label] = wespeaker_turned(output[label], margin)
        logits.append([scale * c for c in output])
    return mean_cross_entropy(labels, logits)


def wespeaker_add_margin(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`AddMarginProduct` (2022)."""
    logits = []
    for label, row in zip(labels, x, strict=True):
        logits.append([scale * (c - margin if k == label else c) for k, c in enumerate(cosines(row, weights))])
    return mean_cross_entropy(labels, logits)


def wespeaker_inter_top_k(
    labels: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    margin: float,
    scale: float,
    *,
    k_top: int = 5,
    mp: float = 0.06,
) -> float:
    """`ArcMarginProduct_intertopk_subcenter` (2022) after `update(margin)`: the penalty is `mp` at a margin of 0.2.

    Its penalty grows with the margin, and is none while the margin is not above 0.001.
    """
    penalty = mp * (margin / 0.2) if margin > 0.001 else 0.0
    logits = []
    for label, row in zip(labels, x, strict=True):
        cosine = [max(cosines(row, centres)) for centres in weights]
        hidden = [c - 2 if k == label else c for k, c in enumerate(cosine)]
        nearest = sorted(range(len(hidden)), key=lambda k: -hidden[k])[:k_top]
        output = []
        for k, c in enumerate(cosine):
            if k == label:
                output.append(wespeaker_turned(c, margin))
            elif k in nearest:
                output.append(c * math.cos(penalty) + sine(c) * math.sin(penalty))
            else:
                output.append(c)
        logits.append([scale * c for c in output])
    return mean_cross_entropy(labels, logits)


def wespeaker_sphereface2(
    labels: np.ndarray,
    x: np.ndarray,
    weights: np.ndarray,
    margin: float,
    scale: float,
    bias: float,
    *,
    t: int = 3,
    lanbuda: float = 0.7,
    margin_type: str = "C",
) -> float:
    """`SphereFace2` (2023); its bias is trained and begins at 0."""

    def g(z: float) -> float:
        return 2 * ((z + 1) / 2) ** t - 1

    total = 0.0
    for label, row in zip(labels, x, strict=True):
        for k, c in enumerate(cosines(row, weights)):
            if margin_type == "A":
                positive = scale * g(wespeaker_turned(c, margin)) + bias
                negative = scale * g(c * math.cos(margin) + sine(c) * math.sin(margin)) + bias
            else:
                positive = scale * (g(c) - margin) + bias
                negative = scale * (g(c) + margin) + bias
            if k == label:
                total += lanbuda * math.log(1 + math.exp(-positive))
            else:
                total += (1 - lanbuda) * math.log(1 + math.exp(negative))
    return total / len(labels)


def speechbrain_aam(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`Classifier`, then `LogSoftmaxWrapper` of `AdditiveAngularMargin` without its easy margin.

    Cosines are clipped to 1e-7 short of 1, those of wrong classes too; all of it is in float32, which this is not.
    """
    th, mm = math.cos(math.pi - margin), math.sin(math.pi - margin) * margin
    logits = []
    for label, row in zip(labels, x, strict=True):
        output = [min(max(c, -1 + 1e-7), 1 - 1e-7) for c in cosines(row, weights)]
        own = output[label]
        phi = own * math.cos(margin) - sine(own) * math.sin(margin)
        output[label] = phi if own > th else own - mm
        logits.append([scale * c for c in output])
    return mean_cross_entropy(labels, logits)  # its divergence from one-hot targets, over their number


def speechbrain_am(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`Classifier`, then `LogSoftmaxWrapper` of `AngularMargin`, which in spite of its name moves the cosine."""
    logits = []
    for label, row in zip(labels, x, strict=True):
        logits.append([scale * (c - margin * (k == label)) for k, c in enumerate(cosines(row, weights))])
    return mean_cross_entropy(labels, logits)


def insightface_shares(labels: np.ndarray, logits: list[list[float]]) -> list[list[float]]:
    """The softmax of each row of logits."""
    shares = []
    for row in logits:
        exponentials = [math.exp(logit - max(row)) for logit in row]
        shares.append([e / sum(exponentials) for e in exponentials])
    return shares


def insightface_cross_entropy(labels: np.ndarray, logits: list[list[float]]) -> float:
    """`DistCrossEntropy`: the share of the own class counts as 1e-30 at least, so that no row costs more than 69.08."""
    shares = insightface_shares(labels, logits)
    return sum(-math.log(max(row[label], 1e-30)) for label, row in zip(labels, shares, strict=True)) / len(labels)


def insightface_arc_face_logits(
    labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float
) -> list[list[float]]:
    """The margin is put on the angle, also past half a turn, where the cosine rises again."""
    logits = []
    for label, row in zip(labels, x, strict=True):
        angles = [math.acos(min(max(c, -1.0), 1.0)) for c in cosines(row, weights)]
        angles[label] += margin
        logits.append([scale * math.cos(angle) for angle in angles])
    return logits


def insightface_arc_face(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`ArcFace` in `PartialFC_V2`, all classes taking part: the value, whose slope is not the gradient it gives."""
    return insightface_cross_entropy(labels, insightface_arc_face_logits(labels, x, weights, margin, scale))


def insightface_arc_face_gradient(
    labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient by rows and by weights that `ArcFace` gives: straight-through, not the slope of its value.

    It writes the cosines with a margin over those without, under `no_grad`: what arrives at the former is handed to the
    latter unchanged, as if the margin had taken a constant off the cosine. The slope has a factor of
    sin(angle + margin) / sin(angle) besides, on the own class.
    """
    shares = insightface_shares(labels, insightface_arc_face_logits(labels, x, weights, margin, scale))
    by_rows, by_weights = np.zeros_like(x), np.zeros_like(weights)
    for i, (label, row) in enumerate(zip(labels, x, strict=True)):
        for k, weight in enumerate(weights):
            along = scale * (shares[i][k] - (k == label)) / len(labels)
            u, v = normalized(row), normalized(weight)
            c = np.sum(u * v)
            by_rows[i] += along * (v - c * u) / math.sqrt(np.sum(row * row))
            by_weights[k] += along * (u - c * v) / math.sqrt(np.sum(weight * weight))
    return by_rows, by_weights


def insightface_cos_face(labels: np.ndarray, x: np.ndarray, weights: np.ndarray, margin: float, scale: float) -> float:
    """`CosFace` in `PartialFC_V2`; its gradient is the slope."""
    logits = []
    for label, row in zip(labels, x, strict=True):
        output = [min(max(c, -1.0), 1.0) for c in cosines(row, weights)]
        output[label] -= margin
        logits.append([scale * c for c in output])
    return insightface_cross_entropy(labels, logits)

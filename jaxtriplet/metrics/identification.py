"""Speaker identification: which of the enrolled speakers is this?"""

import numpy as np
from numpy.typing import ArrayLike

from ._inputs import labelled_rows, unit_rows


def nearest_centroid_accuracy(
    train_embeddings: ArrayLike, train_labels: ArrayLike, embeddings: ArrayLike, labels: ArrayLike
) -> float:
    r"""Compute the share of utterances whose nearest training centroid is their own speaker's.

    $$c_k = \mathrm{unit}\Big(\sum_{i \in k} \mathrm{unit}(e_i)\Big), \quad
    \hat{k}(e) = \arg\max_k \langle \mathrm{unit}(e), c_k \rangle$$

    Args:
        train_embeddings: Enrolment utterances, [M, D].
        train_labels: Their speakers, [M].
        embeddings: Utterances to identify, [N, D].
        labels: Their speakers, [N]. One of a speaker without enrolment counts as wrong.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        ValueError: Shapes do not match, an embedding is not finite, or no speaker of `labels` is enrolled.

    >>> nearest_centroid_accuracy([[1.0, 0.0], [0.0, 1.0]], [3, 8], [[2.0, 1.0], [1.0, 2.0], [3.0, 0.0]], [3, 8, 8])
    0.6666666666666666
    """
    enrolled, enrolled_ids = labelled_rows(train_embeddings, train_labels, name="training embeddings")
    rows, ids = labelled_rows(embeddings, labels)
    if enrolled.shape[1] != rows.shape[1]:
        raise ValueError(f"training embeddings have {enrolled.shape[1]} dimensions, the others {rows.shape[1]}")
    speakers, members = np.unique(enrolled_ids, return_inverse=True)
    if not np.isin(ids, speakers).any():
        raise ValueError("none of these utterances is of an enrolled speaker, so none can be identified")
    sums = np.zeros((len(speakers), rows.shape[1]))
    np.add.at(sums, members, unit_rows(enrolled))
    # The length of a row to be identified does not change which centroid is nearest.
    nearest = np.argmax(rows @ unit_rows(sums).T, axis=1)
    return float(np.mean(speakers[nearest] == ids))

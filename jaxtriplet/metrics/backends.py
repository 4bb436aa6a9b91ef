r"""Back-ends: how alike two recordings are, learnt in closed form from a layer's numbers for speakers who are known.

The numbers that an encoder's layer has for a recording vary for two reasons: speakers differ, and so do recordings of
one speaker. Plain cosine weighs all directions alike; a back-end, fitted on training recordings, weighs what tells
speakers apart. There are four kinds:

- `centered` subtracts the mean of the speakers' means, so that the cosine is of what differs;
- `wccn` also divides every direction by how much recordings of one speaker vary in it;
- `lda` keeps the few directions in which speakers differ most, compared with recordings of one speaker;
- `plda` whitens as `wccn` does, and then models both kinds of variation by Gaussians. Its score is the natural
  logarithm of a likelihood ratio: above 0, the model finds one speaker likelier than two. Of a few training speakers it
  learns to be too sure, so that a threshold for decisions is better measured than taken to be 0.

With $m$ the mean of the speakers' means, $W$ the mean of their covariances and
$W_s = (1 - \alpha) W + \alpha \, \mathrm{tr}(W) / D \, I$, shrunk by `within` $\alpha$,

$$y = \sqrt{K} \, \mathrm{unit}(P^T (x - m)), \quad P P^T = W_s^{-1}$$

for WCCN and PLDA; $P = I$ for `centered`; the columns of LDA's P are the leading solutions of $B_x p = \lambda W_s p$
with $p^T W_s p = 1$, where $B_x$ is the covariance of the speakers' means of x. Speakers count alike, however many
recordings they have, and covariances are unbiased (sums of n squares divided by n - 1). P is the symmetric root: scores
are the same with any, but eigenvectors have free signs, and no order where eigenvalues are equal, as they are when
there are fewer recordings than dimensions. The root has no such freedom, and its eigenvalues tell whether it exists.

**PLDA** takes $y$ as $s + r$ with a speaker's $s \sim N(0, B)$ and a recording's $r \sim N(0, w I)$. Here
$B = V \, \mathrm{diag}(v) \, V^T$ is the covariance of the speakers' means of y, shrunk by `between` as above, and $w$
the mean variance within speakers. In the coordinates $z = V^T y$, of variance $t = v + w$, two recordings have the
covariance $v$ if they are of one speaker, and else none, so that

$$\log \frac{p(z, z' \mid \text{one})}{p(z, z' \mid \text{two})} = \langle u, u' \rangle - q - q' + \mathrm{offset}$$

$$u = \sqrt{c} \, z, \quad c = \frac{v}{t^2 - v^2}, \quad q = \sum_e \frac{v_e}{2 t_e} u_e^2, \quad
\mathrm{offset} = \frac{1}{2} \sum_e \log \frac{t_e^2}{t_e^2 - v_e^2}$$

**Its unit embedding**, for what knows cosines alone (clustering, exported encoders), is $\mathrm{unit}([u; a])$ with
$a^2 = 10 \, E |u|^2$ over the training recordings. Its cosine is that of u at $a = 0$, and

$$a^2 (\cos - 1) \to -\tfrac{1}{2} |u - u'|^2 = \log \mathrm{ratio} - \mathrm{offset} - h - h' \quad (a \to \infty),
\qquad h = \frac{1}{2} \sum_e \frac{w}{t_e} u_e^2$$

In that limit, two trials whose log-likelihood ratios are more than $2 (\max h - \min h)$ apart are ranked as these are.
All are where h is the same for all recordings: as $w / v \to 0$, or where all $v_e$ are equal (then, as $|y|$ is the
same for all, $|u|$ is too, and every a ranks alike). No unit embedding ranks exactly as the ratio does in general: each
recording has the cosine 1 with itself, but a ratio of its own.

References:
    Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", 2006; Ioffe,
    "Probabilistic linear discriminant analysis", 2006; Prince, Elder, "Probabilistic linear discriminant analysis for
    inferences about identity", 2007; Brümmer, de Villiers, "The speaker partitioning problem", 2010 (two covariances);
    Garcia-Romero, Espy-Wilson, "Analysis of i-vector length normalization in speaker recognition systems", 2011.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _covariances as covariances
from ._covariances import ROUNDING, Matrix, Members
from ._inputs import finite_rows, labelled_rows, unit_rows
from ._points import Points, of_cosine

KINDS = ("centered", "wccn", "lda", "plda")

# Of the appended coordinate's square, in mean squares of the vectors: flat from some to some dozens.
_CONSTANT = 10.0


class Backend(NamedTuple):
    """A back-end that is fitted: all arrays are float64, and `np.savez(file, **backend._asdict())` keeps it.

    Attributes:
        kind: One of `KINDS`.
        center: m, [D]: the mean of the speakers' means.
        whiten: P, [D, K]; of a PLDA P V.
        scales: What each number of P^T (x - m), brought to the length sqrt(K), is multiplied by to be u, [K].
        own: A PLDA's own terms: q_i = sum_e own_e u_ie^2, [E]; zeros for other kinds.
        offset: What every score of a PLDA has.
        constant: a, the coordinate that unit embeddings have besides u; 0: they have none.
    """

    kind: str
    center: Matrix
    whiten: Matrix
    scales: Matrix
    own: Matrix
    offset: float
    constant: float

    @property
    def has_scores(self) -> bool:
        """Whether recordings score by another number than the cosine of their embeddings."""
        return bool(self.kind == "plda")

    def vectors(self, x: ArrayLike) -> Matrix:
        """Return u of layer vectors.

        Args:
            x: One row a recording, [N, D]. One that is no different from the center has zeros.

        Returns:
            u, [N, E].

        Raises:
            ValueError: The shape is wrong, or a number is not finite.

        >>> fit("centered", [[0.0, 0.0], [4.0, 2.0]], [0, 1]).vectors([[2.0, 3.0], [2.0, 1.0]])
        array([[0.        , 1.41421356],
               [0.        , 0.        ]])
        """
        rows = finite_rows(x, name="layer vectors")
        if rows.shape[1:] != self.center.shape:
            raise ValueError(f"layer vectors have {rows.shape[1]} dimensions, the back-end's {len(self.center)}")
        whitened = (rows - self.center) @ self.whiten
        lengths = np.linalg.norm(rows, axis=1) + np.linalg.norm(self.center)
        errors = ROUNDING * lengths * np.linalg.norm(self.whiten)
        whitened[np.linalg.norm(whitened, axis=1) <= errors] = 0.0  # an error has no direction
        return np.sqrt(self.whiten.shape[1]) * unit_rows(whitened) * self.scales

    def embed(self, x: ArrayLike) -> Matrix:
        """Return unit embeddings, whose cosine is the score, or ranks nearly as a PLDA's does (see this module).

        Args:
            x: One row a recording, [N, D].

        Returns:
            Rows of unit length, [N, E], or [N, E + 1] with the constant; zeros where u is and no constant is.

        Raises:
            ValueError: As in `vectors`.

        >>> fit("centered", [[0.0, 0.0], [4.0, 2.0]], [0, 1]).embed([[2.0, 3.0]])
        array([[0., 1.]])
        """
        vectors = self.vectors(x)
        if self.constant > 0:
            vectors = np.pad(vectors, ((0, 0), (0, 1)), constant_values=self.constant)
        return unit_rows(vectors)

    def points(self, x: ArrayLike) -> Points:
        """Return layer vectors [N, D] as what scores are made of."""
        vectors = self.vectors(x)
        return Points(vectors, vectors**2 @ self.own, self.offset, np.inf) if self.has_scores else of_cosine(vectors)

    def trial_scores(self, x: ArrayLike, first: ArrayLike, second: ArrayLike) -> Matrix:
        """Score trials, as `metrics.trial_scores` does.

        Args:
            x: One row a recording, [N, D].
            first: Recording of the enrolment of each trial, [T] integers: a row, from 0.
            second: Recording of the test of each trial, [T].

        Returns:
            Scores, [T]: natural logarithms of likelihood ratios of a PLDA, else cosines.

        Raises:
            ValueError: As in `vectors` and `metrics.trial_scores`.

        >>> fit("centered", [[0.0, 0.0], [4.0, 2.0]], [0, 1]).trial_scores([[2.0, 3.0], [5.0, 1.0]], [0, 1], [1, 1])
        array([0., 1.])
        """
        return self.points(x).trials(first, second)

    def pair_scores(self, x: ArrayLike, labels: ArrayLike) -> tuple[Matrix, NDArray[np.bool_]]:
        """Score every unordered pair of recordings, as `metrics.pair_scores` does.

        Args:
            x: One row a recording, [N, D].
            labels: Speakers, [N].

        Returns:
            `scores` and `same`, both [N (N - 1) / 2].

        Raises:
            ValueError: As in `vectors` and `metrics.pair_scores`.

        >>> fit("centered", [[0.0, 0.0], [4.0, 2.0]], [0, 1]).pair_scores([[2.0, 3.0], [5.0, 1.0]], [0, 1])
        (array([0.]), array([False]))
        """
        rows, ids = labelled_rows(x, labels, name="layer vectors")
        return self.points(rows).pairs(ids)

    def matrix(self, x: ArrayLike, y: ArrayLike) -> Matrix:
        """Score each of some recordings with each of others.

        Args:
            x: One row a recording, [N, D].
            y: One row a recording, [M, D].

        Returns:
            Scores, [N, M].

        Raises:
            ValueError: As in `vectors`.

        >>> fit("centered", [[0.0, 0.0], [4.0, 2.0]], [0, 1]).matrix([[2.0, 3.0]], [[5.0, 1.0], [2.0, 9.0]])
        array([[0., 1.]])
        """
        return self.points(x).between(self.points(y))


def fit(
    kind: str,
    rows: ArrayLike,
    labels: ArrayLike,
    *,
    within: float = 0.1,
    between: float = 0.6,
    dim: int | None = None,
) -> Backend:
    """Fit a back-end on the training recordings.

    Args:
        kind: One of `KINDS`; this module says what they are.
        rows: One layer vector a recording, [N, D].
        labels: Speakers, [N], at least two of them. Those with one recording count for the means alone.
        within: Share, 0 to 1, of the isotropic matrix in the shrunk covariance within speakers; not for `centered`.
        between: That in the covariance between speakers; for `plda` alone.
        dim: Directions that `lda` keeps; None: all in which the means of these speakers differ, at most
            min(speakers - 1, D).

    Returns:
        The back-end. Its scores do not depend on the scale of the rows.

    Raises:
        ValueError: A shape is wrong, a number is not finite or out of range, or there is one speaker alone; but for
            `centered` also: no speaker has two recordings, those of each are equal, or (with `within` 0) do not vary in
            all dimensions; for `lda` and `plda` also: all speakers have the same mean.

    >>> rows, labels = [[1.0, 2.0], [1.0, 4.0], [3.0, 1.0], [3.0, 3.0]], [0, 0, 1, 1]
    >>> backend = fit("plda", rows, labels)
    >>> backend.trial_scores(rows, [0, 0], [1, 3]).round(1)
    array([  1.7, -17.4])
    """
    # What an encoder computes in float32 differs by errors of that, though its recordings be equal.
    rounding = covariances.ROUNDING_32 if np.asarray(rows).dtype == np.float32 else ROUNDING
    rows, ids = labelled_rows(rows, labels, name="layer vectors")
    speakers, members = np.unique(ids, return_inverse=True)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if not (0 <= within <= 1 and 0 <= between <= 1):
        raise ValueError(f"within and between are shares, 0 to 1; got within={within}, between={between}")
    if dim is not None and kind != "lda":
        raise ValueError(f"`dim` is the number of directions that lda keeps; {kind} keeps all")
    if len(speakers) < 2 or not rows.shape[1]:
        raise ValueError(
            f"recordings of at least two speakers are needed; got {len(speakers)} of {rows.shape[1]} numbers"
        )
    center = covariances.speaker_means(rows, members).mean(axis=0)
    whiten = np.eye(rows.shape[1])
    if kind != "centered":
        whiten = covariances.whitening(rows - center, members, within, rounding)
    if kind == "lda":
        whiten = whiten @ covariances.leading((rows - center) @ whiten, members, dim)
    width = whiten.shape[1]
    backend = Backend(kind, center, whiten, np.ones(width), np.zeros(width), 0.0, 0.0)
    return _two_covariances(backend, rows, members, between) if kind == "plda" else backend


def _two_covariances(backend: Backend, rows: Matrix, members: Members, between: float) -> Backend:
    """The back-end that so far whitens, with the scores of a PLDA."""
    y = backend.vectors(rows)
    speakers, directions = np.linalg.eigh(covariances.shrunk(covariances.between_covariance(y, members), between))
    recordings = np.sum(covariances.within_deviations(y, members) ** 2) / y.shape[1]
    if recordings <= ROUNDING**2:
        raise ValueError("the recordings of each speaker lie in one direction, so that how they vary cannot be learnt")
    v = np.where(speakers > ROUNDING * speakers[-1], speakers, 0.0)
    t, left = v + recordings, recordings * (2 * v + recordings)  # t^2 - v^2, without their difference
    scales = np.sqrt(v / left)
    return backend._replace(
        whiten=backend.whiten @ directions,  # which leaves the length of y as it is
        scales=scales,
        own=v / (2 * t),
        offset=float(0.5 * np.sum(np.log(t**2 / left))),
        constant=float(np.sqrt(_CONSTANT * np.mean(np.sum((y @ directions * scales) ** 2, axis=1)))),
    )

"""What the pictures of the losses show: each loss, and the few points in the plane that it meets."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxtriplet as jt


class Rows(NamedTuple):
    """Points of one kind."""

    points: np.ndarray
    labels: Sequence[int]
    shape: str = "circle"


class Panel(NamedTuple):
    """A loss of some rows, under a title."""

    title: str
    loss: Callable[..., jax.Array]
    """Of an array for each kind of rows, and of numbers."""
    numbers: tuple[float, ...]
    rows: tuple[Rows, ...]
    on_circle: bool = False
    """Whether rows are brought to unit length first."""
    pairs: tuple[tuple[int, int], ...] = ()
    """Of logits: which pairs may have a line."""


def at(*degrees: float) -> np.ndarray:
    """Returns points of the unit circle."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


# Of each class two rows where they belong; the third of a and of b stray.
LABELS = np.repeat(np.arange(3), 3)
_A, _B = [(-0.95, 0.60), (-0.55, 0.95), (0.25, 0.45)], [(0.65, 0.80), (0.95, 0.35), (0.45, -0.45)]
PLANE = np.array([*_A, *_B, (-0.55, -0.55), (-0.05, -0.85), (-0.65, -0.95)])
FREE, UNIT = Rows(PLANE, LABELS), Rows(at(160, 125, 70, 45, 15, -35, 250, 280, 222), LABELS)
CLASSES = Rows(at(140, 25, 255), (0, 1, 2), "star")
TWO_EACH = Rows(at(155, 85, 38, -20, 265, 225), (0, 0, 1, 1, 2, 2), "star")
VIEWS = Rows(at(155, 60, 20, 265), range(4)), Rows(at(120, 95, -30, 235), range(4), "square")


def in_thirds(anchors: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> tuple[Rows, ...]:
    """Returns rows of three given triplets."""
    return Rows(anchors, (0, 1, 2)), Rows(positives, (0, 1, 2), "square"), Rows(negatives, (1, 0, 1), "diamond")


GIVEN = in_thirds(PLANE[[0, 3, 7]], PLANE[[1, 5, 8]], PLANE[[4, 2, 5]])
THIRDS = in_thirds(at(160, 45, 250), at(125, -35, 222), at(15, 70, -60))
# The plane in which three logits lie that sum to zero: a number that is added to all of them changes no softmax.
LOGITS = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]]) * 2
PAIRS = Rows(PLANE[[0, 3, 7, 2]], (0, 1, 2, 0)), Rows(PLANE[[1, 5, 5, 8]], (0, 1, 1, 2), "square")


@functools.cache
def of_labels(loss: Any, **options: Any) -> Callable[..., jax.Array]:
    """Returns a loss of the nine rows."""
    return lambda rows, *numbers: loss(jnp.array(LABELS), rows, *numbers, **options)


@functools.cache
def of_classes(loss: Any, centres: int = 1) -> Callable[..., jax.Array]:
    """Returns a loss of the nine rows and a star, or several, for each class."""
    shape = (3,) if centres == 1 else (3, centres)

    def loss_of(rows: jax.Array, stars: jax.Array, *numbers: float) -> jax.Array:
        return loss(jnp.array(LABELS), rows, stars.reshape(*shape, stars.shape[1]), *numbers)

    return loss_of


def of_logits(rows: jax.Array, margin: float) -> jax.Array:
    """Returns the loss of all pairs of rows of logits."""
    return jt.kl_hinge(jnp.array(LABELS), rows @ jnp.asarray(LOGITS, rows.dtype), margin)


def of_pairs(x: jax.Array, y: jax.Array, margin: float) -> jax.Array:
    """Returns the loss of two pairs that belong together and two that do not."""
    basis = jnp.asarray(LOGITS, x.dtype)
    return jt.siamese_kl_hinge(jnp.array([True, True, False, False]), x @ basis, y @ basis, margin)


def of_prefixes(rows: jax.Array, margin: float) -> jax.Array:
    """Returns the loss of both numbers and of the first alone, each with those by which lines are told."""
    return sum(jt.batch_hard(jnp.array(LABELS), one, margin) for one in (rows, jnp.delete(rows, 1, axis=1)))


def free(title: str, loss: Any, *numbers: float, **options: Any) -> Panel:
    """A loss of the rows in the plane, whose distances count."""
    return Panel(title, of_labels(loss, **options), numbers, (FREE,))


def unit(title: str, loss: Any, *numbers: float, **options: Any) -> Panel:
    """A loss of the rows on the circle, whose cosines count."""
    return Panel(title, of_labels(loss, **options), numbers, (UNIT,), on_circle=True)


def classes(title: str, loss: Any, *numbers: float) -> Panel:
    """A loss of the rows on the circle and of class weights."""
    return Panel(title, of_classes(loss), numbers, (UNIT, CLASSES), on_circle=True)


def views(title: str, loss: Any, *numbers: float, **options: Any) -> Panel:
    """A loss of two views on the circle."""
    return Panel(title, _of_views(loss, **options), numbers, VIEWS, on_circle=True)


@functools.cache
def _of_views(loss: Any, **options: Any) -> Callable[..., jax.Array]:
    return lambda x, y, *numbers: loss(x, y, *numbers, **options)


def _of_triplets(a: jax.Array, p: jax.Array, n: jax.Array, margin: float) -> jax.Array:
    return jt.triplet(a, p, n, margin)


def _of_thirds(a: jax.Array, p: jax.Array, n: jax.Array, margin: float) -> jax.Array:
    return jt.deep_speaker(jnp.concatenate([a, p, n]), margin)


ALL = tuple((one, other) for one in range(9) for other in range(one + 1, 9))
BESIDE = tuple((one, one + 4) for one in range(4))
PANELS: dict[str, tuple[Panel, ...]] = {
    "semi_hard": (
        free('negatives="hardest"', jt.semi_hard, 0.5, max_class_size=3),
        free('negatives="all"', jt.semi_hard, 0.5, negatives="all", max_class_size=3),
    ),
    "batch_all": (
        free("margin=0.2", jt.batch_all, 0.2, max_class_size=3),
        free("margin=1", jt.batch_all, 1.0, max_class_size=3),
    ),
    "batch_hard": (
        free("margin=0.2, relu", jt.batch_hard, 0.2),
        free("margin=0, softplus", jt.batch_hard, 0.0, hinge_fn=jax.nn.softplus),
    ),
    "contrastive": (free("margin=0.5", jt.contrastive, 0.5), free("margin=1", jt.contrastive, 1.0)),
    "supervised_contrastive": (
        unit("temperature=0.1", jt.supervised_contrastive, 0.1),
        unit("temperature=1", jt.supervised_contrastive, 1.0),
    ),
    "nt_xent": (unit("temperature=0.07", jt.nt_xent, 0.07), unit("temperature=0.5", jt.nt_xent, 0.5)),
    "nca": (free("scale=1", jt.nca, 1.0), free("scale=5", jt.nca, 5.0)),
    "multi_similarity": (
        unit("alpha=2, beta=50", jt.multi_similarity, 2.0, 50.0, 0.5),
        unit("alpha=20, beta=5", jt.multi_similarity, 20.0, 5.0, 0.5),
    ),
    "circle": (unit("margin=0.4, scale=80", jt.circle, 0.4, 80.0), unit("margin=0.4, scale=2", jt.circle, 0.4, 2.0)),
    "lifted_structure": (free("margin=0.5", jt.lifted_structure, 0.5), free("margin=2", jt.lifted_structure, 2.0)),
    "tuplet_margin": (
        unit("margin=0.1, scale=64", jt.tuplet_margin, 0.1, 64.0),
        unit("margin=0.5, scale=64", jt.tuplet_margin, 0.5, 64.0),
    ),
    "ge2e": (
        unit('method="softmax"', jt.ge2e, num_speakers=3),
        unit('method="contrast"', jt.ge2e, num_speakers=3, method="contrast"),
    ),
    "angular_prototypical": (unit("scale=10", jt.angular_prototypical, 10.0),),
    "prototypical": (free("by squared distances", jt.prototypical),),
    "kl_hinge": tuple(Panel(f"margin={margin}", of_logits, (margin,), (FREE,), pairs=ALL) for margin in (1, 4)),
    "siamese_kl_hinge": (Panel("margin=1", of_pairs, (1.0,), PAIRS, pairs=BESIDE),),
    "triplet": (Panel("three given triplets, margin=0.2", _of_triplets, (0.2,), GIVEN),),
    "deep_speaker": (Panel("three triplets, margin=0.1", _of_thirds, (0.1,), THIRDS, on_circle=True),),
    "normalized_softmax": (
        classes("temperature=0.05", jt.normalized_softmax, 0.05),
        classes("temperature=0.5", jt.normalized_softmax, 0.5),
    ),
    "am_softmax": (classes("margin=0", jt.am_softmax, 0.0, 15.0), classes("margin=0.35", jt.am_softmax, 0.35, 15.0)),
    "aam_softmax": (classes("margin=0", jt.aam_softmax, 0.0, 15.0), classes("margin=0.5", jt.aam_softmax, 0.5, 15.0)),
    "sphereface2": (
        classes("margin=0, scale=32", jt.sphereface2, 0.0, 32.0),
        classes("margin=0.2, scale=32", jt.sphereface2, 0.2, 32.0),
    ),
    "proxy_nca": (classes("scale=1", jt.proxy_nca, 1.0), classes("scale=9", jt.proxy_nca, 9.0)),
    "proxy_anchor": (
        classes("margin=0.1, scale=32", jt.proxy_anchor, 0.1, 32.0),
        classes("margin=0.1, scale=4", jt.proxy_anchor, 0.1, 4.0),
    ),
    "soft_triple": (Panel("two centres a class", of_classes(jt.soft_triple, 2), (), (UNIT, TWO_EACH), on_circle=True),),
    "info_nce": (views("one way", jt.info_nce, 0.3), views("symmetric", jt.info_nce, 0.3, symmetric=True)),
    "sigmoid_contrastive": (
        views("bias=-10: as it begins", jt.sigmoid_contrastive, 10.0, -10.0),
        views("bias=-5: later", jt.sigmoid_contrastive, 10.0, -5.0),
    ),
    "combining": (
        free("batch_hard of both numbers", jt.batch_hard, 0.5),
        Panel("and of the first alone, added", of_prefixes, (0.5,), (FREE,)),
    ),
}

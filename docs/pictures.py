"""Pictures of what each loss pulls and pushes, drawn from its own gradient.

The same few points in the plane stand on every page, so that what differs between two pictures is the loss.
`python docs/pictures.py [NAME ...]` draws all of them anew, or those named, into `losses/pictures`.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scenes import LOGITS, PANELS, Panel, Rows

import jaxtriplet as jt

FOLDER = Path(__file__).parent / "losses" / "pictures"
COLOURS = ("#3d85e0", "#d98200", "#b65fcf", "#0f9d8a")  # of classes; like all here, to be read on white and on black
PULL, PUSH, QUIET = "#2f9e5f", "#e05050", "#8a8a8a"
SIDE, UNIT_LENGTH = 300, 100  # of a panel, in pixels
LIFT = 0.02


@functools.cache
def _slope(loss: Callable[..., jax.Array], on_circle: bool) -> Callable[..., list[jax.Array]]:
    def value(rows: list[jax.Array], numbers: tuple[float, ...]) -> jax.Array:
        return loss(*(jt.l2_normalize(one) if on_circle else one for one in rows), *numbers)

    return jax.jit(jax.grad(value))


def arrows(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each row is drawn, [N, 2], and how strongly by which other row, [N, N]: below 0, it is pushed.

    Each row has a number of its own beside its place in the plane, which leaves distances and cosines as they were, but
    for the same little. By the slope of the number that belongs to another row, a row moves towards that row.
    """
    points = [rows.points for rows in panel.rows]
    count = sum(map(len, points))
    own = np.split(LIFT * np.eye(count), np.cumsum([len(rows) for rows in points])[:-1])
    lifted = points if panel.pairs else [np.concatenate(both, axis=1) for both in zip(points, own, strict=True)]
    rows = [jnp.asarray(one, jnp.float32) for one in lifted]
    slope = -np.concatenate(_slope(panel.loss, panel.on_circle)(rows, panel.numbers))
    return slope[:, :2], _of_given(panel) if panel.pairs else slope[:, 2:] + slope[:, 2:].T


def _of_given(panel: Panel) -> np.ndarray:
    """Returns 1 for each pair of one label, and -1 for those of two that diverge by less than the margin."""
    rows = jnp.asarray(np.concatenate([rows.points for rows in panel.rows]) @ LOGITS)
    labels = np.concatenate([rows.labels for rows in panel.rows])
    apart = np.asarray(jt.distances.kl(rows, rows))
    found = np.zeros(apart.shape)
    for pair in panel.pairs:
        near = min(apart[pair], apart[pair[::-1]]) < panel.numbers[0]
        found[pair] = 1 if labels[pair[0]] == labels[pair[1]] else -float(near)
    return found + found.T


def _shape(rows: Rows, at: np.ndarray, label: int) -> str:
    x, y = at
    style = f'fill="{COLOURS[label]}" stroke="white" stroke-width="1.2"'
    if rows.shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9.5" {style}/>'
    corners, radii = {"square": (4, (12,)), "diamond": (4, (12,)), "star": (10, (15, 6.5))}[rows.shape]
    turn = np.arange(corners) * 2 * np.pi / corners - (np.pi / 4 if rows.shape == "square" else np.pi / 2)
    reach = np.resize(radii, corners)
    places = " ".join(f"{x + r * np.cos(a):.1f},{y + r * np.sin(a):.1f}" for r, a in zip(reach, turn, strict=True))
    return f'<polygon points="{places}" {style}/>'


def _arrow(begin: np.ndarray, step: np.ndarray, label: int) -> str:
    length = np.linalg.norm(step)
    along = step / length
    tip, across = begin + step + 10 * along, np.array([-along[1], along[0]])  # from the rim of its point
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, *(tip - 9 * along + side * across for side in (-5, 5))))
    (x, y), (to_x, to_y) = begin, tip - 8 * along
    line = f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{COLOURS[label]}" stroke-width="3"/>'
    return f'{line}<polygon points="{head}" fill="{COLOURS[label]}"/>'


def _panel(panel: Panel, left: float) -> Iterator[str]:
    drawn, meets = arrows(panel)
    points, labels = (np.concatenate([getattr(rows, name) for rows in panel.rows]) for name in ("points", "labels"))
    places = points * [UNIT_LENGTH, -UNIT_LENGTH] + [left + SIDE / 2, SIDE / 2 + 30]
    middle = f'x="{left + SIDE / 2}" text-anchor="middle"'
    yield f'<text {middle} y="18" font-size="15" fill="{QUIET}">{panel.title}</text>'
    if panel.on_circle:
        where = f'cx="{left + SIDE / 2}" cy="{SIDE / 2 + 30}" r="{UNIT_LENGTH}"'
        yield f'<circle {where} fill="none" stroke="{QUIET}" stroke-opacity="0.6"/>'
    strength = np.triu(meets, 1)
    for one, other in zip(*np.nonzero(np.abs(strength) > 0.03 * np.abs(strength).max(initial=1e-12)), strict=True):
        share = abs(strength[one, other]) / np.abs(strength).max()
        (x, y), (to_x, to_y) = places[[one, other]]
        colour, dashes = (PULL, "") if strength[one, other] > 0 else (PUSH, ' stroke-dasharray="5 3"')
        width = f'stroke-width="{0.7 + 2 * share:.1f}" stroke-opacity="{0.45 + 0.45 * share:.2f}"'
        yield f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="{colour}" {width}{dashes}/>'
    steps = drawn * [1, -1] / max(np.linalg.norm(drawn, axis=1).max(), 1e-12)
    for place, step, label in zip(places, steps, labels, strict=True):
        if np.linalg.norm(step) > 0.03:
            yield _arrow(place, 45 * step, label)
    kinds = [rows for rows in panel.rows for _ in rows.labels]
    for rows, (x, y), label in zip(kinds, places, labels, strict=True):
        yield _shape(rows, (x, y), label)
        if rows.shape != "star":
            letter = f'x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="12" fill="white"'
            yield f"<text {letter}>{'abcd'[label]}</text>"


def picture(name: str) -> str:
    """Returns the picture of a loss, SVG."""
    panels = PANELS[name]
    width, height = SIDE * len(panels), SIDE + 40
    drawn = "\n".join(line for place, panel in enumerate(panels) for line in _panel(panel, SIDE * place))
    begin = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    return f'{begin}\n<g font-family="sans-serif">\n{drawn}\n</g>\n</svg>\n'


if __name__ == "__main__":
    for each in sys.argv[1:] or PANELS:
        (FOLDER / f"{each}.svg").write_text(picture(each))

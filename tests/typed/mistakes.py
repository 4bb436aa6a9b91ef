"""What a type checker must refuse, each in the line that says so."""

import jax
import numpy as np

import jaxtriplet as jt
from jaxtriplet.training import make_update

labels, rows = np.array([0, 0, 1, 1]), np.eye(4, dtype=np.float32)


def of_one_argument(x: jax.Array) -> jax.Array:
    return x


jt.semi_hard(labels, rows, negatives="hard")  # refused: a wrong word
jt.ge2e(labels, rows, method="sofmax")  # refused: a wrong word
jt.semi_hard(labels, rows, precision="bfloat16")  # refused: a wrong word
jt.semi_hard(labels, rows, negative="all")  # refused: no such option
jt.batch_all(labels, rows, 0.2, None)  # refused: options are keywords
jt.batch_all(labels)  # refused: no rows
jt.semi_hard(["a", "b"], rows)  # refused: words are no labels
jt.semi_hard(labels, rows, margin="0.2")  # refused: nor are they numbers
jt.semi_hard(labels, rows, block_size=0.5)  # refused: not a size
jt.semi_hard(labels, rows, max_class_size=0.5)  # refused: not a size
jt.batch_hard(labels, rows, max_class_size=2)  # refused: it has no use for one
jt.batch_hard(labels, rows, hinge_fn="relu")  # refused: not a function
jt.batch_hard(labels, rows, distance_fn=of_one_argument)  # refused: not a distance
jt.batch_hard(labels, rows, reduce_fn=jt.distances.euclidean)  # refused: not a reduction
loss, stats, more = jt.batch_all(labels, rows, has_aux=True)  # refused: two come back
active = jt.batch_all(labels, rows).fraction_active  # refused: statistics are asked for with has_aux
make_update(jt.semi_hard)  # refused: a loss alone is not one of a training step

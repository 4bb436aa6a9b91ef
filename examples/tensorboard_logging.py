"""Figures of training in TensorBoard, from a loop of one's own; any other logger goes in the place of `log`.

Of the command line and of `jobs.train` one word does it, `jaxtriplet train --tensorboard` and `tensorboard=True`; and
`jobs.train(..., on_metrics=log)` calls a function such as the one below, for Weights & Biases say:

    jobs.train(config, on_metrics=lambda step, figures: wandb.log(figures, step=step))

    pip install ".[tensorboard]"
    python examples/tensorboard_logging.py      # writes runs/example/tensorboard
    tensorboard --logdir runs                   # looks at it: pip install tensorboard

Prints where the files are, and what the last step was logged with.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxtriplet import losses, training

try:
    from tensorboardX import SummaryWriter
except ImportError:
    raise SystemExit('this example needs tensorboardX: pip install "jaxtriplet[tensorboard]"') from None

STEPS = 40


def apply(params: dict[str, jax.Array], inputs: jax.Array) -> jax.Array:
    """The model: a matrix."""
    return inputs @ params["kernel"]


def main(folder: str = "runs/example/tensorboard") -> None:
    """Trains, and logs each step."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 16))
    loss_fn, params = losses.weighted({"batch_hard": 1.0}), {"kernel": jnp.eye(16, 4)}
    state = training.create_state(apply, loss_fn, training.make_optimizer(1e-2), seed=0, params=params)
    update = training.make_update(loss_fn)

    with SummaryWriter(folder) as writer:

        def log(step: int, figures: dict[str, float]) -> None:
            for name, figure in figures.items():
                writer.add_scalar(name, figure, step)

        figures: dict[str, float] = {}
        for step in range(1, STEPS + 1):
            labels = rng.integers(0, 8, 64).astype(np.int32)
            inputs = (centres[labels] + rng.normal(size=(64, 16))).astype(np.float32)
            state, metrics = update(state, training.Batch(inputs, labels))
            stats = metrics.stats["batch_hard"]
            figures = {"loss": float(metrics.loss), "gradient_norm": float(metrics.gradient_norm)}
            figures |= {"fraction_active": float(stats.fraction_active), "mean_norm": float(stats.mean_norm)}
            log(step, figures)
    print(f"{folder}: step {STEPS}, {', '.join(f'{name} {figure:.3f}' for name, figure in figures.items())}")


if __name__ == "__main__":
    main(*sys.argv[1:])

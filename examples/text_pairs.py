"""A text model of toy size, trained on pairs: questions look for their answers' titles, which use other words.

Hashed character trigrams, the mean of their vectors, a dense layer: no tokenizer, nothing to download. The loss is
InfoNCE in both directions (in sentence-transformers: MultipleNegativesRankingLoss) under Matryoshka, which makes the
first 8 numbers of an embedding useful by themselves. All words of the held-out pairs are trained on, their combinations
are not.

    pip install jaxtriplet
    python examples/text_pairs.py

Prints the loss every 50 steps, and recall@1 and recall@5 of held-out questions among all titles: before training, after
it, and by the first 8 numbers alone.
"""

import functools
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxtriplet as jt
from jaxtriplet import losses
from jaxtriplet.metrics import recall_at_k

# What questions say, and what titles say for it.
ACTIONS = {
    "cancel": "ending",
    "change": "editing",
    "pay for": "billing of",
    "find": "where to see",
    "share": "inviting others to",
    "download": "offline copies of",
    "delete": "removal of",
    "restore": "undoing loss of",
    "translate": "other languages in",
    "speed up": "performance of",
}
THINGS = {
    "my plan": "subscriptions",
    "my password": "login credentials",
    "a photo": "pictures",
    "a file": "documents",
    "my team": "groups",
    "a message": "chat",
    "a meeting": "the calendar",
    "a report": "statistics",
    "my profile": "accounts",
    "an invoice": "receipts",
}
BUCKETS, LENGTH, WIDTH, SHORT, STEPS = 2048, 48, 64, 8, 150


def trigrams(text: str) -> np.ndarray:
    """Returns the buckets of a text's character trigrams, [48] integers, -1 beyond its end."""
    padded = f" {text} "
    found = [zlib.crc32(padded[at : at + 3].encode()) % BUCKETS for at in range(len(padded) - 2)][:LENGTH]
    return np.array(found + [-1] * (LENGTH - len(found)), np.int32)


def init(key: jax.Array) -> dict[str, jax.Array]:
    """Returns the parameters at first."""
    first, second = jax.random.split(key)
    return {"table": jax.random.normal(first, (BUCKETS, WIDTH)), "dense": jax.random.normal(second, (WIDTH, WIDTH)) / 8}


@jax.jit
def embed(params: dict[str, jax.Array], texts: jax.Array) -> jax.Array:
    """Returns embeddings, [B, 64], not yet of unit length: whoever cuts them short normalises what is left."""
    there = (texts >= 0)[:, :, None]
    vectors = jnp.where(there, params["table"][texts], 0.0)
    return jnp.sum(vectors, axis=1) / jnp.sum(there, axis=1) @ params["dense"]


info_nce = functools.partial(jt.info_nce, temperature=0.1, symmetric=True)
loss_fn = losses.matryoshka(info_nce, (SHORT, WIDTH), normalize=True)
optimizer = optax.adam(1e-2)


@jax.jit
def step(params: Any, state: Any, questions: jax.Array, titles: jax.Array) -> Any:
    """Returns parameters and state after a step, and the loss before it."""

    def objective(params: Any) -> jax.Array:
        return loss_fn(embed(params, questions), embed(params, titles))

    loss, gradient = jax.value_and_grad(objective)(params)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, change), state, loss


def main() -> None:
    """Trains and judges."""
    pairs = [(f"How do I {a} {b}?", f"{ACTIONS[a]} {THINGS[b]}") for a in ACTIONS for b in THINGS]
    questions, titles = (np.stack([trigrams(text.lower()) for text in texts]) for texts in zip(*pairs, strict=True))
    rng = np.random.default_rng(0)
    order = rng.permutation(len(pairs))
    train, test = order[:70], order[70:]

    def judge(name: str, params: Any, numbers: int = WIDTH) -> None:
        asked, among = (embed(params, texts)[:, :numbers] for texts in (questions[test], titles))
        found = [recall_at_k(asked, test, among, np.arange(len(pairs)), k=k) for k in (1, 5)]
        print(f"{name}: recall@1 {found[0]:.0%}, recall@5 {found[1]:.0%} of {len(test)} questions")

    params = init(jax.random.key(0))
    judge("untrained", params)
    state = optimizer.init(params)
    for number in range(STEPS):
        rows = rng.choice(train, 32, replace=False)
        params, state, loss = step(params, state, questions[rows], titles[rows])
        if (number + 1) % 50 == 0:
            print(f"step {number + 1}: loss {loss:.3f}")
    judge("trained", params)
    judge(f"its first {SHORT} of {WIDTH} numbers", params, SHORT)


if __name__ == "__main__":
    main()

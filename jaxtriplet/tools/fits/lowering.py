"""Programs traced for devices that are not there, ready to compile; call it in a process with `targets.environment`."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from jaxtriplet import losses, parallel
from jaxtriplet.models import build
from jaxtriplet.speech import SpeechEncoder
from jaxtriplet.tools.fits import targets
from jaxtriplet.tools.fits.programs import Program
from jaxtriplet.tools.losses import find, of_two_views
from jaxtriplet.training import Batch, create_state, make_optimizer, make_update

SAMPLE_RATE = 16_000


def lower(program: Program) -> Any:
    """Returns a program's `jax.stages.Lowered`: rows are spread over the devices; all that is not apart is on each."""
    mesh = parallel.data_mesh(targets.devices_of(program.target, program.devices))
    return (_update if program.encoder else _loss)(program, mesh)


def _loss(program: Program, mesh: Mesh) -> Any:
    loss = find(program.loss)
    rows, whole = (partial(jax.ShapeDtypeStruct, sharding=lie(mesh)) for lie in (parallel.by_rows, parallel.replicated))
    labels = rows((program.batch_size,), jnp.int32)
    embeddings = rows((program.batch_size, program.dim), jnp.float32)
    given = [embeddings if of_two_views(loss) else labels, embeddings]
    apart = program.class_weights == "apart"
    if loss.class_weights:
        given.append((rows if apart else whole)(program.shape_of_weights, jnp.float32))
    inexact = tuple(place for place, one in enumerate(given) if one.dtype == jnp.float32)
    of_all = parallel.sharded(loss, mesh, class_axis_name=mesh.axis_names if apart else None)
    mapped = partial(of_all, **_options(program))
    return jax.jit(jax.value_and_grad(mapped, argnums=inexact)).lower(*given)


def _options(program: Program) -> dict[str, Any]:
    options: dict[str, Any] = {} if program.exchange == "gather" else {"exchange": program.exchange}
    return options if program.max_class_size is None else options | {"max_class_size": program.max_class_size}


def _update(program: Program, mesh: Mesh) -> Any:
    name = find(program.loss).name
    loss_fn = losses.weighted({name: 1.0}, **{name: _options(program)})
    logits = program.dim if find(program.loss).sees == "logits" else None

    def start() -> Any:
        assert program.encoder is not None
        encoder = partial(build, program.encoder, program.preset, program.features, embedding_dim=program.dim)
        network, optimizer = encoder(num_outputs=logits, rngs=nnx.Rngs(0)), make_optimizer(1e-3)
        model = network if program.seconds is None else SpeechEncoder(network, sample_rate=SAMPLE_RATE)
        return create_state(model, loss_fn, optimizer, seed=0, width=program.dim, num_classes=program.classes)

    def batch() -> Batch:
        integers = jnp.zeros(program.batch_size, jnp.int32)
        sound = program.seconds and (round(program.seconds * SAMPLE_RATE),)
        inputs = jnp.zeros((program.batch_size, *(sound or (program.frames, program.features))))
        return Batch(inputs, labels=integers, lengths=integers)

    state = jax.eval_shape(start)
    lies = parallel.by_classes(state, mesh) if program.class_weights == "apart" else None
    update: Any = make_update(loss_fn, mesh=mesh, micro_batch=program.micro_batch, state_sharding=lies)
    return update.lower(state, jax.eval_shape(batch))

"""A weighted sum of losses by name, in the form that a training step takes."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxtriplet import _checks
from jaxtriplet.losses import registry
from jaxtriplet.losses.sampling import sample_classes
from jaxtriplet.types import AxisName, Memory, Stats


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A weighted sum of losses: `loss_fn(params, labels, embeddings, *, where, ...) -> (loss, {name: Stats})`."""

    weights: Mapping[str, float]
    options: Mapping[str, Mapping[str, Any]]
    row_arguments: ClassVar[tuple[str, ...]] = ("labels", "embeddings")
    """Which arguments are rows of the batch, to be spread over devices."""
    class_arguments: ClassVar[tuple[str, ...]] = ("params",)
    """Which hold class weights, if any: of a tree, the arrays of two axes or more."""

    def init(
        self, key: jax.Array, width: int | None = None, num_classes: int | None = None
    ) -> dict[str, dict[str, jax.Array]]:
        """Returns the initial values of what the losses train along, by loss and name.

        Args:
            key: PRNG key of the class weights.
            width: Numbers in an embedding, D; needed by losses with class weights.
            num_classes: The number of classes, C; likewise.

        Returns:
            Scalars, and class weights [C, D], or [C, K, D] where a loss has several centres for each class.

        Raises:
            ValueError: A loss has class weights, and one of their sizes is missing, or no whole number above 0.
        """
        found: dict[str, dict[str, jax.Array]] = {}
        for place, name in enumerate(self.weights):
            loss, options = registry.find(name), self.options.get(name, {})
            params = {
                number: jnp.asarray(options.get(number, loss.numbers[number]), jnp.float32) for number in loss.trained
            }
            if loss.class_weights:
                _checks.key(key)
                if width is None or num_classes is None:
                    raise ValueError(f"{name} has class weights: give `width` and `num_classes`")
                _checks.positive_integer("width", width)
                _checks.positive_integer("num_classes", num_classes)
                centers = options.get("centers", loss.centers)
                shape = (num_classes, width) if centers == 1 else (num_classes, centers, width)
                drawn = jax.random.normal(jax.random.fold_in(key, place), shape, jnp.float32)
                params[loss.class_weights] = drawn / jnp.sqrt(jnp.float32(width))
            if params:
                found[name] = params
        return found

    def __call__(
        self,
        params: Mapping[str, Mapping[str, jax.Array]],
        labels: jax.Array,
        embeddings: jax.Array,
        *,
        where: jax.Array | None = None,
        axis_name: AxisName = None,
        step: jax.Array | None = None,
        memory: Memory | None = None,
        class_axis_name: AxisName = None,
    ) -> tuple[jax.Array, dict[str, Stats]]:
        """Returns the weighted sum of the losses, and each loss's statistics.

        Args:
            params: What the losses train along, as `init` returns it.
            labels: Integers [B].
            embeddings: Floats [B, D], or logits where the losses take logits.
            where: Booleans [B]; False rows are padding.
            axis_name: Mapped axes over which the batch is spread.
            step: The number of the step, for numbers that follow a schedule.
            memory: Rows of earlier batches, for each loss that takes a memory; None for none.
            class_axis_name: Mapped axes over which class weights are spread.

        Returns:
            A scalar, and the `Stats` by loss.

        Raises:
            ValueError: A number follows a schedule, or classes are drawn, and there is no step; or no loss takes the
                memory.
        """
        if not hasattr(params, "get"):
            raise ValueError(f"params must be what `init` returns, by loss and name; got {_checks.seen(params)}")
        total, stats = jnp.zeros(()), {}
        losses = {name: registry.find(name) for name in self.weights}
        if memory is not None and not any(loss.takes_memory for loss in losses.values()):
            raise ValueError(f"none of {', '.join(losses)} takes a memory")
        for name, weight in self.weights.items():
            loss = losses[name]
            if loss.class_weights and loss.class_weights not in params.get(name, {}):
                raise ValueError(
                    f"params must hold {loss.class_weights} of {name}, as `init(key, width, num_classes)` makes them; "
                    f"got {_checks.seen(params.get(name, params))}"
                )
            options = {**self._options(loss, step), **params.get(name, {})}
            options |= {"memory": memory} if loss.takes_memory else {}
            shared: dict[str, Any] = {"where": where, "axis_name": axis_name}
            shared |= {"class_axis_name": class_axis_name} if loss.class_weights and class_axis_name else {}
            classes, options = self._sampled(loss, step, labels, options, shared)
            value, stats[name] = loss(classes, embeddings, has_aux=True, **shared, **options)
            total = weight * value + total.astype(value.dtype)
        return total, stats

    def _sampled(
        self, loss: registry.Loss, step: jax.Array | None, labels: jax.Array, options: dict[str, Any], shared: Any
    ) -> tuple[jax.Array, dict[str, Any]]:
        """Returns the labels among the classes that this step compares with, and the options with their weights."""
        size, name = self.options.get(loss.name, {}).get("sample"), loss.class_weights
        if size is None or name is None:
            return labels, options
        if step is None:
            raise ValueError(f"{loss.name} draws the classes of a step: give `step`")
        devices, sharing = (
            1 if axes is None else jax.lax.axis_size(axes)
            for axes in (shared["axis_name"], shared.get("class_axis_name"))
        )
        # The classes of all rows may be those of one device.
        count, rows = len(options[name]), devices * len(labels)
        size = min(count, max(rows, -(-size // sharing)))
        classes, own = sample_classes(jax.random.fold_in(jax.random.key(0), step), labels, count, size, **shared)
        sampled = {**options, name: options[name][classes]}
        if jnp.ndim(margins := options.get("margin", 0)):  # one for each class of all devices
            _checks.for_each_class(jnp.asarray(margins), sharing * count)
            if over := shared.get("class_axis_name"):
                place = jax.lax.axis_index(over)
                # The sum is known to be the same on all devices, which of a gather is not.
                shares = jnp.zeros((sharing, size), jnp.int32).at[place].set(classes + count * place)
                classes = jnp.ravel(jax.lax.psum(shares, over))
            sampled["margin"] = jnp.asarray(margins)[classes]
        return own, sampled

    def _options(self, loss: registry.Loss, step: jax.Array | None) -> dict[str, Any]:
        given = self.options.get(loss.name, {})
        options = {name: one for name, one in given.items() if name not in registry.OF_CLASSES}
        for number in loss.numbers:
            if callable(options.get(number)):
                if step is None:
                    raise ValueError(f"{number} of {loss.name} follows a schedule: give `step`")
                options[number] = options[number](step)
        return options


def weighted(weights: Mapping[str, float], **options: Mapping[str, Any]) -> Weighted:
    r"""Builds a training step's `loss_fn` from losses by name.

    $$\sum_l w_l L_l$$

    Args:
        weights: The weight of each loss, by name, such as "semi_hard"; `jaxtriplet.losses.registry` knows them.
        **options: Keywords of each loss, by its name, such as `semi_hard={"margin": 0.3}`. A number may be a schedule,
            a function from the number of the step to the number. Of a loss of rows and class weights, `centers` is how
            many centres each class has, and `sample` with how many classes a step compares, those of its rows and
            others at random (`sample_classes`), never fewer than rows, which of them by the step alone; of devices with
            classes of their own, each draws its share.

    Returns:
        A function `(params, labels, embeddings, *, where, axis_name, step, memory) -> (loss, {name: Stats})`, whose
        `init(key, width, num_classes)` gives what the losses train along, such as GE2E's scale and bias.

    Raises:
        ValueError: A loss is unknown, none is given, one is given twice, they do not see the same rows, a weight is not
            a finite number of at least 0, options are given for one that is not in the sum, are none of its own, or are
            numbers that are not finite.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> loss_fn = weighted({"semi_hard": 1.0, "ge2e": 0.1}, semi_hard={"margin": 0.3})
        >>> labels, embeddings = jnp.array([0, 0, 1, 1]), jnp.eye(4)
        >>> loss, stats = loss_fn(loss_fn.init(jax.random.key(0)), labels, embeddings)
        >>> sorted(stats), int(stats["semi_hard"].num_valid)
        (['ge2e', 'semi_hard'], 4)
        >>> weighted({"semi_hard": 1.0}, semi_hard={"margn": 0.3})
        Traceback (most recent call last):
        ...
        ValueError: semi_hard has no option 'margn'; did you mean margin?
    """
    if weights is not None and not isinstance(weights, Mapping):
        raise ValueError(
            f'weights must be of losses by name, such as {{"semi_hard": 1.0}}; got {_checks.seen(weights)}'
        )
    if not weights:
        raise ValueError(f"weights must name a loss: {', '.join(registry.LOSSES)}")
    found: dict[str, float] = {}
    for spelt, weight in weights.items():
        loss = registry.find_trainable(spelt)
        if loss.name in found:
            raise ValueError(f"{loss.name} stands twice in {', '.join(weights)}")
        _checks.finite(f"the weight of {loss.name}", weight, least=0)
        found[loss.name] = weight
    registry.check_sum([registry.find(name) for name in found])
    for name, own in options.items():
        if name not in found:
            first = next(iter(found))
            is_its = name in registry.find(first).signature.parameters
            hint = (
                f'; give it as {first}={{"{name}": ...}}' if is_its else _checks.nearest(name.replace("-", "_"), found)
            )
            raise ValueError(f"options must be of one of {', '.join(found)}; got {name!r}{hint}")
        loss = registry.find(name)
        if not isinstance(own, Mapping):
            raise ValueError(f'options of {name} must be by name, such as {{"margin": 0.3}}; got {_checks.seen(own)}')
        loss.check(own)
        if loss.trained and any(callable(own.get(number)) for number in loss.trained):
            raise ValueError(f"a number of {name} that is trained cannot follow a schedule")
    return Weighted(found, {name: dict(own) for name, own in options.items()})

"""Whether a loss is the same over devices as on one, in value and gradient, and if not, why."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxtriplet import _checks
from jaxtriplet.parallel import mistakes
from jaxtriplet.parallel.meshes import axes_of, size_of
from jaxtriplet.parallel.programs import SETTINGS, Program, call_of, on_one_device, over_devices
from jaxtriplet.types import AxisName

AGREES, DIFFERS, PROVES_NOTHING = "agrees", "differs", "proves nothing"


@dataclass(frozen=True)
class Setting:
    """What a loss is over devices in one of the ways to run it."""

    name: str
    """"global view": the gradient is taken outside `shard_map`; "shard_map": inside, and not reduced; "pmap", which is
    `shard_map(..., check_vma=False)` too: inside, and averaged."""
    value_error: float | None = None
    """How far the value of the worst device is from that of one device, relative to it; None if it does not run."""
    gradient_errors: dict[str, float] | None = None
    """How far the gradient by each argument is, relative to its length."""
    failure: str | None = None
    """Why it does not run."""

    @property
    def gradient_error(self) -> float | None:
        """The largest of the gradients' errors."""
        return None if self.gradient_errors is None else max(self.gradient_errors.values(), default=0.0)

    def __str__(self) -> str:
        if self.failure is not None:
            return f"{self.name:12} does not run: {self.failure}"
        worst = max(self.gradient_errors, key=self.gradient_errors.__getitem__) if self.gradient_errors else ""
        return f"{self.name:12} {self.value_error:8.1e}  {self.gradient_error:8.1e}  {worst}".rstrip()


@dataclass(frozen=True)
class Report:
    """What `check` has found; `print` shows it as a table."""

    verdict: str
    """"agrees", "differs" or "proves nothing"."""
    words: tuple[str, ...]
    """The mistakes that would give what was found, or why the batch proves nothing."""
    value: float
    """The value on one device."""
    devices: int
    """How many devices it was compared with."""
    tolerance: float
    """The largest relative error that passes."""
    settings: tuple[Setting, ...]
    """What was found in each."""

    def __str__(self) -> str:
        head = f"{self.devices} devices against one, whose value is {self.value:.6g}; relative errors:"
        table = [f"{'':12} {'value':>8}  gradient  by", *map(str, self.settings)]
        return "\n".join(
            [head, *table, f"{self.verdict} (tolerance {self.tolerance:g})", *map("- {}".format, self.words)]
        )


def check(
    loss_fn: Callable[..., Any],
    mesh: Mesh,
    *rows: Any,
    axis_name: AxisName = None,
    class_axis_name: AxisName = None,
    tolerance: float | None = None,
    strict: bool = True,
    settings: Sequence[str] = SETTINGS,
    **keywords: Any,
) -> Report:
    """Compares a loss over devices with one device, in value and gradient, and names the usual mistakes in words.

    On one device the loss is called with all rows and `axis_name=None`; over devices, with a device's rows and the name
    of the axis, in each of three settings: the global view (the gradient taken outside `jax.shard_map`), `shard_map`
    (inside, and not reduced) and `pmap` (inside, and averaged). What does not run in a setting is reported with the
    reason; one at least must. The gradient is taken by all floating arguments, rows and numbers.

    Args:
        loss_fn: A loss of one device's rows, `loss_fn(*rows, axis_name=..., **keywords)`, that returns the loss of the
            rows of all: of this package or anyone's, a scalar alone or before statistics.
        mesh: A mesh of at least 2 devices; simulated ones will do.
        *rows: The loss's positional arguments, whole, as for `sharded`: those that its attribute `row_arguments` names
            are spread, or else every array with axes; others are the same everywhere.
        axis_name: The axes of the mesh over which rows are spread; None for all of them.
        class_axis_name: The axes over which class weights are spread, as in `sharded`, for a loss that takes such a
            keyword; None: they are the same everywhere.
        tolerance: The largest relative error that passes; None for 1e-10 in float64, 1e-5 in float32, 2e-2 in halves,
            by the least precise of value and floating arguments.
        strict: Whether to raise unless all agrees. False returns the report in any case.
        settings: Which of "global view", "shard_map" and "pmap" to try: those that you use.
        **keywords: The loss's keywords: `where` and `ids` are spread, other arrays are the same everywhere.

    Returns:
        The report. Its `words` name every mistake that would give what was found, within the tolerance.

    Raises:
        ValueError: With the report: value or gradient differ, or the batch proves nothing. Or the arguments are not as
            above, or rows do not divide among the devices.

    Example:
        >>> import jax, jax.numpy as jnp, jaxtriplet, numpy as np
        >>> mesh = jaxtriplet.parallel.data_mesh(jax.devices()[:2]) if jax.device_count() > 1 else None
        >>> labels, rows = np.array([0, 1, 1, 0, 2, 0, 1, 0]), np.random.default_rng(0).normal(size=(8, 4))
        >>> mesh is None or check(jaxtriplet.batch_all, mesh, labels, rows.astype(np.float32), 0.5).verdict == "agrees"
        True
    """
    axes = axes_of(mesh, axis_name)
    apart = () if class_axis_name is None else axes_of(mesh, class_axis_name, name="class_axis_name")
    devices = size_of(mesh, axes)
    if devices < 2:
        raise ValueError(
            "mesh must have at least 2 devices along its axes, or nothing is compared; simulate some by "
            "`XLA_FLAGS=--xla_force_host_platform_device_count=8`"
        )
    if not settings or any(name not in SETTINGS for name in settings):
        raise ValueError(f"settings must be of {', '.join(SETTINGS)}; got {settings!r}")
    if tolerance is not None:
        _checks.finite("tolerance", tolerance, least=0)
    _check_signature(loss_fn, rows, keywords | ({"class_axis_name": apart} if apart else {}))
    call = call_of(loss_fn, mesh, axes, rows, keywords, apart)
    trial = mistakes.Trial(call, on_one_device(call, mesh), devices, tolerance or 0.0)
    if tolerance is None:
        trial.tolerance = max(_rounding(one) for one in (trial.right.values, *trial.right.gradients.values()))
    tried, words = [], dict[str, list[str]]()
    for name in settings:
        setting, found = _try(trial, over_devices(call, mesh, axes, name, apart), name)
        tried.append(setting)
        for line in found:
            words.setdefault(line, []).append(name)
    ran = [setting.name for setting in tried if setting.failure is None]
    told = [line if where == ran else f"{' and '.join(where)}: {line}" for line, where in words.items()]
    if not ran:
        told = ["it runs in none of the settings"]
    verdict = DIFFERS if told else AGREES
    if reasons := mistakes.proves_nothing(trial):
        finite = np.isfinite(trial.value)
        verdict, told = (PROVES_NOTHING, reasons) if not told or not finite else (verdict, told)
    devices = size_of(mesh, [*{*axes, *apart}])
    report = Report(verdict, tuple(told), trial.value, devices, trial.tolerance, tuple(tried))
    if strict and verdict != AGREES:
        raise ValueError(str(report))
    return report


def _check_signature(loss_fn: Callable[..., Any], rows: Sequence[Any], keywords: dict[str, Any]) -> None:
    if not callable(loss_fn):
        raise ValueError(f"loss_fn must be a function; got {_checks.seen(loss_fn)}")
    try:
        inspect.signature(loss_fn).bind(*rows, axis_name=None, **keywords)
    except TypeError as error:
        raise ValueError(f"loss_fn must take what `check` was given, and the keyword `axis_name`: {error}") from None


def _rounding(array: Any) -> float:
    return {8: 1e-10, 4: 1e-5}.get(jnp.dtype(array.dtype).itemsize, 2e-2)


def _try(trial: mistakes.Trial, many: Program, name: str) -> tuple[Setting, list[str]]:
    """Returns what is found in a setting, and what is wrong with it in words."""
    try:
        found = many(trial.call.leaves)
    except Exception as error:  # whatever a loss raises there
        return Setting(name, failure=_why(error)), []
    values = found.values.astype(np.float64)
    apart = float(np.max(np.abs(values - trial.value)))
    gradient_errors = mistakes.errors(trial, found.gradients)
    setting = Setting(name, apart / abs(trial.value) if apart and trial.value else apart, gradient_errors)
    words = mistakes.in_value(trial, many) or mistakes.in_gradient(trial, found.gradients, name)
    return setting, words


def _why(error: Exception) -> str:
    """Returns why a loss does not run in a setting."""
    says = str(error)
    if "could not infer replication" in says or "can't be statically inferred" in says:
        return "its value may be another on each device, as far as JAX can tell: `psum` or `pmean` must end it"
    if "manual axis types do not match" in says or "varying manual axes" in says:
        return 'a loop starts with a constant: `jax.lax.pcast(start, axis_name, to="varying")`, or `check_vma=False`'
    if isinstance(error, NameError) and "unbound axis name" in says:
        return f"it names an axis that is not `axis_name` ({says.split('.')[0]})"
    first = says.strip().splitlines()
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__

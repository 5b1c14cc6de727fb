"""What makes a weight plastic: its gradient, its activity, its memory."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._schedules import value_at
from neat_optax.plasticity import _formulas


class Average(NamedTuple):
    r"""A buffer like the parameters: an exponential moving average (EMA).

    .. math:: m_t = d\, m_{t-1} + (1 - d)\, f(g_t)

    `value` is the elementwise :math:`f`. It gets the gradient in float32 or wider, with
    0 where it is not finite. `decay` is :math:`d` in [0, 1), or a schedule. `real` is
    whether the average is real where the gradient is complex.
    """

    name: str
    value: Callable[[jax.Array], jax.Array]
    decay: optax.ScalarOrSchedule
    real: bool = True


class Signal(NamedTuple):
    """One term in the mixture of a coefficient.

    `read(gradient, *averages)` gives the signal of one leaf: real, nonnegative, of the
    leaf's shape. It gets the gradient, which may hold entries that are not finite, and
    the `averages`, this step included. What is not finite in a signal counts as 0. A
    signal is divided by its mean over the scope, so that its unit has no effect, and
    multiplied by `weight`, at least 0, or a schedule. Names of signals differ, and so
    do names of averages.

    `totals(gradients, *averages)` gives the sum of the signal over each leaf, from
    lists with one entry for each leaf. By default what is read is summed; a signal with
    `totals` guards itself against what is not finite.
    """

    name: str
    weight: optax.ScalarOrSchedule
    read: Callable[..., jax.Array]
    averages: tuple[Average, ...] = ()
    totals: Callable[..., list[jax.Array]] | None = None

    def __repr__(self) -> str:
        return f"<signal {self.name}>"


def _same(x: jax.Array) -> jax.Array:
    return x


def _read_activity(gradient: jax.Array, sizes: jax.Array) -> jax.Array:
    del gradient
    return sizes


def _total_activity(gradients: Any, sizes: Sequence[jax.Array]) -> list[jax.Array]:
    del gradients
    return [_formulas.total(x) for x in sizes]


def _read_memory(gradient: Any, momentum: jax.Array, variance: jax.Array) -> jax.Array:
    del gradient
    return _formulas.memory_signal(momentum, variance)


def _total_memory(
    gradients: Any, momentum: Sequence[jax.Array], variance: Sequence[jax.Array]
) -> list[jax.Array]:
    del gradients
    pairs = zip(momentum, variance, strict=True)
    return [_formulas.total_memory_signal(*pair) for pair in pairs]


def gradient(weight: optax.ScalarOrSchedule = 0.4) -> Signal:
    r"""Signal: the size of the gradient, :math:`|g|`. It needs no buffer.

    Args:
      weight: at least 0, or a schedule.

    Example:
      >>> import jax.numpy as jnp
      >>> gradient().read(jnp.array([-3.0, jnp.inf])).tolist()
      [3.0, 0.0]
    """
    _checks.check_number("weight", weight, "[0, inf)")
    return Signal(
        "gradient", weight, _formulas.magnitude, totals=_formulas.total_magnitude
    )


def activity(
    weight: optax.ScalarOrSchedule = 0.4, decay: optax.ScalarOrSchedule = 0.95
) -> Signal:
    r"""Signal: the running size of the gradient, an EMA of :math:`|g|`.

    Args:
      weight: at least 0, or a schedule.
      decay: of the average, in [0, 1), or a schedule.
    """
    _checks.check_number("weight", weight, "[0, inf)")
    _checks.check_number("decay", decay, "[0, 1)")
    sizes = Average("activity", jnp.abs, decay)
    return Signal("activity", weight, _read_activity, (sizes,), _total_activity)


def memory(
    weight: optax.ScalarOrSchedule = 0.2,
    momentum_decay: optax.ScalarOrSchedule = 0.9,
    variance_decay: optax.ScalarOrSchedule = 0.99,
) -> Signal:
    r"""Signal: how steady the past gradients are, :math:`|M| / \sqrt V`.

    :math:`M` and :math:`V` are EMAs of the gradient and of its square.

    Args:
      weight: at least 0, or a schedule.
      momentum_decay: of :math:`M`, in [0, 1), or a schedule.
      variance_decay: of :math:`V`, likewise.
    """
    _checks.check_number("weight", weight, "[0, inf)")
    _checks.check_number("momentum_decay", momentum_decay, "[0, 1)")
    _checks.check_number("variance_decay", variance_decay, "[0, 1)")
    momentum = Average("momentum", _same, momentum_decay, real=False)
    variance = Average("variance", _formulas.square, variance_decay)
    return Signal("memory", weight, _read_memory, (momentum, variance), _total_memory)


SIGNALS = gradient(), activity(), memory()
"""Those of the original, in its proportions."""


def check_signals(signals: Any) -> tuple[Signal, ...]:
    """The signals to measure: that of the gradient, and all others with a weight.

    The coefficient of the gradient alone, from which `strength` starts, needs the first
    even if it has no weight or is not given.
    """
    if not isinstance(signals, (tuple, list)):
        raise ValueError(f"`signals` must be a sequence of Signal, got {signals!r}.")
    for signal in signals:
        _checks.check_kind("signals", signal, Signal)
        _checks.check_number(f"{signal.name}.weight", signal.weight, "[0, inf)")
        for average in signal.averages:
            _checks.check_number(f"{average.name}.decay", average.decay, "[0, 1)")
    _check_distinct("signals", [signal.name for signal in signals])
    _check_distinct("averages", [a.name for signal in signals for a in signal.averages])
    weights = [signal.weight for signal in signals]
    if all(map(is_number, weights)):
        names = " + ".join(f"{signal.name}.weight" for signal in signals)
        _checks.check_number(names or "signals", sum(weights), "(0, inf)")
    first = [signal for signal in signals if signal.name == "gradient"]
    others = [x for x in signals if x.name != "gradient" and not never(x.weight)]
    return *(first or [gradient(0)]), *others


def read(signal: Signal, gradient: jax.Array, averages: Sequence[Any]) -> jax.Array:
    """The signal of a leaf, 0 where it is not finite."""
    if signal.totals:
        return signal.read(gradient, *averages)
    found = signal.read(_tree.widen(gradient), *averages)
    return jnp.where(jnp.isfinite(found), found, 0)


def totals(
    signal: Signal, gradients: Sequence[Any], averages: Sequence[Sequence[Any]]
) -> list[jax.Array]:
    """The sum of the signal over each leaf, from the averages of each leaf."""
    if not gradients:
        return []
    if signal.totals:
        return signal.totals(gradients, *map(list, zip(*averages, strict=True)))
    pairs = zip(gradients, averages, strict=True)
    return [jnp.sum(read(signal, *_formulas.apart(pair))) for pair in pairs]


def at(signal: Signal, step: jax.Array) -> Signal:
    """The signal with the values that its schedules have at a step."""
    averages = tuple(
        average._replace(decay=value_at(average.decay, step))
        for average in signal.averages
    )
    return signal._replace(weight=value_at(signal.weight, step), averages=averages)


def is_number(value: Any) -> bool:
    """Whether a value is one of Python's numbers, which are known before the step."""
    return isinstance(value, (int, float))


def never(weight: Any) -> bool:
    """Whether a signal of this weight has no part at any step."""
    return is_number(weight) and weight == 0


def _check_distinct(name: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"`{name}` must have names that differ, got {names!r}.")

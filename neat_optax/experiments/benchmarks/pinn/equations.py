"""The problems. A new one is a residual, what holds at the sides, and a reference.

Burgers, Schrödinger, Kovasznay and Beltrami on the domains, with the conditions and the
terms of the experiments of Liu, Chu and Thuerey, "ConFIG", 2024; there a periodic side
adds its squares over the outputs, here all are averaged. Allen-Cahn as in DeepXDE's
example, with its condition at the sides as a term of the loss.
"""

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.experiments.benchmarks.pinn import references
from neat_optax.experiments.benchmarks.pinn.problem import (
    Condition,
    Field,
    Jet,
    Problem,
    Solution,
    at,
    at_sides,
    equals,
)

VISCOSITY = 0.01 / np.pi
END = np.pi / 2
DIFFUSION, RATE = 0.001, 5.0
DECAY = 20 - np.sqrt(400 + 4 * np.pi**2)
"""Of Kovasznay's wake at Reynolds number 40."""


def _burgers(u: Jet) -> jax.Array:
    by_x, by_t = u.first
    return by_t + u.value * by_x - VISCOSITY * u.second[0]


def _burgers_solution() -> Solution:
    x, t = (np.arange(128) + 0.5) / 64 - 1, np.linspace(0, 1, 20)
    mesh = np.meshgrid(x, t, indexing="ij")
    return Solution((x, t), references.cole_hopf(*mesh, VISCOSITY)[..., None])


BURGERS = Problem(
    about="Burgers' equation with viscosity .01/pi, whose wave steepens to a shock",
    low=(-1, 0),
    high=(1, 1),
    outputs=1,
    second=(0,),
    residual=_burgers,
    conditions={
        "initial": Condition(at(1, 0.0), equals(lambda p: -jnp.sin(jnp.pi * p[:, :1]))),
        "boundary": Condition(at_sides([(-1, 1)]), lambda u, points: u(points)),
    },
    reference=_burgers_solution,
)


def _schroedinger(h: Jet) -> jax.Array:
    by_t, by_xx = h.first[1], h.second[0]
    real, imaginary = h.value[:, 0], h.value[:, 1]
    size = real**2 + imaginary**2
    return jnp.stack(
        [
            by_t[:, 0] + by_xx[:, 1] / 2 + size * imaginary,
            by_t[:, 1] - by_xx[:, 0] / 2 - size * real,
        ],
        axis=1,
    )


def _soliton(points: jax.Array) -> jax.Array:
    start = 2 / jnp.cosh(points[:, 0])
    return jnp.stack([start, jnp.zeros_like(start)], axis=1)


def _opposite(h: Field, points: jax.Array) -> jax.Array:
    return h(points) - h(points * jnp.array([[-1.0, 1.0]]))


def _schroedinger_solution() -> Solution:
    x, t = np.arange(256) * 10 / 256 - 5, np.linspace(0, END, 21)
    h = references.split_step(2 / np.cosh(x), 10.0, t, 100)[::2]
    return Solution((x[::2], t), np.stack([np.real(h), np.imag(h)], axis=-1))


SCHROEDINGER = Problem(
    about="Schroedinger's equation with a cubic term, from two solitons in one",
    low=(-5, 0),
    high=(5, END),
    outputs=2,
    second=(0,),
    residual=_schroedinger,
    conditions={
        "initial": Condition(at(1, 0.0), equals(_soliton)),
        "boundary": Condition(at(0, -5.0), _opposite),
    },
    reference=_schroedinger_solution,
)


def _allen_cahn(u: Jet) -> jax.Array:
    return u.first[1] - DIFFUSION * u.second[0] - RATE * (u.value - u.value**3)


def _allen_cahn_solution() -> Solution:
    x, t = np.arange(1, 512) / 256 - 1, np.linspace(0, 1, 21)
    start = 1 + x**2 * np.cos(np.pi * x)

    def reaction(w: np.ndarray) -> np.ndarray:
        return RATE * ((w - 1) - (w - 1) ** 3)

    w = references.etd_dirichlet(start, 2.0, DIFFUSION, reaction, t, 50)
    return Solution((x[3::4], t), (w - 1)[3::4, :, None])


ALLEN_CAHN = Problem(
    about="Allen and Cahn's equation, a stiff reaction with diffusion .001",
    low=(-1, 0),
    high=(1, 1),
    outputs=1,
    second=(0,),
    residual=_allen_cahn,
    conditions={
        "initial": Condition(
            at(1, 0.0), equals(lambda p: p[:, :1] ** 2 * jnp.cos(jnp.pi * p[:, :1]))
        ),
        "boundary": Condition(at_sides([(-1, 1)]), lambda u, points: u(points) + 1),
    },
    reference=_allen_cahn_solution,
)


def navier_stokes(flow: Jet, viscosity: float) -> jax.Array:
    """Residuals of momentum and mass of a flow that cannot be compressed.

    Args:
      flow: velocities, then pressure. Time, if there is one, is the last coordinate.
      viscosity: kinematic.
    """
    space = flow.value.shape[1] - 1
    mass = jnp.zeros(())
    momentum = jnp.stack([by[:, space] for by in flow.first[:space]], axis=1)
    for number, by in enumerate(flow.first[:space]):
        carried = flow.value[:, number, None] * by[:, :space]
        momentum += carried - viscosity * flow.second[number][:, :space]
        mass += by[:, number]
    for by_t in flow.first[space:]:
        momentum += by_t[:, :space]
    return jnp.concatenate([momentum, mass[:, None]], axis=1)


def kovasznay(points: jax.Array) -> jax.Array:
    """Kovasznay's flow behind a grid: two velocities and pressure."""
    x, y = points[:, 0], 2 * jnp.pi * points[:, 1]
    wake = jnp.exp(DECAY * x)
    across = DECAY / (2 * jnp.pi) * wake * jnp.sin(y)
    return jnp.stack([1 - wake * jnp.cos(y), across, (1 - wake**2) / 2], axis=1)


KOVASZNAY = Problem(
    about="Kovasznay's steady flow at Reynolds number 40",
    low=(-0.5, -0.5),
    high=(1, 1.5),
    outputs=3,
    second=(0, 1),
    residual=lambda flow: navier_stokes(flow, 1 / 40),
    conditions={
        "boundary": Condition(at_sides([(-0.5, 1), (-0.5, 1.5)]), equals(kovasznay))
    },
    reference=lambda: references.on_grid(
        (np.linspace(-0.5, 1, 51), np.linspace(-0.5, 1.5, 51)), kovasznay, 3
    ),
)


def beltrami(points: jax.Array) -> jax.Array:
    """Beltrami's decaying flow: three velocities and pressure."""
    space, t = points[:, :3], points[:, 3]
    grown = jnp.exp(space)
    after = jnp.roll(space, -1, axis=1)
    phase = space + after  # x + y, y + z, z + x
    sines = jnp.roll(jnp.sin(phase), -1, axis=1)
    cosines = jnp.cos(phase) * jnp.roll(grown, 1, axis=1)
    velocity = -(grown * sines + cosines) * jnp.exp(-t)[:, None]
    crossed = jnp.sin(phase) * jnp.roll(jnp.cos(phase), 1, axis=1)
    paired = jnp.roll(grown, -1, axis=1) * jnp.roll(grown, -2, axis=1)
    pressure = -jnp.sum(grown**2 + 2 * crossed * paired, axis=1) / 2
    return jnp.concatenate([velocity, (pressure * jnp.exp(-2 * t))[:, None]], axis=1)


BELTRAMI = Problem(
    about="Beltrami's flow in three dimensions and time at Reynolds number 1",
    low=(-1, -1, -1, 0),
    high=(1, 1, 1, 1),
    outputs=4,
    second=(0, 1, 2),
    residual=lambda flow: navier_stokes(flow, 1.0),
    conditions={
        "initial": Condition(at(3, 0.0), equals(beltrami)),
        "boundary": Condition(at_sides([(-1, 1)] * 3), equals(beltrami)),
    },
    reference=lambda: references.on_grid(
        (*[np.linspace(-1, 1, 9)] * 3, np.linspace(0, 1, 5)), beltrami, 4
    ),
)

PROBLEMS = {
    "burgers": BURGERS,
    "schroedinger": SCHROEDINGER,
    "kovasznay": KOVASZNAY,
    "beltrami": BELTRAMI,
    "allen-cahn": ALLEN_CAHN,
}
"""By the name of their study."""

import numpy as np

from neat_optax.experiments.benchmarks.pinn.references import (
    cole_hopf,
    etd_dirichlet,
    split_step,
)


def test_quadrature_solves_burgers_equation_by_differences():
    viscosity, step = 0.02, 1e-4
    x = np.linspace(-0.9, 0.9, 31)
    t = np.linspace(0.05, 1, 31)

    def u(dx=0.0, dt=0.0):
        return cole_hopf(x + dx, t + dt, viscosity)

    by_t = (u(dt=step) - u(dt=-step)) / (2 * step)
    by_x = (u(step) - u(-step)) / (2 * step)
    by_xx = (u(step) - 2 * u() + u(-step)) / step**2
    np.testing.assert_allclose(by_t + u() * by_x, viscosity * by_xx, atol=1e-4)
    np.testing.assert_allclose(cole_hopf(x, 0 * t, viscosity), -np.sin(np.pi * x))


def test_split_steps_follow_two_solitons():
    x, times = np.arange(256) * 30 / 256 - 15, np.linspace(0, 0.4, 3)
    found = split_step(2 / np.cosh(x), 30.0, times, 100)
    x, t = x[:, None], times
    waves = np.cosh(3 * x) + 3 * np.exp(4j * t) * np.cosh(x)
    below = np.cosh(4 * x) + 4 * np.cosh(2 * x) + 3 * np.cos(4 * t)
    np.testing.assert_allclose(found, 4 * np.exp(0.5j * t) * waves / below, atol=1e-4)


def test_exponential_steps_meet_a_linear_reaction():
    x, times = np.arange(1, 16) / 8, np.linspace(0, 0.5, 3)
    shape = np.sin(np.pi * x / 2) + np.sin(2 * np.pi * x / 2)
    found = etd_dirichlet(shape, 2.0, 0.1, lambda w: -3 * w, times, 10)
    decay = [3 + 0.1 * (np.pi * k / 2) ** 2 for k in (1, 2)]
    exact = sum(
        np.sin(np.pi * k * x / 2)[:, None] * np.exp(-own * times)
        for k, own in zip((1, 2), decay, strict=True)
    )
    np.testing.assert_allclose(found, exact, atol=1e-6)

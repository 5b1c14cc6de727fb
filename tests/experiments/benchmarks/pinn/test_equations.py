import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import running
from neat_optax.experiments.benchmarks.pinn import equations
from neat_optax.experiments.benchmarks.pinn.problem import Jet, draw, in_box, jet_of


def breather(points):
    """Two solitons in one, on the whole line."""
    x, t = points[:, 0], points[:, 1]
    waves = jnp.cosh(3 * x) + 3 * jnp.exp(4j * t) * jnp.cosh(x)
    below = jnp.cosh(4 * x) + 4 * jnp.cosh(2 * x) + 3 * jnp.cos(4 * t)
    h = 4 * jnp.exp(0.5j * t) * waves / below
    return jnp.stack([h.real, h.imag], axis=1)


EXACT = {
    "schroedinger": breather,
    "kovasznay": equations.kovasznay,
    "beltrami": equations.beltrami,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_an_exact_solution_has_no_residual(name):
    problem, exact = equations.PROBLEMS[name], EXACT[name]
    points = in_box(problem, np.random.default_rng(0), 1, 64)[0]

    def residual(points):
        return problem.residual(jet_of(exact, points, problem.second))

    np.testing.assert_allclose(running.quick_jit(residual)(points), 0, atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_an_exact_solution_meets_the_conditions(name):
    problem = equations.PROBLEMS[name]
    points = draw(problem, np.random.default_rng(0), 1, 8, 12)
    for part, condition in problem.conditions.items():
        error = running.quick_jit(lambda x, own=condition: own.error(EXACT[name], x))
        np.testing.assert_allclose(error(points[part][0]), 0, atol=1e-6)


def test_residuals_of_one_output_by_hand():
    u = Jet(np.array([[2.0]]), (np.array([[3.0]]), np.array([[5.0]])), {0: np.ones(1)})
    burgers = equations.BURGERS.residual(u)
    np.testing.assert_allclose(burgers, [[5 + 2 * 3 - equations.VISCOSITY]])
    allen_cahn = equations.ALLEN_CAHN.residual(u)
    np.testing.assert_allclose(allen_cahn, [[5 - 0.001 - 5 * (2 - 8)]])


def test_references_start_as_their_conditions_say():
    x, t = equations.BURGERS.reference().axes
    values = equations.BURGERS.reference().values
    np.testing.assert_allclose(values[:, 0, 0], -np.sin(np.pi * x), atol=1e-12)
    assert t[0] == 0 and values.shape == (len(x), len(t), 1)


@pytest.mark.slow
def test_the_reference_of_a_reaction_agrees_with_finite_differences():
    x = np.linspace(-1, 1, 513)
    step = x[1] - x[0]

    def change(_, inside):
        u = np.concatenate([[-1], inside, [-1]])
        bent = (u[2:] - 2 * inside + u[:-2]) / step**2
        return equations.DIFFUSION * bent + 5 * (inside - inside**3)

    start = (x**2 * np.cos(np.pi * x))[1:-1]
    found = scipy.integrate.solve_ivp(change, (0, 1), start, rtol=1e-6)
    solution = equations.ALLEN_CAHN.reference()
    np.testing.assert_allclose(solution.axes[0], x[4:-4:4], atol=1e-12)
    end = found.y[3:-3:4, -1]
    np.testing.assert_allclose(solution.values[:, -1, 0], end, atol=3e-3)


@pytest.mark.slow
def test_the_reference_of_a_wave_is_near_that_of_the_whole_line():
    solution = equations.SCHROEDINGER.reference()
    exact = running.quick_jit(breather)(solution.points.astype(np.float32))
    error = np.asarray(exact).reshape(solution.values.shape) - solution.values
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(solution.values)

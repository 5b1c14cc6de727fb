import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from neat_optax import players


def solution(params, x):
    """A layer of three units."""
    return params["v"] @ jnp.tanh(params["w"] * x + params["b"])


def equation(params, x):
    return jax.grad(solution, 1)(params, x) + solution(params, x) ** 2


def condition(params, x, value):
    return solution(params, x) - value


RESIDUALS = {"equation": equation, "condition": condition}
PARAMS = {
    "w": np.array([0.5, -1.0, 2.0], np.float32),
    "b": np.array([0.1, 0.2, -0.3], np.float32),
    "v": np.array([1.0, -0.5, 0.25], np.float32),
}
BATCHES = {
    "equation": (np.linspace(-1, 1, 5, dtype=np.float32),),
    "condition": (np.array([0.0, 1.0], np.float32), np.array([1.0, 2.0], np.float32)),
}


def kernel(name):
    """[B, B]: the whole kernel, from a Jacobian."""
    residual, batch = RESIDUALS[name], BATCHES[name]
    of_batch = lambda p: jax.vmap(residual, (None, *[0] * len(batch)))(p, *batch)  # noqa: E731
    leaves = jax.tree.leaves(running.quick_jit(jax.jacfwd(of_batch))(PARAMS))
    rows = np.concatenate([np.reshape(x, (len(x), -1)) for x in leaves], axis=1)
    return rows.astype(float) @ rows.T


def test_traces_of_whole_kernels():
    """Names are in their order, `condition` first."""
    kernels = [kernel(name) for name in sorted(RESIDUALS)]
    for mean in (False, True):
        traces = running.quick_jit(players.ntk_traces(RESIDUALS, mean=mean))
        found = traces(PARAMS, BATCHES)
        wanted = [np.trace(k) / (len(k) if mean else 1) for k in kernels]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="`residual_fns` must be a sequence or dictio"):
        players.ntk_traces(equation)
    with pytest.raises(ValueError, match="`residual_fns` must be a function, got 3"):
        players.ntk_traces([3])
    traces = players.ntk_traces(RESIDUALS)
    with pytest.raises(ValueError, match=r"\(condition, equation\), got equation\."):
        traces(PARAMS, {"equation": BATCHES["equation"]})
    with pytest.raises(ValueError, match=r"each residual \(2\), got dict\."):
        players.ntk_traces([equation, condition])(PARAMS, BATCHES)

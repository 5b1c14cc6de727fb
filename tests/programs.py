"""Small programs that use a parameter in every way that the reader of sites knows.

Each is `(loss, params, rows)`: `loss(params, *row)` is the loss of one player.
"""

import jax
import jax.numpy as jnp
import numpy as np

PLAYERS = 5
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def rows(*shape: int) -> np.ndarray:
    return normal(PLAYERS, *shape)


def size(x):
    return jnp.sum(jnp.tanh(x) ** 2)


def convolve(params, x, **options):
    numbers = ("NHWC", "HWIO", "NHWC")
    return size(
        jax.lax.conv_general_dilated(
            x[None], params, dimension_numbers=numbers, **options
        )
    )


def mlp(params, x):
    hidden = jax.nn.relu(x @ params["in"] + params["bias"])
    return size(hidden @ params["out"])


def scanned(params, x):
    step = lambda carry, w: (jnp.tanh(carry @ w), None)  # noqa: E731
    return size(jax.lax.scan(step, x, params)[0])


IDS = RNG.integers(0, 50, (PLAYERS, 7))
FACTORED = {
    "dense layers": (
        mlp,
        {"in": normal(6, 9), "bias": normal(9), "out": normal(9, 3)},
        (rows(6),),
    ),
    "on the left": (lambda p, x: size(p @ x), normal(4, 6), (rows(6),)),
    "twice": (lambda p, x: size(p @ jnp.tanh(p @ x)), normal(12, 12), (rows(12),)),
    "there and back": (
        lambda p, x: size(p.T @ jnp.tanh(p @ x)),
        normal(40, 60),
        (rows(60),),
    ),
    "a sequence": (lambda p, x: size(x @ p), normal(40, 60), (rows(3, 40),)),
    "heads": (
        lambda p, x: size(jnp.einsum("td,dhe->hte", x, p)),
        normal(40, 5, 8),
        (rows(3, 40),),
    ),
    "from heads": (
        lambda p, x: size(jnp.einsum("hte,hed->td", x, p)),
        normal(5, 8, 40),
        (rows(5, 3, 8),),
    ),
    "a lookup": (lambda p, i: size(p[i]), normal(50, 40), (IDS,)),
    "a lookup beyond the end": (
        lambda p, i: jnp.sum(jnp.nan_to_num(size(jnp.take(p, i + 20, axis=0)))),
        normal(50, 40),
        (IDS,),
    ),
    "clipped lookups": (
        lambda p, i: size(jnp.take(p, i + 20, axis=0, mode="clip")),
        normal(50, 40),
        (IDS,),
    ),
    "a tied head": (
        lambda p, i: -jnp.mean(jax.nn.log_softmax(jnp.tanh(p[i]) @ p.T)[:, 3]),
        normal(50, 40),
        (IDS[:, :3],),
    ),
    "a convolution": (
        lambda p, x: convolve(
            p, x, window_strides=(2, 1), padding="SAME", rhs_dilation=(1, 2)
        ),
        normal(3, 3, 32, 64),
        (rows(4, 3, 32),),
    ),
    "a transposed convolution": (
        lambda p, x: convolve(
            p,
            x,
            window_strides=(1, 1),
            padding=((2, -1), (1, 1)),
            lhs_dilation=(2, 1),
        ),
        normal(2, 2, 32, 64),
        (rows(2, 2, 32),),
    ),
    "a flat kernel": (
        lambda p, x: size(x @ p.reshape(6, 4)),
        normal(3, 2, 4),
        (rows(6),),
    ),
    "under remat": (
        lambda p, x: size(jax.checkpoint(lambda q: jnp.tanh(x @ q))(p)),
        normal(6, 4),
        (rows(6),),
    ),
}
EXPLICIT = {
    "a long sequence": (lambda p, x: size(x @ p), normal(4, 6), (rows(30, 4),)),
    "a small convolution": (
        lambda p, x: convolve(p, x, window_strides=(1, 1), padding="VALID"),
        normal(3, 3, 2, 4),
        (rows(6, 6, 2),),
    ),
    "groups of channels": (
        lambda p, x: convolve(
            p, x, window_strides=(1, 1), padding="SAME", feature_group_count=2
        ),
        normal(3, 3, 2, 4),
        (rows(5, 5, 4),),
    ),
    "also in a penalty": (
        lambda p, x: size(x @ p) + jnp.sum(p**2),
        normal(6, 4),
        (rows(6),),
    ),
    "in two shapes": (
        lambda p, x: size(x @ p.reshape(6, 4)) + size(p.reshape(4, 6) @ x),
        normal(8, 3),
        (rows(6),),
    ),
    "layers in a scan": (scanned, normal(3, 6, 6), (rows(6),)),
    "unused": (lambda _, x: size(x), normal(2), (rows(3),)),
    "elementwise": (lambda p, x: size(p * x), normal(3), (rows(3),)),
}
ALL = FACTORED | EXPLICIT

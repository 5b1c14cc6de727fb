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


def layers(params, x, **options):
    step = lambda carry, w: (jnp.tanh(carry @ w), None)  # noqa: E731
    return size(jax.lax.scan(step, x, params, **options)[0])


def recurrent(params, x):
    """A cell whose weights all steps share, and a layer for each step."""

    def step(carry, row):
        shared = carry @ params["cell"] + row[0] @ params["in"]
        return jnp.tanh(shared + carry @ row[1].T), None

    return size(jax.lax.scan(step, jnp.zeros(40), (x, params["steps"]))[0])


def stacked(params, x):
    """Layers, each of which goes through a sequence."""

    def layer(xs, weights):
        step = lambda h, x: (jnp.tanh(h @ weights["h"] + x @ weights["x"]),) * 2  # noqa: E731
        return jax.lax.scan(step, jnp.zeros(40), xs, reverse=True)[1], None

    return size(jax.lax.scan(layer, x, params)[0])


IDS = RNG.integers(0, 50, (PLAYERS, 7))
FACTORED = {
    "dense layers": (
        mlp,
        {"in": normal(6, 9), "bias": normal(9), "out": normal(9, 3)},
        (rows(6),),
    ),
    "a bias": (lambda p, x: size(x + p.T), normal(3, 6), (rows(6, 3),)),
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
    "experts": (
        lambda p, x: size(jnp.einsum("td,edh->eth", x, p)),
        normal(3, 40, 60),
        (rows(2, 40),),
    ),
    "experts on the left": (
        lambda p, x: size(jnp.einsum("hed,etd->eth", p, x)),
        normal(60, 3, 40),
        (rows(3, 2, 40),),
    ),
    "groups of channels": (
        lambda p, x: convolve(
            p, x, window_strides=(2, 2), padding="SAME", feature_group_count=2
        ),
        normal(3, 3, 16, 24),
        (rows(4, 3, 32),),
    ),
    "layers in a loop": (layers, normal(3, 6, 6), (rows(6),)),
    "layers in a loop, backward": (
        lambda p, x: layers(p.transpose(2, 1, 0), x, reverse=True, unroll=2),
        normal(6, 6, 4),
        (rows(6),),
    ),
    "a recurrent cell": (
        recurrent,
        {"cell": normal(40, 40), "in": normal(3, 40), "steps": normal(4, 40, 40)},
        (rows(4, 3),),
    ),
    "a loop in a loop": (
        stacked,
        {"h": normal(2, 40, 40), "x": normal(2, 40, 40)},
        (rows(3, 40),),
    ),
    "convolutions in a loop": (
        lambda p, x: size(
            jax.lax.scan(
                lambda c, w: (
                    jnp.tanh(jax.lax.conv(c, w, (1, 1), "SAME")),
                    None,
                ),
                x[None],
                p,
            )[0]
        ),
        normal(2, 24, 24, 2, 2),
        (rows(24, 2, 2),),
    ),
    "lookups in a loop": (
        lambda p, i: size(jax.lax.map(lambda table: jnp.tanh(table[i]), p)),
        normal(2, 50, 40),
        (IDS,),
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
    "carried by a loop": (
        lambda p, x: size(jax.lax.scan(lambda c, _: (c, x @ c), p, None, 2)[1]),
        normal(6, 4),
        (rows(6),),
    ),
    "depthwise": (
        lambda p, x: convolve(
            p, x, window_strides=(1, 1), padding="SAME", feature_group_count=4
        ),
        normal(3, 3, 1, 4),
        (rows(5, 5, 4),),
    ),
    "unused": (lambda _, x: size(x), normal(2), (rows(3),)),
    "elementwise": (lambda p, x: size(p * x), normal(3), (rows(3),)),
}
ALL = FACTORED | EXPLICIT

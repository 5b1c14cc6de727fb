"""Images, which data sets hold as rows of features."""

import jax

Shape = tuple[int, int, int]
"""Height, width and colors of an image."""


def as_images(x: jax.Array, shape: Shape) -> jax.Array:
    """Features [examples, height * width * colors], or images, as images."""
    return x.reshape(-1, *shape)

"""Pairs of images in one: two tasks that share every pixel.

As Multi-MNIST is built for multi-task learning: Sabour, Frosst and Hinton 2017 lay one
shifted image over another on 36 x 36 pixels; Sener and Koltun 2018 put one at the upper
left and one at the lower right, take the larger of two pixels, and ask for both labels.
"""

import math

import numpy as np

SIZE = 36
SHIFT = 2


def make_pairs(
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    *,
    size: int = SIZE,
    shift: int = SHIFT,
) -> tuple[np.ndarray, np.ndarray]:
    """Lays every image over another one of the same part, at the opposite corner.

    Every image is at the upper left once, and once at the lower right, in front of
    another by a random order. Both are moved towards the middle by 0 to `shift` pixels
    in each direction, and a pixel of the pair is the larger of both.

    Args:
      images: [examples, pixels], square.
      labels: [examples] of them.
      seed: the same pairs come from the same images and seed.
      size: of a side of the pairs.
      shift: in pixels, at most what `size` leaves.

    Returns:
      Images [examples, size * size], and labels [examples, 2]: upper left, lower right.
    """
    side = math.isqrt(images.shape[1])
    room = size - side
    if side * side != images.shape[1] or not 0 <= shift <= room:
        raise ValueError(
            f"`shift` must be at most {room} for square images of {images.shape[1]} "
            f"pixels on {size} x {size}, got {shift}."
        )
    count = len(images)
    rng = np.random.RandomState(seed)  # the same with every version of NumPy
    other = rng.permutation(count)
    near, far = rng.randint(0, shift + 1, (2, 2, count))
    squares = images.reshape(count, side, side)
    first = _place(squares, near, size)
    second = _place(squares[other], room - far, size)
    pairs = np.maximum(first, second, out=first)
    return pairs.reshape(count, -1), np.stack([labels, labels[other]], axis=1)


def _place(squares: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """Each square with its upper left corner at its own pixel of an empty image."""
    placed = np.zeros((len(squares), size, size), squares.dtype)
    side = squares.shape[1]
    for row, column in np.unique(corners, axis=1).T:
        here = (corners[0] == row) & (corners[1] == column)
        placed[here, row : row + side, column : column + side] = squares[here]
    return placed

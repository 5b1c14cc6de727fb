"""Tiny IDX files."""

import gzip

import numpy as np

IMAGES, LABELS = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"


def write(path, array):
    """Writes an array of bytes as one gzipped file.

    Args:
      path: where to.
      array: of numbers from 0 to 255.
    """
    shape = np.asarray(array.shape, ">u4").tobytes()
    header = bytes([0, 0, 8, array.ndim]) + shape
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))

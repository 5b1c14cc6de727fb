"""Evolution strategies in NumPy, float64, with the noise that the library draws."""

import jax
import numpy as np


def noise(key, shapes, num_pairs):
    """For each leaf, [num_pairs, ...]: a key folded with the pair, split for leaves."""
    pairs = [
        jax.random.split(jax.random.fold_in(key, pair), len(shapes))
        for pair in range(num_pairs)
    ]
    return [
        np.stack(
            [np.asarray(jax.random.normal(keys[number], shape)) for keys in pairs]
        ).astype(np.float64)
        for number, shape in enumerate(shapes)
    ]


def mirrored_losses(loss, leaves, sigmas, drawn):
    """[num_pairs, 2]: losses of float64 leaves at the two points of every pair."""
    return np.array(
        [
            [
                loss(
                    *(
                        p + sign * s * e[k]
                        for p, s, e in zip(leaves, sigmas, drawn, strict=True)
                    )
                )
                for sign in (1, -1)
            ]
            for k in range(len(drawn[0]))
        ]
    )


def raw(losses):
    return losses


def centered_ranks(losses):
    """By counting: those below, and half of the others that are equal."""
    flat = np.where(np.isfinite(losses), losses, np.inf).ravel()
    below = (flat[None] < flat[:, None]).sum(axis=1)
    equal = (flat[None] == flat[:, None]).sum(axis=1) - 1
    ranks = (below + equal / 2) / (flat.size - 1) - 0.5
    return ranks.reshape(losses.shape)


def standardized(losses):
    worst = losses[np.isfinite(losses)].max()
    filled = np.where(np.isfinite(losses), losses, worst)
    return (filled - filled.mean()) / filled.std()


def nes_weights(size):
    """The weights of Wierstra et al. (2014), rank 1 first: to be maximized."""
    ranks = np.arange(1, size + 1)
    raw_weights = np.maximum(0.0, np.log(size / 2 + 1) - np.log(ranks))
    return raw_weights / raw_weights.sum() - 1 / size


def es_gradient(utilities, sigma, drawn):
    differences = utilities[:, 0] - utilities[:, 1]
    total = sum(d * e for d, e in zip(differences, drawn, strict=True))
    return total / (2 * len(drawn) * sigma)

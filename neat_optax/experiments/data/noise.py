"""Wrong labels, on purpose."""

import numpy as np

from neat_optax import _checks
from neat_optax.experiments.data.parts import Data, Split


def replace_labels(
    labels: np.ndarray, share: float, num_classes: int, seed: int
) -> np.ndarray:
    """Replaces labels by another class, each other one as likely: symmetric noise.

    Args:
      labels: [examples] or [examples, labels] of whole numbers from 0 on; where an
        example has several, each is replaced by itself.
      share: of the labels that are replaced, to the next whole number of them.
      num_classes: values that a label has.
      seed: the same labels are replaced by the same others with the same seed.

    Returns:
      Labels like the given ones, which stay as they are.

    Example:
      >>> replace_labels(np.arange(5), 0.4, 5, seed=0).tolist()
      [4, 1, 1, 3, 4]
    """
    _checks.check_number("label_noise", share, "[0, 1]")
    rng = np.random.RandomState(seed)  # the same with every version of NumPy
    chosen = rng.permutation(labels.size)[: round(share * labels.size)]
    moved = labels.ravel().copy()
    steps = rng.randint(1, num_classes, len(chosen))
    moved[chosen] = (moved[chosen] + steps) % num_classes
    return moved.reshape(labels.shape)


def with_noise(data: Data, share: float, seed: int) -> Data:
    """Data whose labels are right in the test part only.

    Whoever has wrong labels has them wherever nobody looked: a rate is selected by them
    too.
    """
    if data.targets or data.sequential:
        raise ValueError(
            "`label_noise` must be left out for data without labels of examples, got "
            f"{share}."
        )
    classes = 2 if data.multi_label else data.num_classes
    noisy = [
        Split(part.x, replace_labels(part.y, share, classes, seed + number))
        for number, part in enumerate(data[:2])
    ]
    return Data(noisy[0], noisy[1], data.test)

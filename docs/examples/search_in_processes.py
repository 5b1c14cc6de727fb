"""Searches the weights of a policy that a slow simulator in plain Python scores.

Each process imports this file: what is done once stands under `__name__ == "__main__"`.
"""

import concurrent.futures
import multiprocessing

import numpy as np

from neat_optax import evolution as evo


def simulate(weights: dict[str, np.ndarray]) -> float:
    """Minus the mean distance of a cart from the middle; the higher, the better."""
    place, speed, distance = 1.0, 0.0, 0.0
    for _ in range(200):
        push = np.tanh(weights["on_place"] * place + weights["on_speed"] * speed)
        speed += 0.1 * float(push)
        place += 0.1 * speed
        distance += min(abs(place), 10.0)
    return -distance / 200


def main() -> None:
    """Prints the best fitness of the first generation and of all."""
    weights = {"on_place": np.float32(0), "on_speed": np.float32(0)}
    breeder = evo.breeder(evo.truncation(4), mutation=evo.gaussian(0.5, 1.0))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        evaluate = evo.outside_jax(simulate, executor=pool)
        found = evo.search(
            0, weights, evaluate, breeder, generations=10, population_size=16
        )
    best = found.history["best_so_far"]
    print(f"generation 0: {best[0]:.3f}, generation 9: {best[-1]:.3f}")


if __name__ == "__main__":
    main()

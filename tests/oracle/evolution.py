"""The oracle of one generation: gene by gene, with the words that it is drawn with.

A word is taken as a whole number of 32 bits, and choices are read off it in integers.
Normal numbers come from the standard library. One individual is a list of numbers.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

Individual = Sequence[float]
_WORDS = 2**32


def order(fitness: Sequence[float]) -> list[int]:
    """The best first; NaN last; equals as they stand."""
    known = [i for i, f in enumerate(fitness) if not math.isnan(f)]
    ranked = sorted(known, key=lambda i: (-fitness[i], i))
    return ranked + [i for i, f in enumerate(fitness) if math.isnan(f)]


def read_choice(word: int, count: int) -> tuple[int, int]:
    """A number below `count`, and the rest of the word."""
    return divmod(word * count, _WORDS)


def gaussian(scale: float, rate: float) -> Callable[[float, int], float]:
    """Noise of that root mean square over all genes, in a share of them."""

    def mutate(gene, word):
        number = word / _WORDS
        if number >= rate:
            return gene
        share = min(max(number / rate, 1e-12), 1 - 1e-12)
        return gene + scale / math.sqrt(rate) * NormalDist().inv_cdf(share)

    return mutate


def child(
    parents: Sequence[Individual],
    words: Sequence[int],
    mutate: Callable[[float, int], float],
) -> list[float]:
    """Each gene from one of the parents, then mutated."""
    genes = []
    for gene, word in enumerate(words):
        parent, rest = read_choice(word, len(parents))
        genes.append(mutate(parents[parent][gene], rest))
    return genes


def generation(
    population: Sequence[Individual],
    fitness: Sequence[float],
    parents: Sequence[Sequence[int]],
    words: Sequence[Sequence[int]],
    mutate: Callable[[float, int], float],
    num_elites: int,
) -> tuple[list[list[float]], list[float]]:
    """The next population and its fitness.

    Args:
      population: individuals.
      fitness: of each.
      parents: their numbers, for each place of the next population.
      words: one for each gene of each place.
      mutate: from a gene and what is left of its word to a gene.
      num_elites: how many are kept.
    """
    ranked = order(fitness)
    eligible = [i for i in ranked if fitness[i] > -math.inf][:num_elites]
    bred = [list(population[i]) for i in eligible]
    scores = [fitness[i] for i in eligible]
    for place in range(len(eligible), len(population)):
        chosen = [population[i] for i in parents[place]]
        bred.append(child(chosen, words[place], mutate))
        scores.append(math.nan)
    return bred, scores


def thresholds(
    generations: Sequence[Sequence[float]], target: float
) -> list[tuple[float, float]]:
    """Threshold and acceptance of each generation under the quantile rule, at rate 1.

    Fitness is finite, and no two are equal.
    """
    found: list[tuple[float, float]] = []
    for scores in generations:
        deficit = 0.0
        for _, share in found:
            deficit = sorted((-0.5, deficit + target - share, 0.5))[1]
        ranked = sorted(scores, reverse=True)
        share = min(max(target + deficit, 0), 1)
        wanted = math.floor(share * len(ranked) + 0.501)
        wanted = min(max(wanted, 1), len(ranked))
        following = ranked[min(wanted, len(ranked) - 1)]
        bar = (ranked[wanted - 1] + following) / 2
        found.append((bar, sum(s >= bar for s in scores) / len(scores)))
    return found

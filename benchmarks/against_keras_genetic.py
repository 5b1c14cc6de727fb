"""Generations per second of a search, next to Keras Genetic 0.1.0.

    pip install keras-genetic tensorflow-cpu tqdm
    python benchmarks/against_keras_genetic.py [--rounds N]

64 individuals of a network 64-64-10 on the 1437 training images of digits, all at once.
Both change a tenth of a parent's weights to fresh ones; fitness is the accuracy.
Keras Genetic evaluates as its README does, with `model.evaluate`, and in the way that
is kindest to it, with one compiled function. Rounds are interleaved in one process.
"""

import argparse
import os
import statistics
import time

import jax
import jax.numpy as jnp
import keras
import keras_genetic
import numpy as np
import tensorflow
from flax import nnx
from gates import Gate, show
from keras_genetic.breeder import MutationBreeder

from neat_optax import evolution
from neat_optax.experiments.data import datasets
from neat_optax.experiments.runs.evolve_tasks import Perceptron

INDIVIDUALS, PARENTS, STD = 64, 8, 0.5


class Clock:
    """A callback that notes when each generation ends."""

    def __init__(self):
        self.ends = []

    def on_generation_begin(self, generation, result):
        """Nothing."""

    def on_generation_end(self, generation, result):
        """Notes the time."""
        del generation, result
        self.ends.append(time.perf_counter())

    def seconds(self):
        """Of a generation, the first left out."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def keras_model():
    layers = [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=["accuracy"])
    return model


def as_in_its_readme(_, images):
    """`model.evaluate` of each individual."""

    def evaluate(individual):
        one = individual.load_model()
        result = one.evaluate(images.x, images.y, return_dict=True, verbose=0)
        return result["accuracy"]

    return evaluate


def kindest(model, images):
    """One compiled function of the model's variables."""
    x, y = tensorflow.constant(images.x), tensorflow.constant(images.y)

    @tensorflow.function
    def accuracy():
        found = tensorflow.argmax(model(x), axis=1, output_type=y.dtype)
        return tensorflow.reduce_mean(tensorflow.cast(found == y, "float32"))

    def evaluate(individual):
        individual.load_model()
        return float(accuracy())

    return evaluate


def theirs(make_evaluator, images, generations):
    """Seconds of a generation."""
    model, clock = keras_model(), Clock()
    keras_genetic.search(
        model=model,
        generations=generations,
        population_size=INDIVIDUALS,
        n_parents_from_population=PARENTS,
        evaluator=make_evaluator(model, images),
        breeder=MutationBreeder(
            initializer=keras_genetic.initializers.RandomNormal(0, STD)
        ),
        verbose=0,
        callbacks=[clock],
    )
    return clock.seconds()


def accuracy_of(model, images):
    """Fitness of ours."""
    return jnp.mean(jnp.argmax(model(images.x), axis=-1) == images.y)


class Ours:
    """A search that is compiled once."""

    def __init__(self, images):
        self.images = images
        self.model = Perceptron((64, 64, 10), nnx.relu, rngs=nnx.Rngs(0))
        self.breeder = evolution.random_weight_breeder(
            PARENTS, init=jax.nn.initializers.normal(STD)
        )

    def __call__(self, generations):
        """Seconds of a generation."""
        start = time.perf_counter()
        evolution.search(
            0,
            self.model,
            evolution.of_individual(accuracy_of, batch_size=16),
            self.breeder,
            generations=generations,
            population_size=INDIVIDUALS,
            chunk=generations,
            args=(self.images,),
        )
        return (time.perf_counter() - start) / generations


def main():
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    parts = datasets.load("digits")[:2]
    images = datasets.Split(
        *(np.concatenate(pair) for pair in zip(*parts, strict=True))
    )
    ours = Ours(jax.tree.map(jnp.asarray, images))
    ours(300)
    seconds = {"as in its README": [], "kindest": [], "ours": []}
    for _ in range(rounds):
        seconds["as in its README"].append(theirs(as_in_its_readme, images, 3))
        seconds["kindest"].append(theirs(kindest, images, 20))
        seconds["ours"].append(ours(300))
    load = os.getloadavg()[0]
    print(f"jax {jax.__version__}, keras {keras.__version__}, load {load:.1f}")
    own = seconds.pop("ours")
    gates = [Gate("search", "", f"{1 / statistics.median(own):.1f} /s", None)]
    for (name, times), target in zip(seconds.items(), (100, 20), strict=True):
        ratio = statistics.median(a / b for a, b in zip(times, own, strict=True))
        speed = 1 / statistics.median(times)
        figure = f"{speed:.3g} /s; search is {ratio:.0f} x as fast"
        name = f"Keras Genetic, {name}"
        gates.append(Gate(name, f">= {target} x", figure, ratio >= target))
    show(gates)


if __name__ == "__main__":
    main()

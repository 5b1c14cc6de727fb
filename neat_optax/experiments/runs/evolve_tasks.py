"""What weights are searched for: networks, their fitness, and when it is enough."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from neat_optax import _checks
from neat_optax._random import as_key
from neat_optax.experiments.data import datasets
from neat_optax.experiments.runs import cartpole

EPISODES, FRESH_EPISODES = 32, 32
"""Of an individual in each generation, and of a policy that is selected or tested."""

Score = Callable[..., jax.Array]
"""A number from the weights of one individual and a random key; more is better."""


class Settings(NamedTuple):
    """How a task is searched unless someone asks for something else."""

    generations: int
    population: int
    parents: int  # the best of a generation that have offspring
    elites: int  # the best of a generation that live on
    mutation_scale: float  # 1: as large as fresh weights
    mutation_rate: float  # share of the weights that change
    reevaluate: bool  # whether elites are evaluated again


class Task(NamedTuple):
    """A network and its scores."""

    name: str
    init: Callable[[jax.Array], Any]  # a key to the weights of one individual
    fitness: Score  # what is searched by
    select: Score  # what a policy is selected by, of several seeds
    test: Score  # what is reported once
    monitor: str  # the name of the scores of `select` and `test`
    goal: float  # the fitness with which a search is done
    enough: float  # the test score from which the task is solved
    settings: Settings
    act: Callable[[Any, jax.Array], jax.Array] | None = None  # of a policy
    args: tuple[Any, ...] = ()  # the defaults of what else `fitness` takes

    def solved(self, score: Any) -> bool:
        """Whether a test score is good enough."""
        return float(score) >= self.enough


class Perceptron(nnx.Module):
    """One hidden layer."""

    def __init__(self, sizes: tuple[int, int, int], activation: Any, *, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(sizes[0], sizes[1], rngs=rngs)
        self.last = nnx.Linear(sizes[1], sizes[2], rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits for one input or a batch of them."""
        return self.last(self.activation(self.hidden(x)))


def digits(parts: datasets.Data | None = None) -> Task:
    """Images of 8 x 8 pixels, by a network 64-64-10.

    Fitness is minus the cross-entropy over all training images, so that it has no
    noise. A search hands them over as `args`: as constants, XLA would compute with them
    while it compiles.

    Args:
      parts: another division of the images than the usual one.
    """
    parts = datasets.load("digits") if parts is None else parts
    init, apply = _network((64, 64, 10), nnx.relu)

    def fitness(params: Any, key: jax.Array, images: datasets.Split = parts.train):
        del key
        logits, labels = apply(params, images.x), jnp.asarray(images.y)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return -jnp.mean(losses)

    def accuracy(part: datasets.Split):
        def score(params: Any, key: jax.Array):
            del key
            return jnp.mean(jnp.argmax(apply(params, part.x), axis=-1) == part.y)

        return score

    settings = Settings(
        generations=300,
        population=64,
        parents=8,
        elites=2,
        mutation_scale=0.15,
        mutation_rate=0.01,
        reevaluate=False,
    )
    return Task(
        "digits",
        init,
        fitness,
        select=accuracy(parts.validation),
        test=accuracy(parts.test),
        monitor="accuracy",
        goal=-0.1,
        enough=0.9,
        settings=settings,
        args=(parts.train,),
    )


def balance() -> Task:
    """CartPole-v1, by a policy 4-32-2.

    Fitness is the mean return of a few episodes. Their starts are the same for all
    individuals of a generation, and others in the next one. Few individuals are enough:
    among a hundred fresh policies there is often one that balances the pole.
    """
    init, apply = _network((4, 32, 2), nnx.tanh)

    def act(params: Any, state: jax.Array):
        return jnp.argmax(apply(params, state))

    def mean_return(count: int):
        def score(params: Any, key: jax.Array):
            return jnp.mean(
                cartpole.episodes(lambda state: act(params, state), key, count)
            )

        return score

    settings = Settings(
        generations=50,
        population=16,
        parents=4,
        elites=1,
        mutation_scale=0.1,
        mutation_rate=1.0,
        reevaluate=True,
    )
    return Task(
        "cartpole",
        init,
        mean_return(EPISODES),
        select=mean_return(FRESH_EPISODES),
        test=mean_return(FRESH_EPISODES),
        monitor="mean return",
        goal=float(cartpole.NUM_STEPS),
        enough=475.0,
        settings=settings,
        act=act,
    )


def sum_of_weights() -> Task:
    """Three weights, the fitter the nearer they are to 0.

    The sum of their sizes is what they would answer to an input of ones, with all signs
    the same. It shows what a search does, and takes no time.
    """

    def init(key: jax.Array):
        return {"kernel": jax.nn.initializers.lecun_normal()(key, (3, 1))}

    def fitness(params: Any, key: jax.Array):
        del key
        return -jnp.sum(jnp.abs(params["kernel"]))

    settings = Settings(
        generations=100,
        population=32,
        parents=8,
        elites=2,
        mutation_scale=0.05,
        mutation_rate=1.0,
        reevaluate=False,
    )
    return Task(
        "sum",
        init,
        fitness,
        select=fitness,
        test=fitness,
        monitor="minus the sum",
        goal=-0.01,
        enough=-0.01,
        settings=settings,
    )


TASKS = {"digits": digits, "cartpole": balance, "sum": sum_of_weights}


def make_task(name: str) -> Task:
    """The task of that name.

    Args:
      name: one of `TASKS`.

    Example:
      >>> task = make_task("sum")
      >>> params = {"kernel": jnp.array([[0.5], [-0.25], [0.0]])}
      >>> print(task.test(params, jax.random.key(0)), task.solved(-0.75))
      -0.75 False
    """
    _checks.check_choice("task", name, tuple(TASKS))
    return TASKS[name]()


def init_stacked(task: Task, key: jax.Array | int, count: int) -> Any:
    """The weights of so many fresh individuals, stacked along a first axis."""
    return jax.vmap(task.init)(jax.random.split(as_key(key), count))


def evaluate(
    score: Score, params: Any, key: jax.Array | int, batch_size: int
) -> jax.Array:
    """The scores of stacked individuals, an array [individuals].

    All get the same key. What is drawn from it, such as starts of episodes, then makes
    none of them better than another.

    Args:
      score: such as `Task.fitness`.
      params: a tree whose leaves have a leading axis of individuals.
      key: a random key or a seed.
      batch_size: how many are evaluated at once; it changes time and memory only.

    Example:
      >>> task = make_task("sum")
      >>> evaluate(task.fitness, {"kernel": jnp.ones((5, 3, 1))}, 0, 2).tolist()
      [-3.0, -3.0, -3.0, -3.0, -3.0]
    """
    _checks.check_count("batch_size", batch_size, minimum=1)
    key = as_key(key)
    return jax.lax.map(lambda one: score(one, key), params, batch_size=batch_size)


def _network(sizes: tuple[int, int, int], activation: Any) -> tuple[Any, Any]:
    """Functions that make the weights of a perceptron, and that apply them."""
    model = nnx.eval_shape(lambda: Perceptron(sizes, activation, rngs=nnx.Rngs(0)))
    graph, _ = nnx.split(model)

    def init(key: jax.Array):
        fresh = Perceptron(sizes, activation, rngs=nnx.Rngs(key))
        return nnx.to_pure_dict(nnx.state(fresh, nnx.Param))

    def apply(params: Any, x: Any):
        return nnx.merge(graph, nnx.State(params))(x)

    return init, apply

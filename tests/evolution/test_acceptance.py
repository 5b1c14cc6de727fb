"""Acceptance: the share accepted, any scale of fitness, and the recorded cases."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neat_optax import evolution as evo
from oracle import evolution as oracle

KEY = jax.random.key(0)
FILE = pathlib.Path(__file__).parents[1] / "data" / "neataptic.json"
CASES = {
    case["name"]: case
    for case in json.loads(FILE.read_text())
    if case["kind"] == "acceptance"
}


@functools.partial(jax.jit, static_argnums=0)
def _judged(rule, numbers, scores):
    """A scan that is compiled once for each rule: its numbers are arguments."""
    start, target, rate = numbers
    empty = evo.Population(jnp.zeros(scores.shape[1:]), scores[0])
    bar = evo.minimal_criterion(
        lambda generation: target[generation],
        lambda _: rate,
        rule=rule._replace(start=start),
    )

    def body(state, fitness):
        out, state = bar.update(KEY, empty._replace(fitness=fitness), state)
        return state, (out.fitness, state.threshold, state.acceptance)

    return jax.lax.scan(body, bar.init(empty), scores)[1]


def judged(generations, target, rate=None, rule=evo.quantile):
    """Fitness after each generation, thresholds and acceptances.

    Individuals without a fitness, which do not count, fill up the population, and
    generations of them the time, so that all tests share one shape.
    """
    scores = np.float32(generations)
    count, n = scores.shape
    filled = np.full((LONGEST, LARGEST), np.nan, np.float32)
    filled[:count, :n] = scores
    targets = np.broadcast_to(np.float32(target), LONGEST)
    start, rate = np.float32(rule.start), rule.rate if rate is None else rate
    after, *rows = _judged(
        rule._replace(start=0.0), (start, targets, np.float32(rate)), filled
    )
    return [np.asarray(after)[:count, :n], *(np.asarray(x)[:count] for x in rows)]


LONGEST, LARGEST = 300, 64
MULTIPLY = evo.multiplicative_threshold()
share = jax.jit(evo.accepted_share)


@pytest.mark.parametrize("name", [n for n in CASES if n != "empty_population"])
def test_the_multiplicative_rule_reproduces_the_recorded_thresholds(name):
    """Rejected individuals have -inf here (E1) where the recording has 0."""
    case, config = CASES[name], CASES[name]["config"]
    generations = case["inputs"]["score_generations"]
    after, thresholds, acceptances = judged(
        generations,
        config.get("targetAcceptance", 0.5),
        config.get("adjustRate"),
        MULTIPLY._replace(start=config.get("initialThreshold", 0.0)),
    )
    for index, step in enumerate(case["expected"]["steps"]):
        assert thresholds[index] == pytest.approx(step["threshold_after"], rel=2e-5)
        scores = np.full(LARGEST, np.nan, np.float32)
        scores[: len(generations[index])] = generations[index]
        before = share(scores, np.float32(step["threshold_before"]))
        assert float(before) == pytest.approx(step["acceptance"], rel=2e-5)
        zeroed = np.where(np.isneginf(after[index]), 0.0, after[index])
        np.testing.assert_allclose(zeroed, step["scores_after"], rtol=2e-5)
        kept = np.mean(np.isfinite(after[index]))
        assert acceptances[index] == pytest.approx(kept)


def test_a_population_without_anyone_lowers_the_threshold():
    case = CASES["empty_population"]
    rule = evo.multiplicative_threshold(case["config"]["initialThreshold"])
    move = jax.jit(lambda threshold: rule.move(threshold, jnp.zeros(0), 0.5, rule.rate))
    threshold = np.float32(rule.start)
    for step in case["expected"]["steps"]:
        threshold = move(threshold)
        assert float(threshold) == pytest.approx(step["threshold_after"], rel=2e-5)


def landscape(n, generations=200, seed=0, drift=0.05, spread=1.0):
    """Scores that drift upwards, ever more slowly, and whose spread changes."""
    rng = np.random.default_rng(seed)
    time = np.arange(generations)[:, None]
    level = 40 * drift * np.sqrt(time)
    width = spread * (1 + 0.9 * np.sin(time / 7))
    return level + width * rng.normal(size=(generations, n))


@pytest.mark.parametrize("n", [3, 5, 8, 20, 64])
@pytest.mark.parametrize("target", [0.1, 0.25, 0.5, 0.8])
def test_mean_acceptance_is_the_target_on_a_drifting_landscape(n, target):
    lowest = 1 / n  # one individual is always accepted
    *_, acceptance = judged(landscape(n), target)
    assert np.mean(acceptance) == pytest.approx(max(target, lowest), abs=0.01)


@pytest.mark.parametrize("target", [0.25, 0.5, 0.8])
def test_acceptance_is_near_the_target_in_every_generation(target):
    for rate, far in ((None, 0.02), (0.5, 0.35)):
        *_, acceptance = judged(landscape(64), target, rate)
        assert np.max(np.abs(acceptance[10:] - target)) < far


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.5])
def test_a_slow_threshold_does_not_lag(rate):
    """Without the deficit, more than the target clear a bar that lags behind."""
    scores = landscape(64, 300)
    lagging = evo.quantile._replace(balances=False)
    shares = [
        np.mean(judged(scores, 0.5, rate, rule)[2][100:])
        for rule in (evo.quantile, lagging)
    ]
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] > shares[0] + 0.02


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.sampled_from([1.0, 0.5]))
def test_acceptance_is_that_of_any_scale_and_offset(scale, offset, rate):
    """The scores are far enough apart for float32 to keep their order."""
    scores = np.round(landscape(16, 30) * 4) / 4
    *_, expected = judged(scores, 0.4, rate)
    *_, moved = judged(scale * (scores + offset), 0.4, rate)
    assert np.mean(np.abs(moved - expected)) < 0.01


@given(
    st.floats(1e-3, 1e3),
    st.sampled_from([-1, 1]),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.25, 0.5, 0.8]),
)
def test_acceptance_is_in_its_band_for_any_affine_map(scale, sign, offset, target):
    """Also where all fitness is negative, or the best become the worst."""
    scores = np.round(landscape(16, 60) * 4) / 4 + offset
    *_, acceptance = judged(sign * scale * scores, target)
    assert np.mean(acceptance) == pytest.approx(target, abs=0.02)


def test_thresholds_are_those_of_the_oracle():
    for n, target in ((3, 0.5), (7, 0.3), (16, 0.9)):
        scores = np.float32(landscape(n, 40, seed=n))
        expected = oracle.thresholds(scores.astype(float).tolist(), target)
        _, thresholds, acceptance = judged(scores, target)
        np.testing.assert_allclose(thresholds, [t for t, _ in expected], rtol=1e-5)
        np.testing.assert_allclose(acceptance, [a for _, a in expected], rtol=1e-6)


@given(
    st.lists(
        st.one_of(
            st.floats(-5, 5, width=32), st.sampled_from([np.nan, -np.inf, np.inf])
        ),
        min_size=7,
        max_size=7,
    ),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_who_is_rejected(scores, target):
    after, thresholds, acceptance = judged([scores], target)
    before, after = np.float32(scores), after[0]
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    kept = ~np.isneginf(after) & ~np.isnan(after)
    np.testing.assert_array_equal(after[kept], before[kept])
    assert not np.isnan(thresholds[0])
    known = np.sum(~np.isnan(before))
    assert acceptance[0] == pytest.approx(
        np.sum(before >= thresholds[0]) / max(known, 1)
    )
    if np.any(np.isfinite(before)):
        best = np.nanmax(before)
        assert after[before == best][0] == best  # the best is never rejected


def test_a_generation_that_failed_changes_nothing():
    failed = [np.nan] * 4
    _, thresholds, acceptance = judged(
        [failed, [1, 2, 3, 4], failed, [np.nan, 9, 8, 7]], 0.5
    )
    assert thresholds[:3].tolist() == [-np.inf, 2.5, 2.5]
    assert acceptance[[0, 2]].tolist() == [0, 0]
    assert thresholds[3] == 7.5


def test_the_target_may_be_a_schedule():
    targets = optax.linear_schedule(1.0, 0.25, 3)(np.arange(LONGEST))
    *_, acceptance = judged([[1.0, 2.0, 3.0, 4.0]] * 5, targets)
    assert acceptance.tolist() == [1.0, 0.75, 0.5, 0.25, 0.25]


def test_rejected_individuals_have_no_children():
    step = evo.chain(
        evo.minimal_criterion(0.5),
        evo.breeder(evo.truncation(8), evo.clone, evo.unchanged, num_elites=0),
    )
    numbers = np.arange(8, dtype=np.float32)
    given = evo.Population(numbers, -numbers)
    bred, _ = jax.jit(step.update)(KEY, given, step.init(given))
    assert np.all(np.asarray(bred.params) < 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evo.minimal_criterion(1.5),
            r"^`target_acceptance` must be in \[0, 1\], got 1\.5\.$",
        ),
        (
            lambda: evo.minimal_criterion(0.5, -1.0),
            r"^`rate` must be in \[0, 1\], got -1\.0\.$",
        ),
        (
            lambda: evo.minimal_criterion(rule=evo.multiplicative_threshold),
            r"^`rule` must be of type AcceptanceRule, .*; did you forget to call it\?$",
        ),
        (
            lambda: evo.multiplicative_threshold(tolerance=-0.1),
            r"^`tolerance` must be in \[0, inf\), got -0\.1\.$",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

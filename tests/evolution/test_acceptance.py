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
def _judged(bar, scores):
    start = evo.Population(jnp.zeros(scores.shape[1:]), scores[0])

    def body(state, fitness):
        out, state = bar.update(KEY, start._replace(fitness=fitness), state)
        return state, (out.fitness, state.threshold, state.acceptance)

    return jax.lax.scan(body, bar.init(start), scores)[1]


def judged(bar, generations):
    """Fitness after each generation, thresholds and acceptances."""
    return jax.tree.map(np.asarray, _judged(bar, jnp.float32(generations)))


@pytest.mark.parametrize("name", [n for n in CASES if n != "empty_population"])
def test_the_multiplicative_rule_reproduces_the_recorded_thresholds(name):
    """Rejected individuals have -inf here (E1) where the recording has 0."""
    case, config = CASES[name], CASES[name]["config"]
    rule = evo.multiplicative_threshold(config.get("initialThreshold", 0.0))
    bar = evo.minimal_criterion(
        config.get("targetAcceptance", 0.5), config.get("adjustRate"), rule=rule
    )
    generations = case["inputs"]["score_generations"]
    after, thresholds, acceptances = judged(bar, generations)
    for index, step in enumerate(case["expected"]["steps"]):
        assert thresholds[index] == pytest.approx(step["threshold_after"], rel=2e-5)
        before = evo.accepted_share(
            jnp.float32(generations[index]), jnp.float32(step["threshold_before"])
        )
        assert float(before) == pytest.approx(step["acceptance"], rel=2e-5)
        zeroed = np.where(np.isneginf(after[index]), 0.0, after[index])
        np.testing.assert_allclose(zeroed, step["scores_after"], rtol=2e-5)
        kept = np.mean(np.isfinite(after[index]))
        assert acceptances[index] == pytest.approx(kept)


def test_a_population_without_anyone_lowers_the_threshold():
    case = CASES["empty_population"]
    rule = evo.multiplicative_threshold(case["config"]["initialThreshold"])
    threshold = jnp.float32(rule.start)
    for step in case["expected"]["steps"]:
        threshold = rule.move(threshold, jnp.zeros(0), 0.5, rule.rate)
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
    *_, acceptance = judged(evo.minimal_criterion(target), landscape(n))
    assert np.mean(acceptance) == pytest.approx(max(target, lowest), abs=0.01)


@pytest.mark.parametrize("target", [0.25, 0.5, 0.8])
def test_acceptance_is_near_the_target_in_every_generation(target):
    for rate, far in ((None, 0.02), (0.5, 0.35)):
        bar = evo.minimal_criterion(target, rate)
        *_, acceptance = judged(bar, landscape(64))
        assert np.max(np.abs(acceptance[10:] - target)) < far


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.5])
def test_a_slow_threshold_does_not_lag(rate):
    """Without what is deficit, more than the target clear a bar that lags behind."""
    scores = landscape(64, 300)
    lagging = evo.quantile._replace(balances=False)
    shares = [
        np.mean(judged(evo.minimal_criterion(0.5, rate, rule=rule), scores)[2][100:])
        for rule in (evo.quantile, lagging)
    ]
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[1] > shares[0] + 0.02


BARS = [evo.minimal_criterion(0.4, rate) for rate in (1.0, 0.5)]


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.sampled_from(BARS))
def test_acceptance_is_that_of_any_scale_and_offset(scale, offset, bar):
    """The scores are far enough apart for float32 to keep their order."""
    scores = np.round(landscape(16, 30) * 4) / 4
    *_, expected = judged(bar, scores)
    *_, moved = judged(bar, scale * (scores + offset))
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
    *_, acceptance = judged(evo.minimal_criterion(target), sign * scale * scores)
    assert np.mean(acceptance) == pytest.approx(target, abs=0.02)


def test_thresholds_are_those_of_the_oracle():
    for n, target in ((3, 0.5), (7, 0.3), (16, 0.9)):
        scores = np.float32(landscape(n, 40, seed=n))
        expected = oracle.thresholds(scores.astype(float).tolist(), target)
        _, thresholds, acceptance = judged(evo.minimal_criterion(target), scores)
        np.testing.assert_allclose(thresholds, [t for t, _ in expected], rtol=1e-5)
        np.testing.assert_allclose(acceptance, [a for _, a in expected], rtol=1e-6)


TARGETS = [evo.minimal_criterion(target) for target in (0.0, 0.3, 1.0)]


@given(
    st.lists(
        st.one_of(
            st.floats(-5, 5, width=32), st.sampled_from([np.nan, -np.inf, np.inf])
        ),
        min_size=7,
        max_size=7,
    ),
    st.sampled_from(TARGETS),
)
def test_who_is_rejected(scores, bar):
    after, thresholds, acceptance = judged(bar, [scores])
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
    bar = evo.minimal_criterion(0.5)
    failed = [np.nan] * 4
    _, thresholds, acceptance = judged(
        bar, [failed, [1, 2, 3, 4], failed, [np.nan, 9, 8, 7]]
    )
    assert thresholds[:3].tolist() == [-np.inf, 2.5, 2.5]
    assert acceptance[[0, 2]].tolist() == [0, 0]
    assert thresholds[3] == 7.5


def test_the_target_may_be_a_schedule():
    bar = evo.minimal_criterion(optax.linear_schedule(1.0, 0.25, 3))
    *_, acceptance = judged(bar, [[1.0, 2.0, 3.0, 4.0]] * 5)
    assert acceptance.tolist() == [1.0, 0.75, 0.5, 0.25, 0.25]


def test_rejected_individuals_have_no_children():
    step = evo.chain(
        evo.minimal_criterion(0.5),
        evo.breeder(evo.truncation(8), evo.clone, evo.unchanged, num_elites=0),
    )
    given = evo.Population(jnp.arange(8.0), -jnp.arange(8.0))
    bred, _ = step.update(KEY, given, step.init(given))
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

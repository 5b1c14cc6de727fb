"""Single faults that a suite ought to notice, for `plant_faults.py`."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A change to one file, and the tests that are likely to notice it."""

    name: str
    kind: str
    file: str
    old: str  # stands once in the file
    new: str
    tests: tuple[str, ...]  # what follows `pytest`, in turn until a test fails


FAULTS = [
    Fault(
        "conflict-tolerance",
        "dropped epsilon",
        "neat_optax/conflict/_detect.py",
        "return conflict_value >= threshold - COSINE_ERROR",
        "return conflict_value >= threshold",
        ("tests/conflict/test_gate.py tests/conflict/test_detect.py",),
    ),
    Fault(
        "adapt-alpha-decays",
        "swapped argument",
        "neat_optax/conflict/_correct.py",
        "noise=_average(state.noise, contest.noise, fast)",
        "noise=_average(state.noise, contest.noise, slow)",
        (
            "tests/conflict/test_correct.py",
            "tests/conflict/test_rules.py tests/compat/test_configs.py",
        ),
    ),
    Fault(
        "adapt-correction-stale",
        "stale state",
        "neat_optax/conflict/_correct.py",
        "return contest.scaled(factor), AdaptCorrectionState(usual)",
        "return contest.scaled(factor), state",
        (
            "tests/conflict/test_correct.py",
            "tests/conflict/test_rules.py tests/compat/test_configs.py",
        ),
    ),
    Fault(
        "infinite-opponent",
        "dropped guard",
        "neat_optax/conflict/_alignment.py",
        "return positive & (self.gg < jnp.inf) & (self.oo < jnp.inf)",
        "return positive & (self.gg < jnp.inf)",
        (
            "tests/conflict/test_alignment.py",
            "tests/conflict/test_contest.py tests/conflict/test_passes.py",
        ),
    ),
    Fault(
        "warmup-late",
        "off by one",
        "neat_optax/conflict/_gate.py",
        "contest.scaled(contest.step >= value_at(steps, contest.step))",
        "contest.scaled(contest.step > value_at(steps, contest.step))",
        ("tests/conflict/test_gate.py",),
    ),
    Fault(
        "l1-without-rate",
        "dropped factor",
        "neat_optax/compat/_build.py",
        "soft_threshold(config.learning_rate * config.sparsity_l1)",
        "soft_threshold(config.sparsity_l1)",
        ("tests/compat",),
    ),
    Fault(
        "config-watch-decay",
        "swapped argument",
        "neat_optax/compat/_build.py",
        "watch_decay=config.opponent_ema_decay if",
        "watch_decay=config.gradient_noise_decay if",
        ("tests/compat",),
    ),
    Fault(
        "nnqp-no-interior",
        "off by one",
        "neat_optax/aggregators/_solvers/_nnqp.py",
        "return unsolved & (attempt < len(methods))",
        "return unsolved & (attempt < len(methods) - 1)",
        (
            "tests/aggregators/solvers/test_nnqp.py",
            "tests/aggregators/test_upgrad.py",
        ),
    ),
    Fault(
        "simplex-absent-idle",
        "dropped mask",
        "neat_optax/aggregators/_solvers/_simplex.py",
        "idle = present & ~rows.active",
        "idle = ~rows.active",
        (
            "tests/aggregators/solvers/test_simplex.py",
            "tests/aggregators/test_mgda.py",
        ),
    ),
    Fault(
        "spectrum-tolerance",
        "dropped epsilon",
        "neat_optax/aggregators/_solvers/_spectrum.py",
        "return values, vectors, values > tolerance",
        "return values, vectors, values > 0 * tolerance",
        (
            "tests/aggregators/solvers/test_spectrum.py",
            "tests/aggregators/test_imtl_g.py tests/aggregators/test_conflict_free.py",
        ),
    ),
    Fault(
        "bargain-zero-row",
        "dropped mask",
        "neat_optax/aggregators/_solvers/_bargaining.py",
        "enough = jnp.all(gains >= -rounding * terms)",
        "enough = jnp.all(gains > rounding * terms)",
        (
            "tests/aggregators/solvers/test_bargaining.py",
            "tests/aggregators/test_fairgrad.py",
        ),
    ),
    Fault(
        "pcgrad-stale-key",
        "stale state",
        "neat_optax/aggregators/_pcgrad.py",
        "return as_decision(pcgrad_weights(players.gramian, orders)), later",
        "return as_decision(pcgrad_weights(players.gramian, orders)), state",
        ("tests/aggregators/test_pcgrad.py",),
    ),
    Fault(
        "cagrad-schedule-late",
        "schedule at step + 1",
        "neat_optax/aggregators/_cagrad.py",
        "players.gramian, value_at(c, players.step), players.present",
        "players.gramian, value_at(c, players.step + 1), players.present",
        ("tests/aggregators/test_cagrad.py",),
    ),
    Fault(
        "m-config-shared-buffer",
        "shared buffer",
        "neat_optax/aggregators/_m_config.py",
        "second_moment=jax.tree.map(jnp.real, zeros),",
        "second_moment=zeros,",
        (
            "tests/test_player_contract.py",
            "tests/aggregators/test_m_config.py",
        ),
    ),
    Fault(
        "gradvac-decay-swapped",
        "swapped argument",
        "neat_optax/aggregators/_gradvac.py",
        "new_aim = decay * aim + (1 - decay) * cosine",
        "new_aim = (1 - decay) * aim + decay * cosine",
        ("tests/aggregators/test_gradvac.py",),
    ),
    Fault(
        "trimmed-low-precision",
        "missing cast",
        "neat_optax/aggregators/_trimmed_mean.py",
        "return jnp.sum(jnp.where(inner, ordered, 0), axis=0, dtype=wide) * share",
        "return jnp.sum(jnp.where(inner, ordered, 0), axis=0) * share",
        ("tests/aggregators/test_trimmed_mean.py",),
    ),
    Fault(
        "leaf-remembers-nan",
        "NaN remembered",
        "neat_optax/conflict/_plan.py",
        "return jnp.where(finite, new, old)",
        "return new",
        (
            "tests/test_contract.py",
            "tests/conflict/test_passes.py tests/conflict/test_contest.py",
        ),
    ),
    Fault(
        "rules-state-cast",
        "missing cast",
        "neat_optax/conflict/_decide.py",
        "return decided, _tree.cast_like(new_state, state)",
        "return decided, new_state",
        (
            "tests/test_contract.py",
            "tests/conflict/test_decide.py",
        ),
    ),
    Fault(
        "absent-in-averages",
        "dropped mask",
        "neat_optax/players/_mean_form.py",
        "share_state(states, present.astype(jnp.float32), state)",
        "share_state(states, jnp.ones_like(present, jnp.float32), state)",
        (
            "tests/players/test_contest.py",
            "tests/players/test_neat.py",
        ),
    ),
    Fault(
        "coordinates-missing-cast",
        "missing cast",
        "neat_optax/aggregators/_coordinates.py",
        "joined.append(part.astype(leaf.dtype))",
        "joined.append(part)",
        (
            "tests/aggregators/test_trimmed_mean.py",
            "tests/test_player_contract_types.py",
        ),
    ),
    Fault(
        "per-player-remembers-nan",
        "NaN remembered",
        "neat_optax/aggregators/_per_player.py",
        "select_players(keep, new_state, state),",
        "new_state,",
        (
            "tests/test_player_contract.py",
            "tests/aggregators/test_per_player.py",
        ),
    ),
    Fault(
        "per-player-extra-args",
        "extra arguments not forwarded",
        "neat_optax/aggregators/_per_player.py",
        "return inner.update(gradient, own, params, **shared)",
        "return inner.update(gradient, own, params)",
        ("tests/aggregators/test_per_player.py",),
    ),
    Fault(
        "gramian-out-sharding",
        "missing sharding",
        "neat_optax/_stacked.py",
        "out_sharding=_explicit(a, ()),",
        "",
        (
            "tests/test_player_contract_sharding.py",
            "tests/aggregators/test_aggregate_sharding.py tests/test_stacked.py",
        ),
    ),
    Fault(
        "recorded-shared-buffer",
        "shared buffer",
        "neat_optax/_recording.py",
        "return _tree.own(Recorded(size, latest, latest))",
        "return Recorded(size, latest, latest)",
        ("tests/test_player_contract.py tests/players/test_update_conflict.py",),
    ),
    Fault(
        "all-kept-unsharded",
        "missing sharding",
        "neat_optax/sparsity/_masks.py",
        "return jax.tree.map(lambda p: jnp.ones_like(p, dtype=bool), params)",
        "return jax.tree.map(lambda p: jnp.ones(p.shape, dtype=bool), params)",
        (
            "tests/test_contract_sharding.py",
            "tests/sparsity/test_sharding.py",
        ),
    ),
    Fault(
        "masked-updates-rounded",
        "missing cast",
        "neat_optax/sparsity/_masks.py",
        "dtype = jnp.result_type(update, weight)  # in which -weight is exact",
        "dtype = update.dtype",
        (
            "tests/sparsity/test_masks.py tests/sparsity/test_fixed.py",
            "tests/sparsity/test_prune.py",
        ),
    ),
    Fault(
        "selection-revives-dead",
        "dropped mask",
        "neat_optax/_largest.py",
        "equal = [(key == threshold) & (key > 0) for key in keys]",
        "equal = [key == threshold for key in keys]",
        ("tests/test_largest.py",),
    ),
    Fault(
        "regrowth-resets-all",
        "dropped mask",
        "neat_optax/sparsity/_regrow.py",
        "grown = jax.tree.map(lambda new, old: new & ~old, mask, old_mask)",
        "grown = jax.tree.map(lambda new, old: new, mask, old_mask)",
        ("tests/sparsity/test_regrow.py",),
    ),
    Fault(
        "cadence-end",
        "< for <=",
        "neat_optax/_schedules.py",
        "due & (step <= self.end)",
        "due & (step < self.end)",
        ("tests/test_schedules.py",),
    ),
    Fault(
        "feedback-dead-band",
        "dropped epsilon",
        "neat_optax/sparsity/_feedback.py",
        "moved = jnp.abs(excess) > tolerance + ROUNDING",
        "moved = jnp.abs(excess) > tolerance",
        (
            "tests/sparsity/test_feedback.py",
            "tests/sparsity/test_neataptic.py",
        ),
    ),
    Fault(
        "stabilise-remembers-nan",
        "NaN remembered",
        "neat_optax/plasticity/_stabilize.py",
        "return jnp.where(jnp.isfinite(rms), gain, old).astype(jnp.float32)",
        "return gain.astype(jnp.float32)",
        (
            "tests/test_contract_plasticity.py",
            "tests/plasticity/test_stabilize.py",
        ),
    ),
    Fault(
        "clip-untraceable",
        "traced number made a Python one",
        "neat_optax/plasticity/_stabilize.py",
        "longest = value_at(max_norm, state.step)",
        "longest = float(value_at(max_norm, state.step))",
        (
            "tests/test_contract_wrappers.py",
            "tests/plasticity/test_stabilize.py",
        ),
    ),
    Fault(
        "rate-extra-args",
        "extra arguments not forwarded",
        "neat_optax/plasticity/_rates.py",
        "updates, inner_state = _call(inner, updates, state.inner, *given)",
        "updates, inner_state = _call(inner, updates, state.inner, params, {})",
        (
            "tests/plasticity/test_rates.py",
            "tests/test_contract_plasticity.py",
        ),
    ),
    Fault(
        "dormancy-sums-stay",
        "stale state",
        "neat_optax/continual/_dormancy.py",
        "sums = tuple(jnp.where(due, 0, one) for one in sums)",
        "sums = tuple(sums)",
        (
            "tests/continual/test_dormancy.py",
            "tests/continual/test_dormancy_transforms.py",
        ),
    ),
    Fault(
        "shrink-same-noise",
        "shared randomness",
        "neat_optax/continual/_shrink.py",
        "fresh = _fresh(init, jax.random.fold_in(key, leaf), weight, spreads[leaf])",
        "fresh = _fresh(init, key, weight, spreads[leaf])",
        ("tests/continual/test_shrink.py",),
    ),
    Fault(
        "line-per-leaf",
        "shared randomness",
        "neat_optax/evolution/_crossover.py",
        "number = jax.random.uniform(draws.shared, first.shape[:1])",
        "number = jax.random.uniform(draws.own, first.shape[:1])",
        (
            "tests/evolution/test_variation.py",
            "tests/evolution/test_breeding.py",
        ),
    ),
    Fault(
        "snes-missing-cast",
        "missing cast",
        "neat_optax/evolution/_distributions.py",
        "(share * moment).astype(jnp.result_type(log))",
        "(share * moment)",
        ("tests/evolution/test_distributions.py",),
    ),
    Fault(
        "checkpoint-of-another",
        "dropped check",
        "neat_optax/evolution/_checkpoint.py",
        "        if known.get(name) != value:",
        '        if name == "key" and known.get(name) != value:',
        ("tests/evolution/test_checkpoint.py",),
    ),
    Fault(
        "config-file-boolean",
        "dropped check",
        "neat_optax/experiments/commands/config_file.py",
        "(kind is float and type(value) is int)",
        "(kind is float and isinstance(value, int))",
        ("tests/experiments/commands/test_config_file.py",),
    ),
    Fault(
        "loop-same-batches",
        "swapped argument",
        "neat_optax/experiments/runs/loop.py",
        "key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), seed), number)",
        "key = jax.random.fold_in(jax.random.key(1), seed)",
        (
            "tests/experiments/runs/test_loop.py",
            "tests/experiments/runs/test_experiment.py",
        ),
    ),
]

import pytest

from neat_optax.experiments.candidates.pruning_methods import METHODS, Rules
from neat_optax.experiments.candidates.prunings import SWEEP, group, lineup, parse


def test_a_pruning_is_written_as_it_is_read():
    for text in ("cubic:0.9", "set:0", "2:4", "1:1"):
        (pruning,) = parse(text)
        assert pruning.name == text
    assert parse("cubic:0.90")[0].name == "cubic:0.9"
    assert parse("2:4")[0].amount == (2, 4)


def test_a_method_alone_is_a_sweep():
    assert [pruning.amount for pruning in parse("ste")] == list(SWEEP)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lamp:0.9", "`prune` must be one of once, linear, .*, 2:4, got lamp"),
        ("n:m", r"`prune` must be one of .* 2:4, got n\."),
        ("", "`prune` must be one of"),
        ("cubc:0.9", r"got cubc; did you mean cubic\?"),
        ("cubic:1", r"`prune` must have a sparsity in \[0, 1\), got cubic:1"),
        ("cubic:-0.1", "must have a sparsity"),
        ("cubic:nan", "must have a sparsity"),
        ("cubic:", "must have a sparsity"),
        ("cubic:much", "must have a sparsity"),
        ("4:2", "`prune` must be n:m with 1 <= n <= m, got 4:2"),
        ("0:4", "`prune` must be n:m"),
        ("2:4:8", "`prune` must be one of"),
    ],
)
def test_a_bad_pruning_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_dense_training_comes_first():
    found = lineup(("2:4", "cubic:0.9"), Rules())
    assert found.default == ("dense", "2:4", "cubic:0.9")
    assert found.candidates["2:4"].control == "dense"
    assert found.rates("dense", {}) == found.rates("2:4", {})


def test_each_pruning_is_given_once():
    with pytest.raises(ValueError, match=r"each pruning once, got cubic:0\.9 twice"):
        lineup(("cubic", "cubic:0.90"), Rules())


@pytest.mark.parametrize(
    ("text", "rules", "message"),
    [
        ("ste:0.9", Rules(score="snip"), "`score` must be magnitude or random for ste"),
        ("2:4", Rules(granularity="units"), "`granularity` must be entries for 2:4"),
        ("rigl:0.9", Rules(granularity="units"), "must be entries for rigl:0.9, got"),
    ],
)
def test_what_a_method_cannot_do_is_refused(text, rules, message):
    with pytest.raises(ValueError, match=message):
        lineup((text,), rules)


def test_methods_are_found_by_name():
    assert group("2:4") == "n:m"
    assert {group(f"{name}:0.9") for name in METHODS if name != "n:m"} < set(METHODS)


def test_what_was_done_is_said():
    said = lineup(("once",), Rules()).did({"at_end": {"sparsity": 0.90012}})
    assert said == "ends with 90.01 % of its kernels zero"

import builtins
import json
import sys

import numpy as np
import pytest

import neat_optax as neo
from advice.made_measures import make_measures
from neat_optax import plot
from neat_optax._intervals import Interval
from neat_optax.advice import Diagnosis, Trial, recommend

pytest.importorskip("matplotlib")
PAIR = np.array([[1.0, -0.4], [-0.4, 1.0]])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def made(**given):
    measures = make_measures(3, **given)
    cosines = np.zeros((5, 3, 3)) + np.eye(3)
    return Diagnosis(measures, recommend(measures), cosines, np.ones((5, 3)))


def test_conflict_writes_each_cosine_and_takes_the_mean_over_steps():
    figure = plot.conflict(np.stack([PAIR, PAIR - 0.2]), ["a", "b"])
    axes = figure.axes[0]
    assert texts(axes) == ["0.90", "-0.50", "-0.50", "0.90"]
    assert [x.get_text() for x in axes.get_xticklabels()] == ["a", "b"]


def test_cosines_are_a_line_for_each_pair_or_their_range():
    series = np.tile(np.eye(3), (5, 1, 1))
    axes = plot.cosines(series, list("abc")).axes[0]
    labels = [line.get_label() for line in axes.lines if line.get_label()[0] != "_"]
    assert labels == ["a and b", "a and c", "b and c"]
    many = plot.cosines(np.tile(np.eye(20), (5, 1, 1))).axes[0]
    assert len(many.lines) == 2  # zero and the median
    assert len(many.collections) == 3


def test_cosines_are_means_over_a_window_in_its_middle():
    series = np.eye(2) + np.array([0.0, 0.3, 0.9, 0.0])[:, None, None] * (1 - np.eye(2))
    axes = plot.cosines(series, window=3).axes[0]
    _, pair = axes.lines
    np.testing.assert_allclose(pair.get_xdata(), [1.0, 2.0])
    np.testing.assert_allclose(pair.get_ydata(), [0.4, 0.4])


def test_the_legend_of_cosines_is_beside_the_curves():
    figure = plot.cosines(np.tile(np.eye(3), (5, 1, 1)))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert axes.get_window_extent().x1 <= legend.x0
    assert legend.x1 <= figure.bbox.x1


def test_norms_leave_out_what_has_no_length():
    axes = plot.norms({"w": [1.0, 10.0], "b": [0.0, 0.0]}, ["a", "b"]).axes[0]
    first, _ = axes.lines
    np.testing.assert_array_equal(first.get_xdata(), [1.0, np.nan])
    assert axes.get_xscale() == "log"


def test_a_front_is_below_the_paths_that_end_in_dots():
    path = np.array([[3.0, 3.0], [2.0, 1.0]])
    axes = plot.front({"mean": path}, [[2.0, 0.0], [0.0, 2.0]]).axes[0]
    known, way, end = axes.lines
    np.testing.assert_array_equal(known.get_xdata(), [0.0, 2.0])
    np.testing.assert_array_equal(way.get_ydata(), path[:, 1])
    assert (end.get_xdata()[0], end.get_ydata()[0]) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda: plot.conflict(np.ones((2, 3))), "shape \\[P, P\\], got \\(2, 3\\)"),
        (lambda: plot.cosines(PAIR), "shape \\[T, P, P\\], got \\(2, 2\\)"),
        (lambda: plot.cosines([PAIR], window=0), "`window` must be an integer >= 1"),
        (lambda: plot.cosines([PAIR], window=2), "number of steps, 1, got 2"),
        (lambda: plot.conflict(PAIR, ["a"]), "each of the 2 players, got 1"),
        (lambda: plot.norms({}), "of at least one array"),
        (lambda: plot.front({"a": np.ones((4, 3))}), "of two players"),
        (lambda: plot.diagnostics({}), "at least one measure, got none"),
    ],
)
def test_other_shapes_are_refused(draw, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw()


def test_a_diagnosis_has_a_panel_for_everything():
    figure = plot.diagnosis(made())
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [
        "cosines, mean over steps",
        "cosines over the probe",
        "conflict beside its noise",
        "lengths by array",
        "losses along the probe, means of 5 steps",
        "cost of a step",
    ]


def test_losses_of_a_probe_are_means_over_a_window():
    found = made()
    jumps = np.tile([[0.5], [1.5]], (15, 3)) * [1.0, 2.0, 3.0]
    axes = plot.diagnosis(found._replace(losses=jumps)).axes[4]
    first, second, _ = axes.lines
    np.testing.assert_allclose(first.get_ydata(), np.ones(21))
    np.testing.assert_allclose(second.get_ydata(), 2 * np.ones(21))
    assert first.get_xdata()[0] == 4.5


def test_a_trial_takes_the_place_of_the_costs():
    blank, down = np.ones((2, 3)), -np.ones(3)
    won = Interval(-1.0, -1.2, -0.8)
    trial = {
        "mean": Trial(blank, 1.0, -1.0, Interval(0.0, 0.0, 0.0), down, 0 * down),
        "upgrad": Trial(blank, 1.0, -2.0, won, 2 * down, down),
    }
    found = made(trial=trial, norm_ratio=9.0)
    axes = plot.diagnosis(found).axes[5]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["upgrad", "mean"]
    assert json.loads(found.to_json())["measures"]["trial"]["upgrad"]["score"] == -2.0
    assert str(found).startswith("Recommendation: upgrad")


def test_diagnostics_have_a_panel_for_each_kind():
    found = {
        "conflict": neo.Diagnostic(0.1, 0.2, {"w": 0.1, "b": 0.3}),
        "weights": {"latest": [0.5, 0.5], "mean": {"a": 0.4, "b": 0.6}, "per_leaf": []},
        "cosines": neo.Diagnostic(PAIR, PAIR, [PAIR]),
    }
    titles = [axes.get_title() for axes in plot.diagnostics(found).axes]
    drawn = ["means over the steps", "weights", "cosines", "by array, over the largest"]
    assert titles == [*drawn, "", "", ""]  # no panel, no panel, the bar of colors


def test_a_notebook_shows_a_picture_before_a_backend_is_chosen():
    assert plot.conflict(PAIR)._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    usual = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.delitem(sys.modules, "neat_optax.plot._picture", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"`plot.conflict` needs the extra \"train\""):
        plot.conflict(PAIR)

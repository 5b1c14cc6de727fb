import numpy as np

from experiments.made_results import make_result
from neat_optax.experiments.reports import plasticity_pictures


def make_plastic_result():
    result = make_result()
    made = {"mean": 1.0, "std": 0.3, "median": 0.9, "min": 0.2, "max": 2.0}
    curves = result["optimizers"]["neat"]["curves"]
    for key, value in made.items():
        name = "plasticity" if key == "mean" else f"plasticity_{key}"
        curves[name] = np.full((3, 2), value).tolist()
    curves["gradient_norm"] = np.full((3, 2), 4.0).tolist()
    return result


def test_those_with_coefficients_are_drawn(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        plasticity_pictures,
        "write_with",
        lambda file, save: figures.append((file, save.__closure__)),
    )
    result = make_plastic_result()
    assert plasticity_pictures.candidates(result) == ["neat"]
    plasticity_pictures.draw(result, tmp_path / "plasticity.png")
    ((file, closure),) = figures
    figure = closure[0].cell_contents
    assert file == tmp_path / "plasticity.png"
    coefficients, shares, norms = figure.axes
    lines = {line.get_label(): line.get_ydata()[0] for line in coefficients.get_lines()}
    assert lines == {"mean": 1.0, "median": 0.9}
    band = coefficients.collections[1].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [0.7, 1.3])
    assert not shares.get_lines()
    assert norms.get_yscale() == "log"


def test_a_run_without_plasticity_has_none():
    assert plasticity_pictures.candidates(make_result()) == []

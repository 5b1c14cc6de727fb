import numpy as np
import pytest

from neat_optax.experiments.benchmarks import continual_pictures
from neat_optax.experiments.benchmarks.continual import CONTROLS, SCORE


def made(names):
    curves = dict.fromkeys(continual_pictures.PANELS, np.linspace(0, 1, 10).tolist())
    methods = {name: {"mean": i / 100, "curves": curves} for i, name in names}
    study = {
        "methods": methods,
        "controls": list(CONTROLS),
        "score": SCORE._asdict(),
        "options": {"num_epochs": 40},
    }
    return {"studies": {continual_pictures.STUDY: study}}


RESULT = made(enumerate([*CONTROLS, *"abcdef"]))


def test_the_best_are_drawn_beside_the_controls():
    study = RESULT["studies"][continual_pictures.STUDY]
    assert continual_pictures.selected(study) == [*CONTROLS, *"fedc"]


def test_neighboring_tasks_are_averaged():
    smooth = continual_pictures._smooth(np.array([0.0, 1, 2, 3, 10]))
    np.testing.assert_allclose(smooth, [1, 1.5, 3.2, 4, 5])


@pytest.mark.slow
def test_a_picture_is_drawn(tmp_path):
    continual_pictures.draw(RESULT, tmp_path)
    (picture,) = tmp_path.iterdir()
    assert picture.stat().st_size < 150_000

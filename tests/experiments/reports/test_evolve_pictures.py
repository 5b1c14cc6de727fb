import numpy as np
import pytest
from PIL import Image

from neat_optax.experiments.reports import evolve_pictures
from neat_optax.experiments.runs import cartpole


def make_result(**changes):
    history = {
        "best": [-3.0, -2.0, -1.0],
        "mean": [-5.0, float("nan"), -2.0],
        "acceptance": [0.5, 0.25, 0.5],
        "diversity": [1.0, 0.8, 0.6],
    }
    runs = [
        {"seed": 0, "history": history | changes},
        {"seed": 1, "history": {name: x[:2] for name, x in history.items()} | changes},
    ]
    return {"config": {"task": "cartpole"}, "runs": runs}


def drawn(result, tmp_path):
    evolve_pictures.draw(result, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        return image.size


def test_picture_has_a_panel_for_fitness_acceptance_and_diversity(tmp_path):
    """Seeds that took fewer generations have shorter lines."""
    assert drawn(make_result(), tmp_path) == pytest.approx((1656, 504), abs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.parametrize("unknown", [[], [None] * 3, [float("nan")] * 3])
def test_a_panel_without_numbers_is_left_out(unknown, tmp_path):
    assert drawn(make_result(acceptance=unknown), tmp_path) == pytest.approx(
        (1104, 504), abs=1
    )


def test_a_rejected_generation_is_a_gap_and_no_crash(tmp_path):
    mean = [float("-inf"), None, -1.0]
    assert drawn(make_result(mean=mean), tmp_path) == pytest.approx((1656, 504), abs=1)


def test_an_older_picture_stays_whole_where_drawing_fails(tmp_path, monkeypatch):
    path = tmp_path / "curves.png"
    evolve_pictures.draw(make_result(), path)
    before = path.read_bytes()

    def broken(self, file, **kwargs):
        del self, kwargs
        file.write_bytes(b"half a pict")
        raise OSError("no space left")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", broken)
    with pytest.raises(OSError, match="no space"):
        evolve_pictures.draw(make_result(), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("steps", "frames", "milliseconds"),
    [(500, 167, 60), (100, 101, 20), (1, 2, 20)],
)
def test_animation_is_small_and_in_real_time(steps, frames, milliseconds, tmp_path):
    states = swinging(steps)
    evolve_pictures.animate(states, tmp_path / "pole.gif")
    assert (tmp_path / "pole.gif").stat().st_size < 300_000
    with Image.open(tmp_path / "pole.gif") as image:
        assert image.format == "GIF"
        assert image.n_frames == frames
        assert image.info["duration"] == milliseconds
    assert [file.name for file in tmp_path.iterdir()] == ["pole.gif"]


def swinging(steps):
    time = np.arange(steps + 1)
    states = np.zeros((steps + 1, 4))
    states[:, 0] = 2 * np.sin(time / 40)
    states[:, 2] = cartpole.MAX_ANGLE * np.cos(time / 17)
    return states


@pytest.mark.parametrize(
    ("state", "column", "row"),
    [((0, 0), 150, 50), ((1.2, 0), 225, 50), ((0, 0.2), 157, 60), ((0, -0.2), 143, 60)],
)
def test_the_pole_stands_where_the_state_says(state, column, row, tmp_path):
    """Position 1.2 of 2.4 is half-way to the right edge; angles go to the right."""
    position, angle = state
    states = [[position, 0, angle, 0]] * 2
    evolve_pictures.animate(states, tmp_path / "pole.gif")
    with Image.open(tmp_path / "pole.gif") as image:
        pixel = image.convert("RGB").getpixel((column, row))
    np.testing.assert_allclose(pixel, (255, 127, 14), atol=8)


def test_fewer_frames_can_be_asked_for(tmp_path):
    evolve_pictures.animate(swinging(99), tmp_path / "pole.gif", num_frames=10)
    with Image.open(tmp_path / "pole.gif") as image:
        assert image.n_frames == 10
        assert image.info["duration"] == 200

"""What a person sees of a search: its curves, and a pole that moves."""

import pathlib
from typing import Any

import matplotlib.figure
import matplotlib.lines
import numpy as np
from PIL import Image, ImageDraw

from neat_optax.experiments.runs import cartpole
from neat_optax.experiments.runs.writing import write_with

NUM_FRAMES = 250
"""The most pictures of an animation."""
_SHARE = "share accepted"
_PANELS = (
    ("fitness: best, and mean (dashed)", (("best", "-"), ("mean", "--"))),
    (_SHARE, (("acceptance", "-"),)),
    ("diversity", (("diversity", "-"),)),
)
"""The label of each panel, and its measures with their lines."""
_SIZE = (300, 130)
_GROUND = 105  # where the cart stands, in pixels from above
_FINE = 4  # as many times larger are frames drawn
_SCALE = _SIZE[0] / (2 * cartpole.MAX_POSITION)  # pixels for a metre
_COLORS = {"cart": "#1f77b4", "pole": "#ff7f0e", "ground": "#7f7f7f", "text": "black"}


def draw(result: dict[str, Any], path: pathlib.Path) -> None:
    """Saves fitness, acceptance and diversity over generations, a color for each seed.

    Generation 0 is the first. A panel is left out where no run has numbers for it.

    Args:
      result: as `neat-optax evolve` writes it: `config` with `task`, and `runs`, a list
        of dictionaries with `seed` and `history`. A history has a list with one number
        for each generation under `best`, `mean`, `acceptance` and `diversity`; any of
        them may be missing, and None and nan are gaps.
      path: of the PNG file; whoever reads it sees all of it or nothing.
    """
    runs = result["runs"]
    panels = [
        panel for panel in _PANELS if any(_is_known(run, panel[1]) for run in runs)
    ]
    figure = matplotlib.figure.Figure(
        figsize=(4.6 * len(panels), 4.2), layout="constrained"
    )
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, lines) in zip(grid, panels, strict=True):
        for number, run in enumerate(runs):
            _draw_run(axes, run, lines, f"C{number}")
        axes.set_xlabel("generation")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if label == _SHARE:
            axes.set_ylim(-0.02, 1.02)
    if len(runs) > 1:
        handles = [_key(run, number) for number, run in enumerate(runs)]
        columns = min(len(runs), 3 * len(panels))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    figure.suptitle(result["config"]["task"])
    write_with(path, lambda file: figure.savefig(file, dpi=120, format="png"))


def _key(run: dict[str, Any], number: int) -> Any:
    """What the legend shows of a seed."""
    label = f"seed {run['seed']}"
    return matplotlib.lines.Line2D([], [], color=f"C{number}", label=label)


def _is_known(run: dict[str, Any], lines: Any) -> bool:
    return any(np.isfinite(_values(run, key)).any() for key, _ in lines)


def _values(run: dict[str, Any], key: str) -> np.ndarray:
    return np.asarray(run["history"].get(key, ()), float)


def _draw_run(axes: Any, run: dict[str, Any], lines: Any, color: str) -> None:
    for key, style in lines:
        values = _values(run, key)
        finite = np.where(np.isfinite(values), values, np.nan)
        mark = "o" if len(values) == 1 else None  # which is no line
        fill = "full" if style == "-" else "none"
        axes.plot(finite, style, color=color, marker=mark, fillstyle=fill)


def animate(states: Any, path: pathlib.Path, num_frames: int = NUM_FRAMES) -> None:
    """Saves the cart and the pole of one episode as an animated GIF, in real time.

    Args:
      states: an array [steps + 1, 4], as `cartpole.record` gives it, up to the end of
        the episode.
      path: of the GIF file; whoever reads it sees all of it or nothing.
      num_frames: the most pictures; of a longer episode, every second, third, ... state
        is shown.
    """
    states = np.asarray(states)
    every = -(-len(states) // num_frames)
    frames = [_frame(states[i], i) for i in range(0, len(states), every)]
    shown = round(1000 * cartpole.SECONDS * every)

    def save(file: Any):
        frames[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=shown,
            loop=0,
        )

    write_with(path, save)


def _frame(state: np.ndarray, number: int) -> Image.Image:
    """The picture of one state in few colors, drawn larger for smooth edges."""
    fine = Image.new("RGB", (_FINE * _SIZE[0], _FINE * _SIZE[1]), "white")
    _draw_pole(ImageDraw.Draw(fine), float(state[0]), float(state[2]))
    image = fine.reduce(_FINE)
    pen = ImageDraw.Draw(image)
    pen.text((6, _SIZE[1] - 16), f"step {number}", fill=_COLORS["text"])
    return image.quantize(32)


def _draw_pole(pen: Any, position: float, angle: float) -> None:
    """Ground, cart, pole and wheels."""
    x = _SIZE[0] / 2 + _SCALE * position
    reach = 2 * cartpole.HALF_LENGTH * _SCALE
    end = (x + reach * np.sin(angle), _GROUND - 12 - reach * np.cos(angle))
    wheels = [(x + side - 4, _GROUND - 8, x + side + 4, _GROUND) for side in (-11, 11)]
    pen.line(_fine(0, _GROUND, _SIZE[0], _GROUND), fill=_COLORS["ground"], width=_FINE)
    cart = _fine(x - 18, _GROUND - 18, x + 18, _GROUND - 4)
    pen.rectangle(cart, fill=_COLORS["cart"])
    pole = _fine(x, _GROUND - 12, *end)
    pen.line(pole, fill=_COLORS["pole"], width=5 * _FINE)
    for wheel in wheels:
        pen.ellipse(_fine(*wheel), fill=_COLORS["ground"])


def _fine(*pixels: float) -> list[float]:
    return [_FINE * pixel for pixel in pixels]

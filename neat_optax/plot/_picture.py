"""A figure that a notebook shows."""

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """What every picture is.

    Notebooks know how to show a figure only once `pyplot` has chosen a backend, which
    a cell with nothing but a picture never makes it do.
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()

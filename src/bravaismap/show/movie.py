"""The movie of a result: the probability maps of all classes beside the images, one frame at a time.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from bravaismap.conventions import PROBABILITY_CMAP, display_name
from bravaismap.show.axes import MOVIE_TEXT, draw_image, draw_maps, frame_of, leveled_picture, scale_bar, sized, stamp

__all__ = ["probability_frames"]


def probability_frames(
    result: xr.Dataset, images: Any = None, *, size: tuple[int, int] = (1280, 720)
) -> Iterator[NDArray[np.uint8]]:
    """Draw the movie of the probability maps of all classes, one frame at a time.

    Parameters
    ----------
    result : Dataset
        With ``probability`` (time, y, x, lattice).
    images : movie (time, y, x), optional
        Drawn beside the maps with the same contrast in all frames.
    size : (int, int)
        Width and height of a frame in px.

    Yields
    ------
    uint8 array, shape (height, width, 3)
    """
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    maps, picture, marks = _lay_out(figure, result, images)
    title = figure.suptitle(stamp(result, 0))
    sized(figure, MOVIE_TEXT)
    canvas.draw()  # computes the layout
    figure.set_layout_engine("none")
    animated: list[Artist] = [*maps, *([] if picture is None else [picture]), *marks, title]
    for artist in animated:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for index in range(result.sizes["time"]):
        values = np.asarray(result["probability"].isel(time=index).transpose("lattice", ...).values)
        for mesh, probability in zip(maps, values, strict=True):
            mesh.set_array(np.ma.masked_invalid(probability))
        if picture is not None:
            picture.set_data(_leveled(images, result, index).values)
        title.set_text(stamp(result, index))
        canvas.restore_region(background)
        for artist in animated:
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3].copy()


def _lay_out(figure: Figure, result: xr.Dataset, images: Any) -> tuple[list[QuadMesh], AxesImage | None, list[Artist]]:
    """Lay out a frame of the movie; return the maps, the image, and the scale bar."""
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows = 1 if len(names) <= 3 else 2
    columns = -(-len(names) // rows)
    left = 0 if images is None else 2
    grid = figure.add_gridspec(rows, columns + left)
    axes = [figure.add_subplot(grid[i // columns, left + i % columns]) for i in range(len(names))]
    blank = np.full((len(names), result.sizes["y"], result.sizes["x"]), np.nan)
    maps = draw_maps(np.array([axes]), result, blank, names, PROBABILITY_CMAP, 1.0, "probability")
    first, picture = axes[0], None
    if images is not None:
        first = figure.add_subplot(grid[:, :left])
        first.set_title("image")
        numbers = np.linspace(0, result.sizes["time"] - 1, 5).astype(int)
        sample = [_leveled(images, result, i).values for i in numbers]
        picture = draw_image(first, _leveled(images, result, 0), sample)
    for i, ax in enumerate(dict.fromkeys([*axes, first])):
        ax.set_anchor("C" if rows == 1 or i == len(names) else "S" if i < columns else "N")
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.spines[:].set_visible(False)
    return maps, picture, scale_bar(first, result)


def _leveled(images: Any, result: xr.Dataset, index: int) -> xr.DataArray:
    frame = frame_of(images, result, index)
    return frame.copy(data=leveled_picture(frame.values))

"""What a result shows of itself in a notebook: its phase table, the lines below it, and a small picture of its map."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import Final

import imageio.v3 as imageio
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import COLORS, NONE

__all__ = ["html_summary", "thumbnail"]

#: Side in px that the picture has at least: maps of few windows are enlarged by whole numbers.
_SIDE: Final = 160
_CELL: Final = "padding:2px 10px 2px 0;text-align:left;font-variant-numeric:tabular-nums"


def html_summary(result: xr.Dataset, rows: list[list[str]], notes: list[str]) -> str:
    """Return a phase table, given as rows of text, as HTML, with what else is to be seen at a glance.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases` or :func:`~bravaismap.classify`.
    rows : list of list of str
        The phase table, the header first.
    notes : list of str
        The lines below it.
    """
    head, *body = ["".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) for row in rows]
    table = f'<table><thead style="font-weight:bold"><tr>{head}</tr></thead>'
    table += "<tbody>" + "".join(f"<tr>{row}</tr>" for row in body) + "</tbody></table>"
    lines = "".join(f"<p>{escape(line)}</p>" for line in notes)
    picture = thumbnail(result)
    if not picture:
        return f"<div>{table}{lines}</div>"
    image = f'<img alt="map of the last frame" style="image-rendering:pixelated" src="{picture}">'
    return f'<div style="display:flex;gap:20px;align-items:center">{image}<div>{table}{lines}</div></div>'


def thumbnail(result: xr.Dataset) -> str:
    """Return the map of the last mapped frame as a picture, a ``data:`` address; empty where there is none.

    It shows the class of every pixel where the result holds pixels, else the most probable class of every window, in
    the colours of the classes; what is not mapped is white.
    """
    name, dims = ("phase", ("py", "px")) if "phase" in result else ("label", ("y", "x"))
    if not {name, "fraction"} <= set(result.variables) or set(result[name].dims) != {"time", *dims}:
        return ""
    done = np.flatnonzero(np.isfinite(result["fraction"].values).all(axis=-1))
    if not done.size:
        return ""
    label = np.asarray(result[name].isel(time=int(done[-1])).transpose(*dims).values)
    colors = [COLORS.get(str(lattice), COLORS[NONE]) for lattice in result["lattice"].values]
    picture = np.array([_rgb(color) for color in colors] + [(255, 255, 255)], np.uint8)[label]
    smaller = max(1, max(label.shape) // (2 * _SIDE))
    picture = picture[::smaller, ::smaller]
    larger = max(1, _SIDE // max(picture.shape[:2]))
    return _address(picture.repeat(larger, axis=0).repeat(larger, axis=1))


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _address(picture: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    imageio.imwrite(buffer, picture, extension=".png", plugin="pillow")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}"

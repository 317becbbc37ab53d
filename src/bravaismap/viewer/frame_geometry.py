"""Where windows and regions lie in a frame: which window was clicked, its edges, a region as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.errors import InputError
from bravaismap.show.edges import edges

__all__ = ["Region", "frame_at", "frame_extent", "parse_region", "window_at", "window_bounds", "windows_inside"]


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame, in the unit of the result."""

    y0: float
    y1: float
    x0: float
    x1: float

    @property
    def aspect(self) -> float:
        """Width over height."""
        return (self.x1 - self.x0) / (self.y1 - self.y0)

    def __str__(self) -> str:
        return f"{self.y0:.4g}:{self.y1:.4g},{self.x0:.4g}:{self.x1:.4g}"


def window_at(y: float, x: float, ys: Floats, xs: Floats, extent: Region) -> tuple[int, int] | None:
    """Return row and column of the window whose centre is nearest to a point, None for a point outside the frame.

    Parameters
    ----------
    y, x : float
        The point, in the unit of the centres.
    ys, xs : arrays
        Centres of the windows along y and x.
    extent : Region
        Edges of the frame.
    """
    if not (extent.y0 <= y <= extent.y1 and extent.x0 <= x <= extent.x1):
        return None
    return int(np.abs(ys - y).argmin()), int(np.abs(xs - x).argmin())


def frame_extent(card: dict[str, Any], ys: Floats, xs: Floats, pixel: float) -> Region:
    """Return the edges of a frame: the first window begins at its first pixel, whose centre need not lie at 0."""
    half = float(card["window"]) * pixel / 2
    top, left = float(ys[0]) - half, float(xs[0]) - half
    height, width = (float(side) * pixel for side in card["frame_size"])
    return Region(top, top + height, left, left + width)


def window_bounds(row: int, column: int, ys: Floats, xs: Floats, side: float, pixel: float) -> Region:
    """Return the outer edges of a window of `side` px; a pixel's centre lies at a whole number of pixels."""
    half = side * pixel / 2
    return Region(float(ys[row] - half), float(ys[row] + half), float(xs[column] - half), float(xs[column] + half))


def frame_at(time: float, times: Floats) -> int:
    """Return the number of the frame nearest in time."""
    return int(np.abs(np.asarray(times) - time).argmin())


def parse_region(text: str, ys: Floats, xs: Floats) -> Region | None:
    """Return the region that ``y0:y1,x0:x1`` means, None for an empty text; an end left out is that of the map.

    Raises
    ------
    InputError
        If it is no region, or no window has its centre in it.
    """
    if not text.strip():
        return None
    try:
        pairs = [[float(end) if end.strip() else None for end in part.split(":")] for part in text.split(",")]
        (y0, y1), (x0, x1) = pairs
    except ValueError:
        raise InputError(f"the region {text} was given; expected y0:y1,x0:x1, such as 0:5,0:10") from None
    outer_y, outer_x = edges(ys)[[0, -1]], edges(xs)[[0, -1]]
    ends = [
        float(outer if end is None else end)
        for end, outer in zip((y0, y1, x0, x1), (*outer_y, *outer_x), strict=True)
    ]  # fmt: skip
    region = Region(min(ends[:2]), max(ends[:2]), min(ends[2:]), max(ends[2:]))
    if not windows_inside(region, ys, xs).any():
        raise InputError(f"no window has its centre in the region {region}; draw or give a larger one")
    return region


def windows_inside(region: Region, ys: Floats, xs: Floats) -> NDArray[np.bool_]:
    """Return which windows (row, column) have their centre in a region."""
    rows, columns = (ys >= region.y0) & (ys <= region.y1), (xs >= region.x0) & (xs <= region.x1)
    return np.asarray(rows[:, None] & columns)

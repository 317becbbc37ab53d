"""The window grid: the origins and centres of the windows of a frame, which cover it up to its edges.

Windows of side `window` begin every `step` px from the top left corner. If the last one would leave a margin of the
frame uncovered, one more window is added that ends exactly at the edge, so that every pixel lies in a window. Only a
step larger than the window leaves gaps, between the windows, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.errors import InputError, warn

__all__ = [
    "SMALLEST_WINDOW",
    "WindowGrid",
    "cut_on_device",
    "cut_windows",
    "missing_share",
    "window_grid",
    "window_parts",
]


#: Side in px of the smallest window: four of the smallest spacings that can be measured.
SMALLEST_WINDOW = 16


@dataclass(frozen=True)
class WindowGrid:
    """A grid of windows over a frame.

    Attributes
    ----------
    window : int
        Side of a window in px.
    step : int
        Distance between windows in px; the last distance along an axis may be shorter.
    top, left : int arrays, shapes (ny,) and (nx,)
        First row of each row of windows, first column of each column of windows.
    """

    window: int
    step: int
    top: NDArray[np.intp]
    left: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of windows along y and x."""
        return len(self.top), len(self.left)

    @property
    def count(self) -> int:
        """Number of windows in a frame."""
        return len(self.top) * len(self.left)

    @property
    def centers(self) -> tuple[Floats, Floats]:
        """Positions (y, x) of the window centres in px, pixel centres lying at whole numbers."""
        middle = (self.window - 1) / 2
        return (self.top + middle).astype(np.float64), (self.left + middle).astype(np.float64)


def window_grid(shape: tuple[int, int], window: int, step: int, least: int = SMALLEST_WINDOW) -> WindowGrid:
    """Return the grid of windows over a frame.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the frame in px.
    window, step : int
        Side of a window and distance between windows in px.
    least : int
        Side in px of the smallest window that can be measured, which depends on the model.

    Raises
    ------
    InputError
        If the window does not fit into the frame or is smaller than `least`, or the step is not positive.

    Warns
    -----
    UserWarning
        If the step is larger than the window, so that pixels between the windows are left out.
    """
    if step < 1:
        raise InputError(f"a step of {step} px was given; expected at least 1")
    if min(shape) < least:
        size = f"{shape[0]} × {shape[1]} px"
        raise InputError(
            f"a frame of {size} was given; the smallest window of {least} px does not fit: take a larger image"
        )
    if window < least:
        raise InputError(f"a window of {window} px was given; expected at least {least}")
    if window > min(shape):
        raise InputError(
            f"the window of {window} × {window} px does not fit into the frame of {shape[0]} × {shape[1]} px; "
            f"give a window of at most {min(shape)} px"
        )
    if step > window and max(shape) > window:
        warn(f"a step of {step} px is larger than the window of {window} px: the pixels between windows are left out")
    return WindowGrid(window, step, _origins(shape[0], window, step), _origins(shape[1], window, step))


def cut_windows(frames: NDArray[Any], grid: WindowGrid) -> NDArray[Any]:
    """Return the windows of a frame (y, x), or of several (frames, y, x), row by row.

    Returns
    -------
    array, shape (frames · ny · nx, window, window)
    """
    views = np.lib.stride_tricks.sliding_window_view(frames, (grid.window, grid.window), axis=(-2, -1))
    return views[..., grid.top[:, None], grid.left, :, :].reshape(-1, grid.window, grid.window)


def cut_on_device(frames: Tensor, grid: WindowGrid) -> Tensor:
    """Return the windows of frames (frames, y, x) as :func:`cut_windows` does, on the device that the frames are on."""
    views = frames.unfold(1, grid.window, 1).unfold(2, grid.window, 1)
    top, left = (torch.from_numpy(at).to(frames.device) for at in (grid.top, grid.left))
    return views[:, top[:, None], left].flatten(0, 2)


def missing_share(missing: NDArray[np.bool_], grid: WindowGrid) -> NDArray[np.float64]:
    """Return which share of the pixels of each window of a frame is missing, row by row: an array (ny · nx,)."""
    if not missing.any():
        return np.zeros(grid.count)
    above = np.zeros((missing.shape[0] + 1, missing.shape[1] + 1))
    above[1:, 1:] = missing.cumsum(0, dtype=np.int64).cumsum(1)
    rows, columns = np.ix_(grid.top, grid.left)
    side = grid.window
    inside = above[rows + side, columns + side] - above[rows, columns + side]
    inside += above[rows, columns] - above[rows + side, columns]
    return np.asarray(inside.ravel() / side**2)


def window_parts(grid: WindowGrid, most: int) -> Iterator[WindowGrid]:
    """Yield a grid in parts of at most `most` windows, in the order of its windows."""
    rows, columns = grid.shape
    if columns <= most:
        together = most // columns
        yield from (replace(grid, top=grid.top[first : first + together]) for first in range(0, rows, together))
        return
    for row in range(rows):
        for first in range(0, columns, most):
            yield replace(grid, top=grid.top[row : row + 1], left=grid.left[first : first + most])


def _origins(length: int, window: int, step: int) -> NDArray[np.intp]:
    regular = np.arange(0, length - window + 1, step)
    last = length - window
    return regular if regular[-1] == last else np.append(regular, last)

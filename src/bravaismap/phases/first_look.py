"""First look: the window, and the pixels, that suit a movie, from the lattice of a few of its frames.

A window must hold enough cells for its class to be told, and no more than that, since a hole smaller than the window
is not seen. About ten cells along a side are both: at four the errors of the cell are as large as the strain that parts
neighbouring classes, at twenty the window spans two grains as often as one. A frame of few cells has windows of fewer,
so that there are several of them: one that is the whole frame shows one lattice, whatever its other grains are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.models import LatticeClassifier, chosen_model
from bravaismap.classify.settings import PAPER_WINDOW, STEPS_ALONG_WINDOW, Settings
from bravaismap.conventions import CLASSES, NONE
from bravaismap.movie import finite_pixels
from bravaismap.phases.frame_pixels import pixel_step_for
from bravaismap.windows import WindowGrid, window_grid

__all__ = [
    "CELLS_ALONG_WINDOW",
    "WINDOW_LIMITS",
    "WindowChoice",
    "cell_side",
    "choose_window",
    "grid_of",
    "settled",
    "step_for",
    "window_for",
    "window_line",
]

#: Primitive cells along the side of a window; by judgement, between what a class needs and what a hole allows.
CELLS_ALONG_WINDOW: Final = 10.0
#: Side of the smallest and the largest window that is chosen, px.
WINDOW_LIMITS: Final = (32, 512)

_FRAMES = 3  # looked at: the first, the middle one, the last
_LARGEST_LOOK = 1024  # px of the central square that is looked at; more would say the same, later
_SLENDER = 5.0  # of the longer primitive vector at least, along the side of a window
#: Share of the smaller side of the frame that a window has at most, as long as it holds so many cells along its side,
#: by judgement: a grain of a third of the frame is most of a window then, and six cells tell its class.
_LARGEST_SHARE, _FEWEST_CELLS = 0.6, 6.0


@dataclass(frozen=True)
class WindowChoice:
    """A window chosen for a movie, and why.

    Attributes
    ----------
    window, step : int
        Side of a window and distance between windows, px.
    reason : str
        Why, in one line.
    cell : float
        Side of a cell in px, see :func:`cell_side`.
    """

    window: int
    step: int
    reason: str
    cell: float


def window_for(basis: NDArray[np.floating], smallest_side: int) -> int:
    """Return the side in px of a window that suits a lattice.

    Parameters
    ----------
    basis : array, shape (2, 2)
        Reduced primitive vectors, rows, in px.
    smallest_side : int
        Smaller side of the frame, which no window exceeds, in px.
    """
    spacing = np.sqrt(abs(np.linalg.det(basis)))
    longer = np.linalg.norm(basis, axis=1).max()
    side = max(CELLS_ALONG_WINDOW * spacing, _SLENDER * longer)
    least = max(_FEWEST_CELLS * spacing, _FEWEST_CELLS / CELLS_ALONG_WINDOW * _SLENDER * longer)
    side = min(side, max(least, _LARGEST_SHARE * smallest_side))
    rounded = STEPS_ALONG_WINDOW * int(np.ceil(side / STEPS_ALONG_WINDOW))
    return min(int(np.clip(rounded, *WINDOW_LIMITS)), smallest_side)


def choose_window(movie: xr.DataArray, device: str = "cpu") -> WindowChoice:
    """Choose window and step of a movie from the lattice that its first, middle and last frame show.

    Parameters
    ----------
    movie : DataArray, dims (time, y, x)
    device : str
        Where the frames are measured.

    Returns
    -------
    WindowChoice
        Ten cells along a side, from 32 to 512 px and within the frame, with a step of an eighth; fewer, but at least
        six, where that is more than three fifths of the frame; 128 px where no frame shows a lattice. The same movie
        gives the same choice.
    """
    smallest_side = min(movie.sizes["y"], movie.sizes["x"])
    numbers = _looked_at(movie)
    shown = {number: basis for number in numbers if (basis := _lattice_of(movie, number, device)) is not None}
    if not shown:
        return _choice(
            min(PAPER_WINDOW, smallest_side), f"no lattice in {_frames(numbers, len(numbers))}", _unknown_cell(movie)
        )
    bases = list(shown.values())
    windows = [window_for(basis, smallest_side) for basis in bases]
    typical = int(np.argsort(windows, kind="stable")[(len(windows) - 1) // 2])
    sides = [np.sqrt(abs(np.linalg.det(basis))) for basis in bases]
    a, b = np.linalg.norm(bases[typical], axis=1)
    cells = windows[typical] / sides[typical]
    reason = f"{cells:.0f} cells of {a:.1f} × {b:.1f} px, found in {_frames(list(shown), len(numbers))}"
    return _choice(windows[typical], reason, float(sides[0]))


def cell_side(movie: xr.DataArray, device: str = "cpu") -> float:
    """Return the side in px of a square as large as the cell of a movie, by the first of its frames that shows one.

    Parameters
    ----------
    movie : DataArray, dims (time, y, x)
    device : str
        Where the frames are measured.

    Returns
    -------
    float
        Of the first, the middle or the last frame; of a cell for which 128 px are ten, where none shows a lattice.
    """
    bases = (_lattice_of(movie, number, device) for number in _looked_at(movie))
    basis = next((basis for basis in bases if basis is not None), None)
    return _unknown_cell(movie) if basis is None else float(np.sqrt(abs(np.linalg.det(basis))))


def settled(settings: Settings, movie: xr.DataArray, steps_along_window: int = STEPS_ALONG_WINDOW) -> Settings:
    """Return settings whose window and steps are numbers, those that suit a movie where they are left open.

    Parameters
    ----------
    settings : Settings
    movie : DataArray, dims (time, y, x)
    steps_along_window : int
        Steps along a window, where the step is left open.

    Returns
    -------
    Settings
        The step of the pixels stays open if they are not to be mapped, or cannot be by the model.
    """
    asked = settings.pixels and settings.pixel_step is None and chosen_model(settings).record.measures_cells
    if not isinstance(settings.window, int):
        choice = choose_window(movie, settings.device)
        settings, cell = replace(settings, window=choice.window, window_reason=choice.reason), choice.cell
    elif asked:
        cell = cell_side(movie, settings.device)
    if asked:
        settings = replace(settings, pixel_step=pixel_step_for(cell))
    assert isinstance(settings.window, int)
    step = step_for(settings.window, steps_along_window)
    return replace(settings, step=step) if settings.step is None else settings


def window_line(settings: Settings) -> str:
    """Return in one line which window and step were chosen, and why."""
    return f"window {settings.window} px, step {settings.step}: {settings.window_reason}"


def grid_of(settings: Settings, movie: xr.DataArray) -> WindowGrid:
    """Return the windows of a movie (time, y, x); those of the paper as long as none are chosen.

    Parameters
    ----------
    settings : Settings
        Of a model that takes windows of the size.
    movie : DataArray, dims (time, y, x)
    """
    window = PAPER_WINDOW if isinstance(settings.window, str) else settings.window
    step = step_for(window) if settings.step is None else settings.step
    least = chosen_model(settings).record.smallest_side
    return window_grid((movie.sizes["y"], movie.sizes["x"]), window, step, least)


def _looked_at(movie: xr.DataArray) -> list[int]:
    return sorted({0, len(movie) // 2, len(movie) - 1})[:_FRAMES]


def _unknown_cell(movie: xr.DataArray) -> float:
    return min(PAPER_WINDOW, movie.sizes["y"], movie.sizes["x"]) / CELLS_ALONG_WINDOW


def _lattice_of(movie: xr.DataArray, number: int, device: str) -> NDArray[np.float64] | None:
    """Return the basis (px) of the lattice of a frame, None where there is none."""
    height, width = (min(movie.sizes[dim], _LARGEST_LOOK) for dim in ("y", "x"))
    if min(height, width) < WINDOW_LIMITS[0]:
        return None
    top, left = (movie.sizes["y"] - height) // 2, (movie.sizes["x"] - width) // 2
    frame = np.asarray(movie.data[number : number + 1, top : top + height, left : left + width])
    answer = LatticeClassifier(device=device, whole=True).predict(finite_pixels(frame, nan="missing"), samples=0)
    lattice = answer.probability[0].argmax() != CLASSES.index(NONE)
    if not lattice or answer.cells is None or not np.isfinite(answer.cells.basis[0]).all():
        return None
    return np.asarray(answer.cells.basis[0], float)


def _choice(window: int, reason: str, cell: float) -> WindowChoice:
    return WindowChoice(window, step_for(window), reason, cell)


def step_for(window: int, steps_along_window: int = STEPS_ALONG_WINDOW) -> int:
    """Return the distance between windows in px that is taken where it is left open."""
    return max(1, window // steps_along_window)


def _frames(numbers: list[int], looked_at: int) -> str:
    """Return the names of some of the frames that were looked at."""
    if len(numbers) == 1:
        return "the image" if looked_at == 1 else f"frame {numbers[0]}"
    return f"frames {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"

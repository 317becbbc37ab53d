"""The grain map: the grains of a frame, pixel by pixel, in the colours of their orientations.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, CYCLIC_CMAP, NONE, TURNS, display_name
from bravaismap.phases.cells import symmetric_cells
from bravaismap.show.axes import frame_number, sized
from bravaismap.show.cells import WITHOUT_LATTICE
from bravaismap.show.pixels import draw_domains, draw_field, map_panels, pixel_view
from bravaismap.show.style import PAGE, Style

__all__ = ["Grain", "grains_of", "plot_grains"]

#: Opacity of the colours of grains on an image.
_ALPHA = 0.6
#: Room in inches for the scale of orientations.
_BAR = 0.35
#: Share of the frame from which on a grain is listed.
_LISTED = 0.01


@dataclass(frozen=True)
class Grain:
    """A grain of a frame.

    Attributes
    ----------
    number : int
        Of its lattice, kept through the movie.
    lattice : str
        Class.
    share : float
        Of the measured frame.
    orientation, period : float
        Direction in degrees that the class leaves unchanged, and the angle after which it repeats.
    """

    number: int
    lattice: str
    share: float
    orientation: float
    period: float


def grains_of(pixels: xr.Dataset, time: int = -1) -> list[Grain]:
    """Return the grains of a frame, the largest first.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    time : int
        Which of its frames.
    """
    frame = pixels.isel(time=frame_number(pixels, time))
    domain, phase, lattice = (np.asarray(frame[name].values) for name in ("domain", "phase", "frame_lattice"))
    bases = np.asarray(frame["frame_basis"].transpose("number", "vector", "component").values, float)
    grains = []
    for number in np.unique(domain[domain >= 0]):
        inside = domain == number
        code = int(phase[inside][0])
        cell = symmetric_cells(bases[lattice[inside][0]], np.array(code))
        share = inside.sum() / (phase >= 0).sum()
        grains.append(Grain(int(number), CLASSES[code], float(share), float(cell.orientation), TURNS[CLASSES[code]]))
    return sorted(grains, key=lambda grain: -grain.share)


def plot_grains(pixels: xr.Dataset, time: int = -1, image: Any = None, *, style: Style = PAGE) -> Figure:
    """Draw the grains of a frame in the colours of their orientations, on the image and beside it.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    time : int
        Which of its frames.
    image : array (y, x) or movie (time, y, x), optional
        The frame, or as many frames as `pixels` has.
    style : Style
    """
    index = frame_number(pixels, time)
    view = pixel_view(pixels)
    grains = grains_of(pixels, time)
    listed = sorted((grain for grain in grains if grain.share >= _LISTED), key=lambda grain: grain.number)
    figure, axes = map_panels(view, index, image, "grains", entries=len(listed) + 1, beside=_BAR, style=style)
    ax = axes.flat[-1]
    alpha = 1.0 if image is None else _ALPHA
    phase, domain = (np.asarray(pixels[name].isel(time=index).values) for name in ("phase", "domain"))
    draw_field(ax, view, _colors(grains, domain, phase, alpha), phase < 0)
    draw_domains(ax, view, domain, phase)
    _draw_bar(figure, axes, grains)
    handles = [Patch(fc=_color(grain, 1.0), ec="0.3", lw=0.5, label=_described(grain)) for grain in listed]
    handles.append(Patch(fc=WITHOUT_LATTICE, ec="0.3", lw=0.5, label=display_name(NONE)))
    figure.legend(handles=handles, loc="outside lower center", ncols=axes.shape[1], frameon=False, handlelength=1.4)
    return sized(figure, style.text)


def _draw_bar(figure: Figure, axes: NDArray[Any], grains: list[Grain]) -> None:
    """Draw the scale of orientations, with the degrees of every class where they repeat after different angles."""
    classes: dict[float, list[str]] = {}
    for grain in sorted(grains, key=lambda grain: grain.period):
        names = classes.setdefault(grain.period, [])
        if display_name(grain.lattice) not in names:
            names.append(display_name(grain.lattice))
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), CYCLIC_CMAP), ax=list(axes.flat), shrink=0.75, aspect=22)
    places = (0, 1 / 3, 2 / 3, 1)
    bar.set_ticks(places, labels=[" | ".join(f"{place * period:g}" for period in classes) for place in places])
    several = f" of {' | '.join(', '.join(names) for names in classes.values())}" if len(classes) > 1 else ""
    bar.set_label(f"orientation (°){several}")


def _colors(
    grains: list[Grain], domain: NDArray[np.integer], phase: NDArray[np.integer], alpha: float
) -> NDArray[np.float64]:
    """Return the colour of every point of a map (y, x, 4)."""
    colors = np.empty((*domain.shape, 4))
    colors[:] = to_rgba(WITHOUT_LATTICE, alpha)
    for grain in grains:
        colors[domain == grain.number] = _color(grain, alpha)
    colors[phase < 0] = 0
    return colors


def _color(grain: Grain, alpha: float) -> tuple[float, float, float, float]:
    return to_rgba(colormaps[CYCLIC_CMAP](grain.orientation / grain.period), alpha)


def _described(grain: Grain) -> str:
    return f"{grain.number}: {display_name(grain.lattice)} {grain.orientation:.1f}°, {100 * grain.share:.1f} %"

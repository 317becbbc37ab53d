"""The current view of a page, which is what its downloads save, and what of it there is to save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.rendering import Overlay

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["VIEWS", "Look", "ShownFrame", "nothing_to_save"]

#: Views that can be saved.
VIEWS = ("frame with map", "fraction curves", "fit", "window", "region", "motif", "sites", "shapes")


@dataclass(frozen=True)
class ShownFrame:
    """The frame that a page shows.

    Attributes
    ----------
    index : int
    pixels : array (y, x) or None
    stored : PhaseMap or None
        Its map as it is in the result, with a time axis of length 1; None if it is not mapped yet.
    phases : PhaseMap or None
        The same at the distortion of the slider.
    distortion : float or None
        That of the slider; None for a model whose result does not depend on it.
    """

    index: int
    pixels: NDArray[Any] | None
    stored: PhaseMap | None
    phases: PhaseMap | None
    distortion: float | None


@dataclass(frozen=True)
class Look:
    """The current view of a page.

    Attributes
    ----------
    frame : Dataset or None
        The map of the frame.
    pixels : array (y, x) or None
    layer : Overlay or None
        The map that is laid over it.
    opacity : float
    window, region : Region or None
        The outlines that are drawn.
    whole : Region
        Edges of the frame.
    unit : str
    pixel : float
        Side of a pixel in that unit.
    curves : Dataset
        ``fraction`` and ``fraction_std``.
    growth : Dataset or None
        The fit, if there is one.
    view : WindowView or None
        The window.
    sites : Dataset or None
        The sites of the frame.
    motif : Dataset or None
        The motif that is shown.
    title : str
    """

    frame: xr.Dataset | None
    pixels: NDArray[Any] | None
    layer: Overlay | None
    opacity: float
    window: Region | None
    region: Region | None
    whole: Region
    unit: str
    pixel: float
    curves: xr.Dataset
    growth: xr.Dataset | None
    view: WindowView | None
    sites: xr.Dataset | None
    motif: xr.Dataset | None
    title: str


def nothing_to_save(
    what: str,
    frame: xr.Dataset | None,
    growth: xr.Dataset | None,
    view: WindowView | None,
    sites: xr.Dataset | None,
    motif: xr.Dataset | None,
) -> str:
    """Return why one of `VIEWS` cannot be saved and what to do, an empty text if it can."""
    if what == "window" and view is None:
        return "No window is selected: click on the frame first."
    if what == "fit" and growth is None:
        return "There is no fit to save: choose a class that grows, or a longer movie."
    if what in ("frame with map", "region", "shapes") and frame is None:
        return "This frame is not mapped yet."
    if what == "sites" and sites is None:
        return "No sites are known: tick “sites” above the frame first."
    if what == "motif" and motif is None:
        return "No motif is shown: press “find the motif” first."
    if what == "shapes" and frame is not None and "basis" not in frame:
        return "This model measures no cells, so there are no shapes: map with the model lattice."
    return ""

"""The current view of a page, which is what its downloads save, and what of it there is to save."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.rendering import Overlay

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["VIEWS", "Look", "nothing_to_save"]

#: Views that can be saved.
VIEWS = ("frame with map", "fraction curves", "fit", "window", "region", "shapes", "motif")


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
    title : str
    motif : Dataset or None
        The motif that is shown.
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
    title: str
    motif: xr.Dataset | None = None


def nothing_to_save(
    what: str,
    frame: xr.Dataset | None,
    growth: xr.Dataset | None,
    view: WindowView | None,
    motif: xr.Dataset | None = None,
) -> str:
    """Return why one of `VIEWS` cannot be saved and what to do, an empty text if it can."""
    if what == "window" and view is None:
        return "No window is selected: click on the frame first."
    if what == "motif" and motif is None:
        return "No motif is shown: press “find the motif” first."
    if what == "fit" and growth is None:
        return "There is no fit to save: choose a class that grows, or a longer movie."
    if what in ("frame with map", "region", "shapes") and frame is None:
        return "This frame is not mapped yet."
    if what == "shapes" and frame is not None and "basis" not in frame:
        return "This model measures no cells, so there are no shapes: map with the model lattice."
    return ""

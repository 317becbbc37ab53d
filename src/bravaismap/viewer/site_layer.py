"""The sites of the frame that is shown, found in the background when they are asked for, and marked on it."""

from __future__ import annotations

from concurrent.futures import Future
from html import escape
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import BravaismapError
from bravaismap.show.colors import site_marks
from bravaismap.viewer.fraction_curves import Curves
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.look import ShownFrame
from bravaismap.viewer.page import Page

__all__ = ["SiteLayer", "site_columns", "sites_text"]

#: Radius of the mark of a vacancy or of another atom, and of an atom where it should be, over the distance of sites.
_MARKED, _DOT = 0.4, 0.1
#: Opacity of the mark of an atom where it should be.
_FAINT = 0.6
_HELD = 12  # frames whose sites are kept
_NO_MOVIE = "sites need the frames: give the movie that was mapped"
_NO_CELLS = "this model measures no cells, so there are no sites: map with the model lattice"


class SiteLayer:
    """The sites of the frame that is shown.

    Parameters
    ----------
    page : Page
    curves : Curves
        Works in the background.

    Attributes
    ----------
    sites : Dataset or None
        Of :func:`bravaismap.find_sites`, of the frame that is shown; None while they are not known.
    """

    def __init__(self, page: Page, curves: Curves) -> None:
        self._page, self._curves = page, curves
        self.sites: xr.Dataset | None = None
        self._frame: ShownFrame | None = None
        self._finding: Future[xr.Dataset] | None = None
        self._sought: Any = None  # the map whose sites are being found
        self._held: dict[int, tuple[Any, xr.Dataset]] = {}
        self._problem = ""

    def draw(self, frame: ShownFrame) -> None:
        """Mark the sites of a frame, as far as they are known."""
        self._frame, self.sites = frame, None
        held = self._held.get(frame.index)
        if held is not None and held[0] is frame.stored:
            self.sites = held[1]
        self._problem = "" if frame.pixels is not None else _NO_MOVIE
        if frame.stored is not None and "basis" not in frame.stored:
            self._problem = _NO_CELLS
        self._show()

    def follow(self) -> bool:
        """Take sites that were found, and begin to find those that are asked for; return whether they were taken."""
        frame, taken = self._frame, False
        if self._finding is not None and self._finding.done():
            taken = self._take(self._finding)
            self._finding = None
            self._show()
        wanted = self._page.sites.value and self.sites is None and self._finding is None and not self._problem
        if wanted and frame is not None and frame.stored is not None and frame.pixels is not None:
            self._sought = (frame.index, frame.stored)
            self._finding = self._curves.submit_sites(frame.stored, frame.pixels)
            self._show()
        return taken

    def _take(self, found: Future[xr.Dataset]) -> bool:
        index, stored = self._sought
        try:
            sites = found.result()
        except BravaismapError as error:
            self._problem = str(error)
            return False
        sites = sites.assign(frame=sites["frame"] + index).assign_coords(measured_frame=[index])
        self._held[index] = (stored, sites)
        while len(self._held) > _HELD:
            self._held.pop(next(iter(self._held)))
        shown = self._frame is not None and self._frame.stored is stored
        self.sites = sites if shown else self.sites
        return shown

    def _show(self) -> None:
        visible = self._page.sites.value
        self._page.frame.mark_sites(site_columns(self.sites) if visible and self.sites is not None else None)
        text = ""
        if visible and self._problem:
            text = self._problem
        elif visible and self.sites is not None:
            text = sites_text(self.sites, None)
        elif visible:
            text = "sites are being found …"
        self._page.text["sites"].object = f"<p>{escape(text)}</p>" if text else ""


def site_columns(sites: xr.Dataset) -> dict[str, Any]:
    """Return the sites of a frame as the columns that the plot draws: place, radius, colour, opacity
    of the mark and of the dark ring around it, and what is said of it.
    """
    spacing = float(sites.attrs["spacing"])
    marked, color = site_marks(sites)
    amplitude = zip(sites["amplitude"].values, sites["amplitude_std"].values, strict=True)
    return {
        "x": sites["x"].values, "y": sites["y"].values,
        "radius": spacing * np.where(marked, _MARKED, _DOT), "color": color,
        "alpha": np.where(marked, 1.0, _FAINT), "ring": np.where(marked, 1.0, 0.0),
        "state": [str(state) for state in sites["state"].values],
        "amplitude": [f"{value:.2f} ± {std:.2f}" for value, std in amplitude],
    }  # fmt: skip


def sites_text(sites: xr.Dataset, region: Region | None) -> str:
    """Return the numbers of sites of a frame, or of a region of it, in one line."""
    from bravaismap.phases.sites import count_sites, count_text, share_text

    if region is not None:
        y, x = sites["y"].values, sites["x"].values
        inside = (y >= region.y0) & (y <= region.y1) & (x >= region.x0) & (x <= region.x1)
        sites = sites.isel(site=inside)
    if not sites.sizes["site"]:
        return "no sites: no lattice is seen here"
    counts = count_sites(sites).isel(measured_frame=0)
    vacant, other = (
        count_text(float(counts[name]), float(counts[f"{name}_std"])) for name in ("vacant", "substituted")
    )
    share = share_text(float(counts["void_fraction"]), float(counts["void_fraction_std"]))
    return (
        f"{int(counts['sites'])} sites: {vacant} vacant ({share}), {int(counts['single'])} of them "
        f"single, {other} other atoms"
    )

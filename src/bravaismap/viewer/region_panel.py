"""The panel of the region that was drawn: its classes, cells and sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xarray as xr

from bravaismap.conventions import counted
from bravaismap.errors import BravaismapError
from bravaismap.viewer.frame_geometry import Region, parse_region
from bravaismap.viewer.html_fragments import message_html, table_html
from bravaismap.viewer.look import ShownFrame
from bravaismap.viewer.page import Page
from bravaismap.viewer.region_statistics import region_statistics, region_table
from bravaismap.viewer.result_source import Source

__all__ = ["RegionPanel"]


class RegionPanel:
    """The region of a frame that was drawn or typed; the whole frame without one.

    Parameters
    ----------
    page : Page
    source : Source
    redraw : callable
        Called when another region was chosen.

    Attributes
    ----------
    region : Region or None
        None for the whole frame.
    """

    def __init__(self, page: Page, source: Source, redraw: Callable[[], object]) -> None:
        self._page, self._source, self._redraw = page, source, redraw
        self.region: Region | None = None
        page.region.param.watch(self._typed, "value")
        page.whole.on_click(lambda _: setattr(page.region, "value", ""))

    def choose(self, geometry: dict[str, Any]) -> None:
        """Take the box that was drawn over the frame."""
        if geometry.get("type") == "rect":
            y, x = (sorted((geometry[f"{axis}0"], geometry[f"{axis}1"])) for axis in ("y", "x"))
            self._page.region.value = str(Region(y[0], y[1], x[0], x[1]))

    def _typed(self, event: Any) -> None:
        try:
            self.region = parse_region(event.new, self._source.y, self._source.x)
        except BravaismapError as error:
            self._page.text["message"].object = message_html(str(error))
            return
        self._page.turn_to("region", selected=self.region is not None)
        self._redraw()

    def draw(self, frame: ShownFrame, sites: xr.Dataset | None = None) -> None:
        """Show what a region holds, with its sites if they are known."""
        self._page.frame.mark_region(self.region)
        if frame.phases is None:
            self._page.text["region"].object = "<p>This frame is not mapped yet.</p>"
            return
        statistics = region_statistics(frame.phases, self.region)
        place = "Whole frame: drag over the frame to select a region." if self.region is None else "Region"
        if self.region is not None:
            r = self.region
            place += f" x {r.x0:.4g} to {r.x1:.4g}, y {r.y0:.4g} to {r.y1:.4g} {self._source.unit}"
        note = " Cells: median ± standard deviation from window to window." if statistics.cell else ""
        table = table_html(region_table(statistics, self._source.unit), statistics.classes)
        text = f"<p>{place} {counted(statistics.windows, 'window')}.{note}</p>{table}"
        if sites is not None:
            from bravaismap.viewer.site_layer import sites_text

            text += f"<p>{sites_text(sites, self.region)}</p>"
        self._page.text["region"].object = text

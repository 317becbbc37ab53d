"""The panel of the window that was clicked: its pixels, spectrum and cell, and what decides its class."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.lattice.shape import shape
from bravaismap.result.phase_map import PhaseMap
from bravaismap.show.colors import class_colors
from bravaismap.viewer.distortion_trial import reclassified_window
from bravaismap.viewer.fraction_curves import Curves
from bravaismap.viewer.frame_geometry import Region, window_at, window_bounds
from bravaismap.viewer.html_fragments import cell_html
from bravaismap.viewer.look import ShownFrame
from bravaismap.viewer.page import Page
from bravaismap.viewer.result_source import Source

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["WindowPanel"]

_POINTS = 1500  # most shapes drawn beside that of the window
_NO_CLICK = "Click on the frame, or give row and column, to see a window: its spectrum, its spots, its cell."


class WindowPanel:
    """The window that was clicked, or given by row and column.

    Parameters
    ----------
    page : Page
    source : Source
    curves : Curves
        Works in the background.
    redraw : callable
        Called when another window was chosen.

    Attributes
    ----------
    place : (int, int) or None
        Row and column of the window.
    view : WindowView or None
        What is shown of it.
    """

    def __init__(self, page: Page, source: Source, curves: Curves, redraw: Callable[[], object]) -> None:
        self._page, self._source, self._curves, self._redraw = page, source, curves, redraw
        self.place: tuple[int, int] | None = None
        self.view: WindowView | None = None
        self._where = _NO_CLICK
        self._choosing = False
        self._row: xr.Dataset | None = None  # the window's part of the result
        self._judging: Future[str] | None = None
        self._verdict = ""
        self._drawn: Any = None
        self._rested: Any = None
        for widget in (page.row, page.column):
            widget.param.watch(self._typed, "value")

    @property
    def bounds(self) -> Region | None:
        """Edges of the window."""
        if self.place is None:
            return None
        source = self._source
        return window_bounds(*self.place, source.y, source.x, int(source.card["window"]), source.pixel)

    def choose_at(self, y: float, x: float) -> None:
        """Inspect the window around a point of the frame."""
        place = window_at(y, x, self._source.y, self._source.x, self._source.extent)
        if place is not None:
            self.choose(*place)

    def choose(self, row: int, column: int) -> None:
        """Inspect a window."""
        self.place = (row, column)
        self._choosing = True
        self._page.row.value, self._page.column.value = row, column
        self._choosing = False
        self._page.turn_to("window")
        self._redraw()

    def draw(self, frame: ShownFrame) -> None:
        """Show the window as it is in a frame."""
        self.view, self._row, self._where = None, None, _NO_CLICK
        if self.place is not None:
            self._inspect(frame, *self.place)
        self._verdict, self._judging = "", None
        self._drawn = (frame.index, self.place, frame.distortion)
        self._page.frame.mark_window(self.bounds)
        if self.view is not None or self._page.window is not None:
            source = self._source
            self._page.window_plots().show(self.view, self._shapes(frame.phases), source.unit, source.pixel)
        self._write()

    def _inspect(self, frame: ShownFrame, row: int, column: int) -> None:
        from bravaismap.viewer.window_inspection import cut, window_view

        source, bounds, pixels = self._source, self.bounds, frame.pixels
        place = f"window in row {row}, column {column}, centre at x {source.x[column]:.4g}, y {source.y[row]:.4g} "
        self._where = place + source.unit
        if frame.stored is None:
            self._where += ": this frame is not mapped yet"
            return
        inspected = reclassified_window(frame.stored, row, column, frame.distortion or 0.0)
        if pixels is not None:
            pixels = None if bounds is None else cut(pixels, bounds, source.extent, source.pixel)
        self.view = window_view(inspected, pixels, source.pixel)
        self._row = inspected if "basis" in inspected else None

    def judge(self) -> bool:
        """Work out what decides the class once the page rests; return whether there is something new to be seen."""
        if self._judging is not None and self._judging.done():
            self._verdict, self._judging = self._judging.result(), None
            self._write()
            return True
        rests = self._drawn == self._rested
        if rests and self._judging is None and not self._verdict and self._row is not None:
            self._judging = self._curves.submit_verdict(self._row)
        self._rested = self._drawn
        return False

    def _write(self) -> None:
        lines = [] if self.view is None else self.view.lines
        if self._verdict:
            lines = [*lines, ("verdict", self._verdict)]
        self._page.text["window"].object = cell_html(self._where, lines)

    def _typed(self, _: Any) -> None:
        row, column = self._page.row.value, self._page.column.value
        if self._choosing or (row is None and column is None):
            return
        rows, columns = len(self._source.y), len(self._source.x)
        self.choose(min(max(row or 0, 0), rows - 1), min(max(column or 0, 0), columns - 1))

    def _shapes(self, phases: PhaseMap | None) -> tuple[NDArray[np.complexfloating], list[str]]:
        """Return the shapes (complex) of the windows of the frame, and the colours of their classes."""
        if phases is None or "basis" not in phases:
            return np.empty(0, complex), []
        label = phases["label"].values.ravel()
        basis = phases["basis"].transpose("time", "y", "x", "vector", "component").values.reshape(-1, 2, 2)
        classes = self._source.classes
        none = classes.index("none") if "none" in classes else -1
        windows = np.flatnonzero((label >= 0) & (label != none) & np.isfinite(basis).all(axis=(1, 2)))
        windows = windows[:: len(windows) // _POINTS + 1]
        colors = list(class_colors(classes).values())
        return shape(basis[windows].astype(float)), [colors[i] for i in label[windows]]

"""Interaction with the viewer's page: frames are drawn, windows clicked, regions selected, distortions tried."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import xarray as xr
from bokeh.events import SelectionGeometry, Tap

from bravaismap.conventions import counted
from bravaismap.errors import BravaismapError
from bravaismap.lattice.shape import shape
from bravaismap.result.doubt import doubts
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import map_variables
from bravaismap.result.shares import class_shares
from bravaismap.show.colors import class_colors
from bravaismap.viewer.distortion_trial import reclassified_frame, reclassified_window
from bravaismap.viewer.fraction_curves import Curves, Fit
from bravaismap.viewer.frame_geometry import Region, frame_at, parse_region, window_at, window_bounds
from bravaismap.viewer.html_fragments import cell_html, doubt_html, header_html, message_html, phases_html, table_html
from bravaismap.viewer.look import Look, nothing_to_save
from bravaismap.viewer.messages import empty_message, time_text
from bravaismap.viewer.motif_panel import Place
from bravaismap.viewer.movie_source import MappedMovie
from bravaismap.viewer.page import Page
from bravaismap.viewer.region_statistics import region_statistics, region_table
from bravaismap.viewer.rendering import Overlay, contrast, grey, is_of_pixels, overlay, overlay_or_none
from bravaismap.viewer.result_source import Source

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["Session"]

_TICK = 400  # ms between two updates from the background
_POINTS = 1500  # most shapes drawn beside that of the window
_NO_CLICK = "Click on the frame, or give row and column, to see a window: its spectrum, its spots, its cell."
_NO_MOVIE = (
    "The frames are not available: a result does not hold them. Give the movie that was mapped to see them, and the "
    "spectra of windows: bravaismap view RESULT --movie PATH (in Python bm.view(result, movie=…))."
)


class Session:
    """One page that shows a source.

    Parameters
    ----------
    source : Source
        May be shared by several pages.
    other : Source, optional
        Another result, whose frames are shown beside those of the first.
    """

    def __init__(self, source: Source, other: Source | None = None) -> None:
        self._other = other
        self.source, self.curves = source, Curves(source)
        self.index, self.distortion = self._first(), source.card.get("distortion")
        self.window: tuple[int, int] | None = None
        self.region: Region | None = None
        self._frame: PhaseMap | None = None  # at the distortion of the result
        self._shown: PhaseMap | None = None  # at that of the slider
        self._view: WindowView | None = None
        self._fit = Fit("", np.empty(0), np.empty(0), None)
        self._fitting: Future[Fit] | None = None
        self._row: xr.Dataset | None = None  # of the window that is looked at
        self._stale = self._asked = False  # whether the fit is to be made again; whether one was asked for
        self._judging: Future[str] | None = None
        self._verdict = ""
        self._looked: Any = None
        self._seen: Any = None
        self._choosing = False
        self._limits: tuple[float, float] | None = None
        self.page = Page(source, self._variables(), self.index)
        self._connect()
        if len(source.time) > 1:
            self.page.text[
                "fit"
            ].object = "<p>A law of growth is fitted to the fraction of a class when you press fit.</p>"
        self.draw()

    # What is shown

    def _variables(self) -> set[str]:
        """Return what can be laid over a frame."""
        first = self.source.frame(self.index)
        if first is not None:
            return {str(name) for name in first.variables}
        card = self.source.card
        return {variable.name for variable in map_variables(cells="distortion" in card, pixels="pixel_step" in card)}

    def _first(self) -> int:
        done = np.flatnonzero(self.source.done)
        return int(done[0]) if done.size else 0

    def _pixels(self) -> Any:
        try:
            return self.source.pixels(self.index)
        except (OSError, ValueError) as error:
            self.source.problem = f"frame {self.index} of the movie cannot be read ({error})"
            return None

    def _picture(self) -> Any:
        pixels = self._pixels()
        if pixels is None:
            return None
        return self._grey(pixels)

    def _grey(self, pixels: Any) -> Any:
        if self._limits is None:
            low, high = self.page.brightness.value
            self._limits = contrast([pixels], (low, high))
        return grey(pixels, self._limits, self.page.gamma.value)

    # Drawing

    def draw(self) -> None:
        """Show the current frame and everything that depends on it."""
        self.source.want(self.index)
        self.curves.wanted = self.index
        self._frame = self.source.frame(self.index)
        self._classify()
        self.page.curves.mark_time(float(self.source.time[self.index]))
        self.page.text["time"].object = time_text(self.source.time, self.index, self.source.time_unit)
        self._draw_frame(self._picture())
        self._draw_beside()
        self._draw_window()
        self._draw_region()
        self._tell()
        self.page.name_files(self.source.title, self.index)

    def _classify(self) -> None:
        self._shown = self._frame
        if self._frame is not None and self.distortion is not None:
            self._shown = reclassified_frame(self._frame, self.distortion)

    def _draw_frame(self, picture: Any) -> None:
        layer = self._layer()
        self.page.frame.show(picture, layer, self.page.opacity.value if picture is not None else 1.0)
        if self._shown is None:
            nothing = np.full(len(self.source.classes), np.nan)
            self.page.text["phases"].object = phases_html(self.source.classes, nothing, nothing)
        else:
            shares = class_shares(self._shown)
            fraction, std = shares.fraction.values[0], shares.std.values[0]
            self.page.text["phases"].object = phases_html(self.source.classes, fraction, std, shares.quantity)

    def _draw_beside(self) -> None:
        """Draw the frame beside the current one: another frame, or the same of another result."""
        page, number = self.page, self.page.other.value
        if number is None and self._other is None:
            page.beside.plot.visible = False
            return
        source = self._other or self.source
        index = min(self.index if number is None else int(number), len(source.time) - 1)
        frame, pixels = source.frame(index), source.pixels(index)
        if pixels is None and self._other is not None:
            pixels = self.source.pixels(min(index, len(self.source.time) - 1))  # the movie of both
        layer = None if frame is None else self._scaled(overlay_or_none(frame, page.layer.value))
        page.beside.show(
            None if pixels is None else self._grey(pixels), layer, 1.0 if pixels is None else page.opacity.value
        )
        title = "" if self._other is None else f"{source.title} · "
        page.beside.plot.title.text = title + time_text(source.time, index, source.time_unit)
        page.beside.plot.visible = True

    def _layer(self) -> Overlay | None:
        key = self.page.layer.value
        frame = self._frame if is_of_pixels(key) else self._shown
        return None if frame is None else self._scaled(overlay(frame, key))

    def _scaled(self, layer: Overlay | None) -> Overlay | None:
        """Return a map with the ends of its scale that were typed."""
        try:
            low, high = (float(end) for end in self.page.limits.value.split(":"))
        except ValueError:
            return layer
        return layer if layer is None or layer.names or not low < high else replace(layer, low=low, high=high)

    def _bounds(self) -> Region | None:
        """Return the edges of the inspected window."""
        if self.window is None:
            return None
        source = self.source
        return window_bounds(*self.window, source.y, source.x, int(source.card["window"]), source.pixel)

    def _draw_window(self) -> None:
        source, view, place = self.source, None, _NO_CLICK
        self._row = None
        if self.window is not None:
            from bravaismap.viewer.window_inspection import cut, window_view

            row, column = self.window
            place = f"window in row {row}, column {column}, centre at x {source.x[column]:.4g}, y {source.y[row]:.4g} "
            place += source.unit
            if self._frame is None:
                place += ": this frame is not mapped yet"
            else:
                inspected = reclassified_window(self._frame, row, column, self.distortion or 0.0)
                pixels = self._pixels()
                if pixels is not None:
                    bounds = self._bounds()
                    pixels = None if bounds is None else cut(pixels, bounds, source.extent, source.pixel)
                view = window_view(inspected, pixels, source.pixel)
                self._row = inspected if "basis" in inspected else None
        self._view, self._verdict, self._judging = view, "", None
        self._where = place
        self.page.frame.mark_window(self._bounds())
        self.page.window.show(view, self._shapes(), source.unit, source.pixel)
        self._write_window()

    def _write_window(self) -> None:
        lines = [] if self._view is None else self._view.lines
        if self._verdict:
            lines = [*lines, ("verdict", self._verdict)]
        self.page.text["window"].object = cell_html(self._where, lines)

    def _judge(self) -> None:
        """Start to work out the verdict on the window once the page rests, and show it when it is done."""
        look = (self.index, self.window, self.distortion)
        if self._judging is not None and self._judging.done():
            self._verdict, self._judging = self._judging.result(), None
            self._write_window()
            self._push()
        elif look == self._looked and self._judging is None and not self._verdict and self._row is not None:
            self._judging = self.curves.submit_verdict(self._row)
        self._looked = look

    def _shapes(self) -> tuple[Any, list[str]]:
        """Return the shapes of the windows of the frame, and the colours of their classes."""
        if self._shown is None or "basis" not in self._shown:
            return np.empty(0, complex), []
        label = self._shown["label"].values.ravel()
        basis = self._shown["basis"].transpose("time", "y", "x", "vector", "component").values.reshape(-1, 2, 2)
        none = self.source.classes.index("none") if "none" in self.source.classes else -1
        windows = np.flatnonzero((label >= 0) & (label != none) & np.isfinite(basis).all(axis=(1, 2)))
        windows = windows[:: len(windows) // _POINTS + 1]
        colors = list(class_colors(self.source.classes).values())
        return shape(basis[windows].astype(float)), [colors[i] for i in label[windows]]

    def _draw_region(self) -> None:
        self.page.frame.mark_region(self.region)
        if self._shown is None:
            self.page.text["region"].object = "<p>This frame is not mapped yet.</p>"
            return
        statistics = region_statistics(self._shown, self.region)
        place = "Whole frame: drag over the frame to select a region." if self.region is None else "Region"
        if self.region is not None:
            r = self.region
            place += f" x {r.x0:.4g} to {r.x1:.4g}, y {r.y0:.4g} to {r.y1:.4g} {self.source.unit}"
        note = " Cells: median ± standard deviation from window to window." if statistics.cell else ""
        table = table_html(region_table(statistics, self.source.unit), statistics.classes)
        self.page.text["region"].object = f"<p>{place} {counted(statistics.windows, 'window')}.{note}</p>{table}"

    def _draw_curves(self) -> None:
        fraction, std = self.curves.values()
        self.page.curves.show(self.source.time[: len(fraction)], fraction, std, self.curves.quantity)

    def _tell(self) -> None:
        """Update the message, the header and the progress."""
        source = self.source
        done, total = int(source.done.sum()), len(source.time)
        text = empty_message(
            done, total, growing=source.growing, mapping=isinstance(source, MappedMovie), problem=source.problem,
            frame_done=self._frame is not None,
        )  # fmt: skip
        self.page.text["message"].object = message_html(text)
        self.page.text["doubt"].object = doubt_html([] if self._shown is None else doubts(self._shown))
        extent, pixel = source.extent, source.pixel
        sides = [round(side / pixel) for side in (extent.y1 - extent.y0, extent.x1 - extent.x0)]
        frames = f"{done} of {counted(total, 'frame')} mapped" if done < total else counted(total, "frame")
        about = f"{frames} of {sides[0]} × {sides[1]} px"
        self.page.text["header"].object = header_html(source.title, source.card, about)
        left = self.curves.left()
        self.page.text["progress"].object = f"<p>reclassifying: {counted(left, 'frame')} left</p>" if left else ""
        self.page.text["movie"].object = f"<p>{_NO_MOVIE}</p>" if source.movie is None else ""

    def _connect(self) -> None:
        self.page.frame.plot.on_event(Tap, self._tapped)
        self.page.frame.plot.on_event(SelectionGeometry, self._boxed)
        self.page.curves.plot.on_event(Tap, self._timed)
        page = self.page
        watched = (
            (page.player, self._moved), (page.layer, self._relayed), (page.opacity, self._relayed),
            (page.distortion, self._distorted), (page.fit_class, self._refit), (page.law, self._refit),
            (page.baseline, self._refit), (page.row, self._chosen), (page.column, self._chosen),
            (page.region, self._ranged), (page.view, self._named),
            (page.part, lambda _: page.show_part()), (page.other, self._compared), (page.gamma, self._brightened),
            (page.brightness, self._brightened), (page.limits, self._relayed),
        )  # fmt: skip
        for widget, call in watched:
            widget.param.watch(call, "value")
        self.page.whole.on_click(lambda _: setattr(self.page.region, "value", ""))
        self.page.fit.on_click(lambda _: self._ask_fit())
        self.page.motif.find.on_click(lambda _: self._ask_motif())
        self.page.give_files(self.file)

    # Events

    def _moved(self, event: Any) -> None:
        if 0 <= event.new < len(self.source.time) and event.new != self.index:
            self.index = int(event.new)
            self.draw()
            self._push()
            self.curves.look_ahead(self.index + 1)

    def _timed(self, event: Any) -> None:
        if event.x is not None:
            self.page.player.value = frame_at(event.x, self.source.time)

    def _tapped(self, event: Any) -> None:
        window = window_at(event.y, event.x, self.source.y, self.source.x, self.source.extent)
        if window is not None:
            self.choose_window(*window)

    def choose_window(self, row: int, column: int) -> None:
        """Inspect a window."""
        self.window = (row, column)
        self._choosing = True
        self.page.row.value, self.page.column.value = row, column
        self._choosing = False
        self.page.turn_to("window")
        self._draw_window()
        self._push()

    def _chosen(self, _: Any) -> None:
        row, column = self.page.row.value, self.page.column.value
        if self._choosing or (row is None and column is None):
            return
        rows, columns = len(self.source.y), len(self.source.x)
        self.choose_window(min(max(row or 0, 0), rows - 1), min(max(column or 0, 0), columns - 1))

    def _boxed(self, event: Any) -> None:
        box = event.geometry
        if event.final and box.get("type") == "rect":
            y, x = sorted((box["y0"], box["y1"])), sorted((box["x0"], box["x1"]))
            self.page.region.value = str(Region(y[0], y[1], x[0], x[1]))

    def _ranged(self, event: Any) -> None:
        try:
            self.region = parse_region(event.new, self.source.y, self.source.x)
        except BravaismapError as error:
            self.page.text["message"].object = message_html(str(error))
            return
        self.page.turn_to("region", selected=self.region is not None)
        self._draw_region()
        self._tell()
        self._push()

    def _relayed(self, _: Any) -> None:
        self._draw_frame(self._picture())
        self._draw_beside()
        self._push()

    def _compared(self, _: Any) -> None:
        self._draw_beside()
        self._push()

    def _brightened(self, _: Any) -> None:
        self._limits = None
        self._relayed(None)

    def _distorted(self, event: Any) -> None:
        self.distortion = round(event.new / 100, 6)
        self.curves.change(self.distortion)
        self._classify()
        self._draw_frame(self._picture())
        self._draw_window()
        self._draw_region()
        self._tell()
        self._push()

    def _named(self, _: Any) -> None:
        self.page.name_files(self.source.title, self.index)
        self._offer()

    def _offer(self) -> None:
        """Enable the downloads, or say why there is nothing to save."""
        reason = nothing_to_save(self.page.view.value, self._shown, self._fit.growth, self._view, self.page.motif.motif)
        self.page.offer_files(reason)

    def _ask_fit(self) -> None:
        self._asked = self._stale = True
        self.page.text["fit"].object = "<p>fitting …</p>"

    def _ask_motif(self) -> None:
        where = time_text(self.source.time, self.index, self.source.time_unit)
        self.page.motif.ask(
            Place(self._frame, self._pixels(), self.region, self._bounds(), where, self.distortion)
        )  # fmt: skip

    def _refit(self, _: Any = None) -> None:
        self._stale = self._asked  # nothing is fitted that nobody has asked for

    def _take_fit(self) -> None:
        """Show a finished fit, and begin another if its input has changed."""
        if self._fitting is not None and self._fitting.done():
            self._fit, self._fitting = self._fitting.result(), None
            self.page.curves.show_fit(self._fit.time, self._fit.curve)
            self.page.text["fit"].object = f"<p>{escape(self._fit.text)}</p>"
            self._push()
        ready = self._fitting is None and not self.curves.left() and np.isfinite(self.curves.values()[0]).any()
        if self._stale and ready:
            page, self._stale = self.page, False
            self._fitting = self.curves.submit_fit(page.fit_class.value, page.law.value, page.baseline.value)

    def tick(self) -> None:
        """Show what has changed in the background."""
        if self._seen is not None:
            self.curves.prepare()
        length = len(self.source.time)
        if self.page.player.end != max(length - 1, 1):
            self.page.player.param.update(end=max(length - 1, 1), disabled=length == 1)
        self.index = min(self.index, length - 1)
        self._take_fit()
        if self.page.motif.take():
            self._push()
        self._offer()
        self._judge()
        if self.curves.version == self._seen:
            return
        self._seen = self.curves.version
        if self.curves.left():
            self.curves.go_on()
        if self._frame is None and self.source.frame(self.index) is not None:
            self.draw()
        self._draw_curves()
        self._tell()
        self._refit()
        self._push()

    # Files and the page

    def file(self, ending: str) -> BytesIO:
        """Return the chosen view as a file."""
        from bravaismap.viewer.downloads import view_file

        return view_file(self._look(), self.page.view.value, ending)

    def _look(self) -> Look:
        source = self.source
        where = time_text(source.time, self.index, source.time_unit)
        outlined = self.page.outlined.value
        return Look(
            self._shown, self._pixels(), self._layer(), self.page.opacity.value,
            self._bounds() if outlined or self.page.view.value == "window" else None,
            self.region if outlined or self.page.view.value == "region" else None,
            source.extent, source.unit, source.pixel, self.curves.dataset(), self._fit.growth, self._view, where,
            self.page.motif.motif,
        )  # fmt: skip

    def panel(self) -> Any:
        """Return the page, which follows the background work while it is shown."""
        page = self.page.arranged()
        self.tick()
        with suppress(RuntimeError):  # no event loop: nothing can change by itself
            asyncio.get_running_loop()
            pn.state.add_periodic_callback(self.tick, period=_TICK)
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            self.page.fit_to_browser(pn.state.curdoc)
            pn.state.on_session_destroyed(lambda _: self.close())
        return page

    def close(self) -> None:
        """End what goes on in the background for this page."""
        self.curves.close()
        self.page.motif.close()

    def _push(self) -> None:
        """Send what has changed to a notebook; a server does so itself."""
        for pane in self.page.panes:
            if any(doc.session_context is None for _, doc, comm in _shown_in(pane) if comm is not None):
                pn.io.push_notebook(pane)


def _shown_in(pane: Any) -> list[tuple[Any, Any, Any]]:
    """Return where a pane is shown: model, document and comm."""
    return [(*pn.state._views[ref][1:4],) for ref in pane._models if ref in pn.state._views]

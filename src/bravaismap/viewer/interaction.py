"""Interaction with the viewer's page: frames are drawn, windows clicked, regions selected, distortions tried."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import Any

import panel as pn
from bokeh.events import SelectionGeometry, Tap

from bravaismap.conventions import counted
from bravaismap.result.doubt import doubts
from bravaismap.result.schema import map_variables
from bravaismap.result.undone import undone_lines
from bravaismap.viewer.distortion_trial import reclassified_frame
from bravaismap.viewer.first_picture import TEMPLATE, first_picture
from bravaismap.viewer.fit_panel import FitPanel
from bravaismap.viewer.fraction_curves import Curves
from bravaismap.viewer.frame_geometry import frame_at
from bravaismap.viewer.html_fragments import header_html, message_html, notes_html, shares_html
from bravaismap.viewer.look import Look, ShownFrame, nothing_to_save
from bravaismap.viewer.messages import empty_message, progress_text, time_text
from bravaismap.viewer.motif_panel import Place
from bravaismap.viewer.movie_source import MappedMovie
from bravaismap.viewer.page import Page
from bravaismap.viewer.region_panel import RegionPanel
from bravaismap.viewer.rendering import Overlay, contrast, grey, is_of_pixels, overlay, overlay_or_none
from bravaismap.viewer.result_source import Source
from bravaismap.viewer.site_layer import SiteLayer
from bravaismap.viewer.window_panel import WindowPanel

__all__ = ["Session"]

_TICK = 400  # ms between two updates from the background
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

    Attributes
    ----------
    frame : ShownFrame
    window, region, growth, sites
        What is shown of the frame and of the curves beside the map.
    """

    def __init__(self, source: Source, other: Source | None = None) -> None:
        self._other = other
        self.source, self.curves = source, Curves(source)
        self.index, self.distortion = source.first, source.card.get("distortion")
        self.frame = ShownFrame(self.index, None, None, None, self.distortion)
        self._seen: Any = None
        self._limits: tuple[float, float] | None = None
        self.page = page = Page(source, self._variables(), self.index)
        self.window = WindowPanel(page, source, self.curves, self._draw_window)
        self.region = RegionPanel(page, source, self._draw_region)
        self.growth = FitPanel(page, self.curves, several_frames=len(source.time) > 1)
        self.sites = SiteLayer(page, self.curves)
        self._connect()
        self._draw_curves()
        self.draw()

    # What is shown

    def _variables(self) -> set[str]:
        """Return what can be laid over a frame."""
        first = self.source.frame(self.index)
        if first is not None:
            return {str(name) for name in first.variables}
        card = self.source.card
        return {variable.name for variable in map_variables(cells="distortion" in card, pixels="pixel_step" in card)}

    def _grey(self, pixels: Any) -> Any:
        if pixels is None:
            return None
        if self._limits is None:
            low, high = self.page.brightness.value
            self._limits = contrast([pixels], (low, high))
        return grey(pixels, self._limits, self.page.gamma.value)

    # Drawing

    def draw(self) -> None:
        """Show the current frame and everything that depends on it."""
        self.source.want(self.index)
        self.curves.wanted = self.index
        stored = self.source.frame(self.index)
        self._take(replace(self.frame, index=self.index, pixels=self.source.pixels(self.index), stored=stored))
        if self.page.curves is not None:
            self.page.curves.mark_time(float(self.source.time[self.index]))
        self.page.text["time"].object = time_text(self.source.time, self.index, self.source.time_unit)
        self._draw_frame()
        self._draw_beside()
        self.sites.draw(self.frame)
        self._draw_parts()
        self.page.name_files(self.source.title, self.index)

    def _take(self, frame: ShownFrame) -> None:
        """Take a frame, classified anew at the distortion of the slider."""
        phases = frame.stored
        if phases is not None and self.distortion is not None:
            phases = reclassified_frame(phases, self.distortion)
        self.frame = replace(frame, phases=phases, distortion=self.distortion)

    def _draw_parts(self) -> None:
        """Show what is known of the frame beside its map."""
        self.window.draw(self.frame)
        self.region.draw(self.frame, self.sites.sites)
        self._tell()

    def _draw_frame(self) -> None:
        page, phases, picture = self.page, self.frame.phases, self._grey(self.frame.pixels)
        page.frame.show(picture, self._layer(), page.opacity.value if picture is not None else 1.0)
        page.text["phases"].object = shares_html(self.source.classes, phases)

    def _draw_beside(self) -> None:
        """Draw the frame beside the current one: another frame, or the same of another result."""
        page, number = self.page, self.page.other.value
        if number is None and self._other is None:
            if page.beside is not None:
                page.beside.plot.visible = False
            return
        beside = page.beside_plot()
        source = self._other or self.source
        index = min(self.index if number is None else int(number), len(source.time) - 1)
        frame, pixels = source.frame(index), source.pixels(index)
        if pixels is None and self._other is not None:
            pixels = self.source.pixels(min(index, len(self.source.time) - 1))  # the movie of both
        layer = None if frame is None else self._scaled(overlay_or_none(frame, page.layer.value))
        beside.show(self._grey(pixels), layer, 1.0 if pixels is None else page.opacity.value)
        title = "" if self._other is None else f"{source.title} · "
        beside.plot.title.text = title + time_text(source.time, index, source.time_unit)
        beside.plot.visible = True

    def _layer(self) -> Overlay | None:
        key = self.page.layer.value
        frame = self.frame.stored if is_of_pixels(key) else self.frame.phases
        return None if frame is None else self._scaled(overlay(frame, key))

    def _scaled(self, layer: Overlay | None) -> Overlay | None:
        """Return a map with the ends of its scale that were typed."""
        try:
            low, high = (float(end) for end in self.page.limits.value.split(":"))
        except ValueError:
            return layer
        return layer if layer is None or layer.names or not low < high else replace(layer, low=low, high=high)

    def _draw_curves(self) -> None:
        if len(self.source.time) == 1:
            return
        fraction, std = self.curves.values()
        if self.page.curves is None:
            self.page.curve_plot().plot.on_event(Tap, self._timed)
            self.page.curve_plot().mark_time(float(self.source.time[self.index]))
        self.page.curve_plot().show(self.source.time[: len(fraction)], fraction, std, self.curves.quantity)

    def _tell(self) -> None:
        """Update the message, the header and the progress."""
        source, phases = self.source, self.frame.phases
        done, total = int(source.done.sum()), len(source.time)
        text = empty_message(
            done, total, growing=source.growing, mapping=isinstance(source, MappedMovie), problem=source.problem,
            frame_done=self.frame.stored is not None,
        )  # fmt: skip
        self.page.text["message"].object = message_html(text)
        notes = [] if phases is None else [f"undone: {line}" for line in undone_lines(phases, [self.index])]
        notes += [] if phases is None else [f"doubt: {line}" for line in doubts(phases)]
        self.page.text["doubt"].object = notes_html(notes)
        self.page.text["header"].object = header_html(source.title, source.card, progress_text(source))
        left = self.curves.left()
        self.page.text["progress"].object = f"<p>reclassifying: {counted(left, 'frame')} left</p>" if left else ""
        self.page.text["movie"].object = f"<p>{_NO_MOVIE}</p>" if source.movie is None else ""

    def _connect(self) -> None:
        page = self.page
        page.frame.plot.on_event(Tap, lambda event: self.window.choose_at(event.y, event.x))
        page.frame.plot.on_event(SelectionGeometry, self._boxed)
        watched = (
            (page.player, self._moved), (page.layer, self._relayed), (page.opacity, self._relayed),
            (page.distortion, self._distorted), (page.view, self._named), (page.part, lambda _: page.show_part()),
            (page.other, self._compared), (page.gamma, self._brightened), (page.brightness, self._brightened),
            (page.limits, self._relayed), (page.sites, lambda _: self.sites.draw(self.frame)),
        )  # fmt: skip
        for widget, call in watched:
            widget.param.watch(call, "value")
        page.motif.find.on_click(lambda _: self._ask_motif())
        page.give_files(self.file)

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

    def _boxed(self, event: Any) -> None:
        if event.final:
            self.region.choose(event.geometry)

    def _draw_window(self) -> None:
        self.window.draw(self.frame)
        self._push()

    def _draw_region(self) -> None:
        self.region.draw(self.frame, self.sites.sites)
        self._tell()
        self._push()

    def _relayed(self, _: Any) -> None:
        self._draw_frame()
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
        self._take(self.frame)
        self._draw_frame()
        self._draw_parts()
        self._push()

    def _named(self, _: Any) -> None:
        self.page.name_files(self.source.title, self.index)
        self._offer()

    def _offer(self) -> None:
        """Enable the downloads, or say why there is nothing to save."""
        growth, view = self.growth.fit.growth, self.window.view
        sites, motif = self.sites.sites, self.page.motif.motif
        self.page.offer_files(nothing_to_save(self.page.view.value, self.frame.phases, growth, view, sites, motif))

    def _ask_motif(self) -> None:
        where = time_text(self.source.time, self.index, self.source.time_unit)
        self.page.motif.ask(Place(self.frame, self.region.region, self.window.bounds, where))

    def tick(self) -> None:
        """Show what has changed in the background."""
        if self._seen is not None:
            self.curves.prepare()
        length = len(self.source.time)
        if self.page.player.end != max(length - 1, 1):
            self.page.player.param.update(end=max(length - 1, 1), disabled=length == 1)
        self.index = min(self.index, length - 1)
        new_sites = self.sites.follow()
        if new_sites:
            self.region.draw(self.frame, self.sites.sites)
        if any([new_sites, self.growth.follow(), self.window.judge(), self.page.motif.take()]):
            self._push()
        self._offer()
        if self.curves.version == self._seen:
            return
        self._seen = self.curves.version
        if self.curves.left():
            self.curves.go_on()
        if self.frame.stored is None and self.source.frame(self.index) is not None:
            self.draw()
        self._draw_curves()
        self._tell()
        self.growth.renew()
        self._push()

    # Files and the page

    def file(self, ending: str) -> BytesIO:
        """Return the chosen view as a file."""
        from bravaismap.viewer.downloads import view_file

        return view_file(self._look(), self.page.view.value, ending)

    def _look(self) -> Look:
        source = self.source
        where = time_text(source.time, self.index, source.time_unit)
        outlined, view = self.page.outlined.value, self.page.view.value
        return Look(
            self.frame.phases, self.frame.pixels, self._layer(), self.page.opacity.value,
            self.window.bounds if outlined or view == "window" else None,
            self.region.region if outlined or view == "region" else None,
            source.extent, source.unit, source.pixel, self.curves.dataset(), self.growth.fit.growth, self.window.view,
            self.sites.sites, self.page.motif.motif, where,
        )  # fmt: skip

    def panel(self) -> Any:
        """Return the page, which follows the background work while it is shown."""
        page = self.page.arranged()
        self.tick()
        with suppress(RuntimeError):  # no event loop: nothing can change by itself
            asyncio.get_running_loop()
            pn.state.add_periodic_callback(self.tick, period=_TICK)
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.curdoc.template = TEMPLATE
            pn.state.curdoc.template_variables["first_picture"] = first_picture(self.source, self.index)
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

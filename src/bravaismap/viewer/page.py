"""The viewer's page: its plots, widgets and texts, and their layout.

Panel carries the widgets and the page; the plots are Bokeh's own, made once and then given new data. That takes a
hundredth of the time of plots that are described again for each frame, and a movie plays smoothly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from typing import Any

import panel as pn

from bravaismap.conventions import display_name
from bravaismap.kinetics.laws import LAWS
from bravaismap.viewer.curve_plot import CurvePlot
from bravaismap.viewer.first_picture import AROUND, OPACITY
from bravaismap.viewer.fitting import fit_to_browser
from bravaismap.viewer.frame_plot import FramePlot
from bravaismap.viewer.html_fragments import STYLE
from bravaismap.viewer.look import VIEWS
from bravaismap.viewer.motif_panel import WHOLE, MotifPanel
from bravaismap.viewer.rendering import first_layer, layers_of
from bravaismap.viewer.result_source import Source
from bravaismap.viewer.window_plots import WindowPlots

__all__ = ["INTERVAL", "Page"]

#: Time from one frame to the next while the movie plays, in ms.
INTERVAL = 400

#: Sizes in screen px before the browser says how large it is: of a frame, of the curves, of the plots of a window.
_FRAME, _CURVES, _WINDOW = (440, 470), (205, 694), 225
_PARTS = ("window", "region", "motif", "picture", "save")
_TEXTS = (
    "header", "message", "doubt", "time", "phases", "sites", "fit", "window", "region", "movie", "progress", "save",
)  # fmt: skip


class Page:
    """The plots, widgets and texts of one page; plots that nobody looks at yet are not made.

    Parameters
    ----------
    source : Source
    variables : iterable of str
        What its maps hold.
    index : int
        Frame to begin with.
    """

    def __init__(self, source: Source, variables: Iterable[str], index: int) -> None:
        self._source = source
        self.frame = FramePlot(source.classes, source.extent, source.unit, _FRAME)
        self.beside: FramePlot | None = None
        self.curves: CurvePlot | None = None
        self.window: WindowPlots | None = None
        self.motif = MotifPanel()
        self.text: dict[str, Any] = {
            name: pn.pane.HTML("", stylesheets=[STYLE], margin=(1, 5), sizing_mode="stretch_width",
                               css_classes=[f"bravaismap-{name}"]) for name in _TEXTS
        }  # fmt: skip
        self._make_frame_widgets(source, variables, index)
        self._make_curve_widgets(source)
        self._make_part_widgets(source)
        self._make_picture_widgets()
        self.panes: list[Any] = [_pane(self.frame.plot)]
        self._frames = pn.Row(*self.panes, margin=0)
        self._curves, self._looks = pn.Column(margin=0), pn.FlexBox(margin=0)
        self._parts: dict[str, Any] = {}

    def _make_frame_widgets(self, source: Source, variables: Iterable[str], index: int) -> None:
        last = len(source.time) - 1
        held = set(variables)
        layers, first = layers_of(held, source.classes), first_layer(held)
        self.layer = pn.widgets.Select(
            label="map", groups=layers, value=first, width=175, description="What is laid over the frame."
        )
        self.opacity = pn.widgets.FloatSlider(label="opacity", start=0, end=1, step=0.05, value=OPACITY,
                                              width=125)  # fmt: skip
        self.sites = pn.widgets.Checkbox(label="sites", value=False, align="end", width=60)
        self.other = pn.widgets.IntInput(
            label="frame beside", start=0, end=max(last, 0), value=None, width=95, visible=last > 0,
            description="Number of a frame that is shown beside this one, with the same map; empty for none.",
        )  # fmt: skip
        self.player = pn.widgets.Player(
            label="", start=0, end=max(last, 1), value=index, interval=INTERVAL, loop_policy="once",
            sizing_mode="stretch_width", min_width=300, show_loop_controls=False, show_value=False, height=52,
            disabled=last == 0, visible=last > 0, scale_buttons=0.9,
        )  # fmt: skip
        distortion = source.card.get("distortion")
        percent = 100 * float(distortion or 0.0)
        self.distortion = pn.widgets.FloatSlider(
            label="scan distortion (%)" if distortion is not None else "no scan distortion: a network's result",
            start=0, end=max(10.0, percent), step=0.1, value=percent, disabled=distortion is None, width=165,
        )  # fmt: skip

    def _make_curve_widgets(self, source: Source) -> None:
        names = {display_name(name): name for name in source.classes}
        grows = "none" if "none" in source.classes else source.classes[-1]
        shown = len(source.time) > 1
        self.fit_class = pn.widgets.Select(label="growth of", options=names, value=grows, width=140, visible=shown)
        self.law = pn.widgets.Select(
            label="law", options=list(LAWS), value="exponential", width=120, visible=shown,
            description="Law of growth above a constant.",
        )  # fmt: skip
        self.baseline = pn.widgets.TextInput(
            label="baseline t0:t1", placeholder="fitted", width=120, visible=shown,
            description="Times before the growth, whose mean gives the constant; fitted when empty.",
        )  # fmt: skip
        self.fit = pn.widgets.Button(label="fit", width=60, align="end", visible=shown,
                                     description="Fit the law to the fraction of the class.")  # fmt: skip

    def _make_part_widgets(self, source: Source) -> None:
        self.part = pn.widgets.RadioButtonGroup(label="shown below", options=list(_PARTS), width=300)
        self.row = pn.widgets.IntInput(label="row", start=0, end=len(source.y) - 1, value=None, width=75)
        self.column = pn.widgets.IntInput(label="column", start=0, end=len(source.x) - 1, value=None, width=75)
        self.region = pn.widgets.TextInput(
            label=f"y0:y1,x0:x1 ({source.unit})", placeholder="whole frame", width=230,
            description="Drag over the frame, or type the ends of the region.",
        )  # fmt: skip
        self.whole = pn.widgets.Button(label="whole frame", width=110, align="end")
        self.view = pn.widgets.Select(label="what to save", options=list(VIEWS), width=170)
        self.outlined = pn.widgets.Checkbox(label="with outlines", value=False, align="end", width=110)
        self.downloads = {ending: pn.widgets.FileDownload(
            filename=f"view.{ending}", label=f"save {ending.upper()}", color="default", width=110, align="end",
            embed=False, callback=lambda: None,
        ) for ending in ("png", "svg", "csv")}  # fmt: skip

    def _make_picture_widgets(self) -> None:
        self.brightness = pn.widgets.RangeSlider(
            label="black to white (percentiles of the frames)", start=0, end=100, step=0.5, value=(0.5, 99.5), width=360
        )
        self.gamma = pn.widgets.FloatSlider(label="gamma", start=0.2, end=3, step=0.05, value=1, width=180)
        self.limits = pn.widgets.TextInput(
            label="ends of the map's scale, low:high", placeholder="automatic", width=230,
            description="Not for classes; automatic when empty.",
        )  # fmt: skip

    def beside_plot(self) -> FramePlot:
        """Return the plot of the frame beside the first, made when it is first needed."""
        if self.beside is None:
            source = self._source
            self.beside = FramePlot(source.classes, source.extent, source.unit, _FRAME, "beside")
            self._add(self._frames, self.beside.plot)
        return self.beside

    def curve_plot(self) -> CurvePlot:
        """Return the plot of the curves, made when there are several frames."""
        if self.curves is None:
            self.curves = CurvePlot(self._source.classes, self._source.time_unit, _CURVES)
            self._add(self._curves, self.curves.plot)
        return self.curves

    def window_plots(self) -> WindowPlots:
        """Return the plots of a window, made for the first one."""
        if self.window is None:
            plots = self.window = WindowPlots(self._source.classes, _WINDOW)
            self._add(self._looks, plots.pixels, plots.spectrum, plots.bars, plots.shape)
        return self.window

    def _add(self, box: Any, *plots: Any) -> None:
        panes = [_pane(plot) for plot in plots]
        self.panes += panes
        box.extend(panes)

    def give_files(self, file: Callable[[str], Any]) -> None:
        """Have the downloads call a function of the ending for their content."""
        for ending, button in self.downloads.items():
            button.callback = partial(file, ending)

    def name_files(self, title: str, index: int) -> None:
        """Name the downloads after the result, the frame, and what is to be saved."""
        view = self.view.value
        stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in title.removesuffix(".zarr"))
        frame = "" if view in ("fraction curves", "fit") else f"_frame{index:04d}"
        for ending, button in self.downloads.items():
            button.filename = f"{stem}{frame}_{view.replace(' ', '-')}.{ending}"

    def offer_files(self, reason: str) -> None:
        """Enable the downloads, or say why there is nothing to save."""
        for button in self.downloads.values():
            if button.disabled != bool(reason):
                button.disabled = bool(reason)
        self.text["save"].object = f"<p>{escape(reason)}</p>"

    def show_part(self) -> None:
        """Show the part of the page that was chosen."""
        for name, part in self._parts.items():
            part.visible = name == self.part.value
        self.row.visible = self.column.visible = self.part.value == "window"

    def turn_to(self, part: str, selected: bool = True) -> None:
        """Show what belongs to the window or the region that was selected or given up: its motif if that is shown."""
        self.motif.select(part if selected else WHOLE)
        if self.part.value != "motif":
            self.part.value = part

    def arranged(self) -> Any:
        """Return the page: the frame and what belongs to it, and beside or below it, as there is room, the rest."""
        text = self.text
        left = pn.Column(
            pn.FlexBox(self.layer, self.opacity, self.other, self.sites, align_items="end"), self._frames, text["time"],
            self.player, text["phases"], text["sites"], text["movie"], margin=0, name="left",
            styles={"width": f"{_FRAME[1] + 92}px"},
        )  # fmt: skip
        self._parts = {
            "window": pn.Column(text["window"], self._looks, margin=0),
            "region": pn.Column(pn.Row(self.region, self.whole), text["region"], margin=0),
            "motif": self.motif.layout(),
            "picture": pn.Column(pn.FlexBox(self.brightness, self.gamma, self.limits), margin=0),
            "save": pn.Column(pn.FlexBox(self.view, self.outlined, *self.downloads.values()), text["save"], margin=0),
        }
        right = pn.Column(
            pn.FlexBox(self.distortion, self.fit_class, self.law, self.baseline, self.fit, margin=0),
            text["progress"], self._curves, text["fit"], pn.FlexBox(self.part, self.row, self.column, margin=0),
            *self._parts.values(), margin=0, name="right", styles={"width": f"{_CURVES[1]}px"},
        )  # fmt: skip
        self.show_part()
        return pn.Column(
            text["header"],
            text["message"],
            pn.FlexBox(left, right, gap="8px", margin=0, name="halves"),
            sizing_mode="stretch_width",
        )

    def fit_to_browser(self, document: Any) -> None:
        """Have the page of a server use all of the window of the browser."""
        fit_to_browser(document, 1.0, self._source.extent.aspect, AROUND)


def _pane(plot: Any) -> Any:
    return pn.pane.Bokeh(plot, margin=0)

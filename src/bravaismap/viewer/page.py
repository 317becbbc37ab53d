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
from bravaismap.viewer.bokeh_plots import CurvePlot, FramePlot, WindowPlots
from bravaismap.viewer.downloads import VIEWS
from bravaismap.viewer.html_fragments import STYLE
from bravaismap.viewer.rendering import layers_of
from bravaismap.viewer.result_source import Source

__all__ = ["INTERVAL", "Page"]

#: Time from one frame to the next while the movie plays, in ms.
INTERVAL = 400

_LEFT, _RIGHT = 562, 694  # px
_CURVES, _WINDOW = 205, 225  # px
_FRAME = (440, 470)  # px
_PARTS = ("window", "region", "save")
_TEXTS = ("header", "message", "time", "phases", "fit", "window", "region", "movie", "progress", "save")


class Page:
    """The plots, widgets and texts of one page.

    Parameters
    ----------
    source : Source
    variables : iterable of str
        What its maps hold.
    index : int
        Frame to begin with.
    """

    def __init__(self, source: Source, variables: Iterable[str], index: int) -> None:
        self.frame = FramePlot(source.classes, source.extent, source.unit, _FRAME)
        self.curves = CurvePlot(source.classes, source.time_unit, (_CURVES, _RIGHT))
        self.window = WindowPlots(source.classes, _WINDOW)
        self.text: dict[str, Any] = {
            name: pn.pane.HTML("", stylesheets=[STYLE], margin=(1, 5), sizing_mode="stretch_width",
                               css_classes=[f"bravaismap-{name}"]) for name in _TEXTS
        }  # fmt: skip
        self._make_frame_widgets(source, variables, index)
        self._make_curve_widgets(source)
        self._make_part_widgets(source)
        self.panes: list[Any] = []
        self._parts: dict[str, Any] = {}

    def _make_frame_widgets(self, source: Source, variables: Iterable[str], index: int) -> None:
        last = len(source.time) - 1
        held = set(variables)
        layers, first = layers_of(held, source.classes), "phase" if "phase" in held else "label"
        self.layer = pn.widgets.Select(label="map", groups=layers, value=first, width=230)
        self.opacity = pn.widgets.FloatSlider(label="opacity of the map", start=0, end=1, step=0.05, value=0.5,
                                              width=150)  # fmt: skip
        self.player = pn.widgets.Player(
            label="", start=0, end=max(last, 1), value=index, interval=INTERVAL, loop_policy="once",
            width=_LEFT - 30, show_loop_controls=False, show_value=False, height=52, disabled=last == 0,
            scale_buttons=0.9,
        )  # fmt: skip
        distortion = source.card.get("distortion")
        percent = 100 * float(distortion or 0.0)
        self.distortion = pn.widgets.FloatSlider(
            label="scan distortion (%)" if distortion is not None else "no scan distortion: a network's result",
            start=0, end=max(10.0, percent), step=0.1, value=percent, disabled=distortion is None, width=230,
        )  # fmt: skip

    def _make_curve_widgets(self, source: Source) -> None:
        names = {display_name(name): name for name in source.classes}
        grows = "none" if "none" in source.classes else source.classes[-1]
        self.fit_class = pn.widgets.Select(label="fit the growth of", options=names, value=grows, width=150)
        self.law = pn.widgets.Select(label="law", options=list(LAWS), value="exponential", width=110)
        self.baseline = pn.widgets.TextInput(label="baseline t0:t1", placeholder="fitted", width=100)

    def _make_part_widgets(self, source: Source) -> None:
        self.part = pn.widgets.RadioButtonGroup(label="shown below", options=list(_PARTS), width=240)
        self.row = pn.widgets.IntInput(label="row", start=0, end=len(source.y) - 1, value=None, width=75)
        self.column = pn.widgets.IntInput(label="column", start=0, end=len(source.x) - 1, value=None, width=75)
        self.region = pn.widgets.TextInput(label=f"y0:y1,x0:x1 ({source.unit})", placeholder="whole frame", width=230)
        self.whole = pn.widgets.Button(label="whole frame", width=110, align="end")
        self.view = pn.widgets.Select(label="what to save", options=list(VIEWS), width=170)
        self.downloads = {ending: pn.widgets.FileDownload(
            filename=f"view.{ending}", label=f"save {ending.upper()}", color="default", width=120, align="end",
            embed=False, callback=lambda: None,
        ) for ending in ("png", "svg", "csv")}  # fmt: skip

    def give_files(self, file: Callable[[str], Any]) -> None:
        """Have the downloads call a function of the ending for their content."""
        for ending, button in self.downloads.items():
            button.callback = partial(file, ending)

    def name_files(self) -> None:
        """Name the downloads after what is to be saved."""
        for ending, button in self.downloads.items():
            button.filename = f"{self.view.value.replace(' ', '-')}.{ending}"

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

    def arranged(self) -> Any:
        """Return the page."""
        text, plots = self.text, self.window
        frame, curves = _pane(self.frame.plot), _pane(self.curves.plot)
        looks = [_pane(plot) for plot in (plots.pixels, plots.spectrum, plots.bars, plots.shape)]
        self.panes = [frame, curves, *looks]
        left = pn.Column(
            pn.Row(self.layer, self.opacity), frame, text["time"], self.player, text["phases"],
            text["movie"], width=_LEFT, margin=0,
        )  # fmt: skip
        self._parts = {
            "window": pn.Column(
                text["window"],
                pn.Row(*looks, margin=0),
                margin=0,
            ),
            "region": pn.Column(pn.Row(self.region, self.whole), text["region"], margin=0),
            "save": pn.Column(pn.Row(self.view, *self.downloads.values()), text["save"], margin=0),
        }  # fmt: skip
        right = pn.Column(
            pn.Row(self.distortion, self.fit_class, self.law, self.baseline, margin=0), text["progress"],
            curves, text["fit"], pn.Row(self.part, self.row, self.column, margin=0),
            *self._parts.values(), width=_RIGHT, margin=0,
        )  # fmt: skip
        self.show_part()
        return pn.Column(text["header"], text["message"], pn.Row(left, right, margin=0), width=_LEFT + _RIGHT + 10)


def _pane(plot: Any) -> Any:
    return pn.pane.Bokeh(plot, margin=0)

"""The motif of a frame, a region or a window in the viewer: averaged cell, columns, plane group; worked out on demand.

A motif takes up to a few seconds. It is worked out in a thread of its own while the page goes on, and says of which
frame and part it is, since the page may show another one by then.
"""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
from numpy.typing import NDArray

from bravaismap.classify.settings import DEFAULT_DISTORTION
from bravaismap.conventions import display_name
from bravaismap.errors import BravaismapError
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.html_fragments import STYLE, message_html, notes_html
from bravaismap.viewer.look import ShownFrame

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["WHOLE", "MotifPanel", "Place", "motif_html", "motifs_of"]

#: What can be averaged.
WHOLE, _REGION, _WINDOW = "whole frame", "region", "window"
_ABOUT = "Averaged over all pixels of the lattice there; voids and other phases are left out."
_HINT = "Choose what to average, and press “find the motif”: averaged cell, columns and plane group."
_NO_PIXELS = "The motif is averaged from the frames, which are not here: give the movie that was mapped."
_NOT_MAPPED = "This frame is not mapped yet."
_NOT_CHOSEN = {
    _REGION: "No region is selected: drag over the frame first.",
    _WINDOW: "No window is selected: click on the frame first.",
}
_LARGEST_PICTURE = 640  # screen px


@dataclass(frozen=True, eq=False)
class Place:
    """What the page shows, of which a motif can be asked.

    Attributes
    ----------
    frame : ShownFrame
    region, window : Region or None
        As they are selected, in the unit of the result.
    time : str
        Which frame it is, in words.
    """

    frame: ShownFrame
    region: Region | None
    window: Region | None
    time: str


@dataclass(frozen=True, eq=False)
class _Shown:
    """A motif with its name among those of a place, and its part of the page."""

    name: str
    motif: xr.Dataset
    html: str


def motifs_of(place: Place, part: Region | None) -> list[tuple[str, xr.Dataset]]:
    """Return the motif of each lattice in a part of a frame with its name, the one of most pixels first.

    Parameters
    ----------
    place : Place
        With a map and pixels.
    part : Region or None
        The whole frame for None.

    Raises
    ------
    InputError
        If there is no lattice, or it has too few cells.
    """
    from bravaismap.motif.motif import motif
    from bravaismap.movie import as_movie
    from bravaismap.phases.motifs import motif_map

    frame, pixels = place.frame.stored, place.frame.pixels
    assert frame is not None
    assert pixels is not None
    size = frame.attrs.get("pixel_size_nm")
    image = as_movie(np.asarray(pixels)[None], pixel_size=size)
    distortion = DEFAULT_DISTORTION if place.frame.distortion is None else place.frame.distortion
    if "phase" not in frame:
        inside = _inside(pixels.shape, part, float(size or 1.0))
        return [("crystal", motif(image, mask=inside, distortion=distortion))]
    region = None if part is None else {"y": slice(part.y0, part.y1), "x": slice(part.x0, part.x1)}
    motifs = motif_map(frame, image, together=1, region=region, distortion=distortion)
    table = motifs.to_dataset()
    names = [
        f"{display_name(str(phase))}, {cells:.0f} cells"
        for phase, cells in zip(table["phase"].values, table["cells"].values, strict=True)
    ]
    return [(name, motifs[str(i)].to_dataset()) for i, name in enumerate(names)]


def _inside(shape: tuple[int, ...], part: Region | None, size: float) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie in a region."""
    if part is None:
        return np.ones(shape, bool)
    y, x = (size * np.arange(side) for side in shape)
    return np.asarray(((y >= part.y0) & (y <= part.y1))[:, None] & (x >= part.x0) & (x <= part.x1))


def motif_html(motif: xr.Dataset) -> str:
    """Return what is said of a motif: a picture, its lines, and the table of its columns."""
    from bravaismap.export.html_page import png_of
    from bravaismap.motif.doubt import motif_doubts
    from bravaismap.motif.summary import column_rows, summary_lines
    from bravaismap.show.motif import plot_motif

    picture = b64encode(png_of(plot_motif(motif))).decode()
    lines = "".join(
        f'<tr><td><b>{escape(name)}</b></td><td class="wide">{escape(text)}</td></tr>'
        for name, text in summary_lines(motif)
    )
    head, *rows = column_rows(motif)
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    alt = f"averaged cell, structure factors and plane groups: {motif.attrs['plane_group']}"
    return (
        f"{notes_html([f'doubt: {line}' for line in motif_doubts(motif)])}<table>{lines}</table>"
        f'<img alt="{escape(alt)}" style="width: 100%; max-width: {_LARGEST_PICTURE}px" '
        f'src="data:image/png;base64,{picture}"><table><tr>{titles}</tr>{body}</table>'
    )


class MotifPanel:
    """The widgets and the text of the part of the page that shows a motif.

    Attributes
    ----------
    of : widget
        What is averaged: the whole frame, the region, or the window.
    find : widget
        The button that starts it.
    """

    def __init__(self) -> None:
        self.of = pn.widgets.Select(label="motif of", options=[WHOLE, _REGION, _WINDOW], width=130)
        self.find = pn.widgets.Button(label="find the motif", width=120, align="end")
        self._lattice = pn.widgets.Select(label="lattice", options=[], width=220, visible=False)
        self._text = pn.pane.HTML(
            f"<p>{_HINT}</p>", stylesheets=[STYLE], margin=(1, 5), sizing_mode="stretch_width",
            css_classes=["bravaismap-motif"],
        )  # fmt: skip
        self._pool = ThreadPoolExecutor(1, "bravaismap motif")
        self._job: Future[list[_Shown]] | None = None
        self._shown: list[_Shown] = []
        self._where = ""
        self._lattice.param.watch(lambda _: self._draw(), "value")

    def layout(self) -> Any:
        """Return the widgets and the text, as they lie on the page."""
        return pn.Column(pn.FlexBox(self.of, self.find, self._lattice), self._text, margin=0)

    @property
    def motif(self) -> xr.Dataset | None:
        """The motif that is shown."""
        return next((shown.motif for shown in self._shown if shown.name == self._lattice.value), None)

    def select(self, part: str) -> None:
        """Choose what is to be averaged next: the whole frame, the region or the window."""
        self.of.value = part

    def ask(self, place: Place) -> None:
        """Begin to work out the motif of what is chosen, or say why there is none."""
        if self._job is not None:
            return
        part = {WHOLE: None, _REGION: place.region, _WINDOW: place.window}[self.of.value]
        missing = "" if self.of.value == WHOLE or part is not None else _NOT_CHOSEN[self.of.value]
        unmapped = _NOT_MAPPED if place.frame.stored is None else missing
        reason = _NO_PIXELS if place.frame.pixels is None else unmapped
        if reason:
            self._say(message_html(reason))
            return
        self._where = f"{place.time}, {self.of.value}" + ("" if part is None else f" {part}")
        self._say(f"<p>{escape(self._where)}: averaging the cells and weighing the plane groups …</p>")
        self.find.disabled = True
        self._job = self._pool.submit(_worked_out, place, part)

    def take(self) -> bool:
        """Show a motif that has been worked out; return whether there was one."""
        if self._job is None or not self._job.done():
            return False
        job, self._job = self._job, None
        self.find.disabled = False
        try:
            self._shown = job.result()
        except Exception as error:  # the page goes on
            fault = "" if isinstance(error, BravaismapError) else f"{type(error).__name__}: "
            self._say(message_html(f"{self._where}: {fault}{error}"))
            return True
        names = [shown.name for shown in self._shown]
        self._lattice.param.update(options=names, value=names[0], visible=len(names) > 1)
        self._draw()
        return True

    def wait(self) -> None:
        """Wait until the motif that was asked for is worked out, or has failed."""
        if self._job is not None:
            wait([self._job])

    def close(self) -> None:
        """End what goes on in the background."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _say(self, html: str) -> None:
        self._shown = []
        self._lattice.visible = False
        self._text.object = html

    def _draw(self) -> None:
        for shown in self._shown:
            if shown.name == self._lattice.value:
                self._text.object = f"<p>{escape(self._where)}. {_ABOUT}</p>{shown.html}"


def _worked_out(place: Place, part: Region | None) -> list[_Shown]:
    motifs = motifs_of(place, part)
    same = [sum(other == name for other, _ in motifs[:i]) for i, (name, _) in enumerate(motifs)]
    return [
        _Shown(f"{name} ({count + 1})" if count else name, motif, motif_html(motif))
        for (name, motif), count in zip(motifs, same, strict=True)
    ]

"""The first picture: the frame with its map as one image, which a page shows while the rest of it is loaded.

A browser loads and runs several megabytes of code before it draws the plots; an image it draws at once.
"""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.html_fragments import STYLE, header_html, shares_html
from bravaismap.viewer.messages import extent_text
from bravaismap.viewer.rendering import Overlay, contrast, first_layer, grey, overlay

if TYPE_CHECKING:
    from bravaismap.viewer.result_source import Source

__all__ = ["ABOVE", "AROUND", "MARK", "NARROW", "OPACITY", "TEMPLATE", "first_picture", "picture"]

#: Width and height in screen px of what stands around the frame: axis and tools; header, widgets, colour bar, time,
#: player, phases.
AROUND: Final = (95, 400)
#: Width of the browser's window in px below which the parts of the page lie below one another, and the height that is
#: then left for what stands above and below the frame.
NARROW: Final = 1000
ABOVE: Final = 150
#: Of the map over the frame, before somebody moves the slider.
OPACITY: Final = 0.5
#: Name of the element that the page takes away when its plots are drawn.
MARK: Final = "first-picture"
#: The page: what is drawn first comes before the code that is loaded.
TEMPLATE: Final = """
{% block js_resources %}{% endblock %}
{% block inner_body %}
{{ first_picture }}
{{ bokeh_js }}
{{ super() }}
{% endblock %}
"""
_STYLE: Final = STYLE.replace(":host", f"#{MARK}") + (
    f"#{MARK} {{ position: absolute; inset: 0; z-index: 9; background: white; padding: 4px 5px; }}\n"
    f"#{MARK} img {{ display: block; margin: 62px 0 8px 50px; image-rendering: pixelated; }}\n"
)
_LONGEST: Final = 512  # px along a side
_QUALITY: Final = 85  # of the JPEG


def picture(grey: NDArray[np.uint8] | None, layer: Overlay | None, opacity: float, extent: Region) -> bytes:
    """Return a frame with its map as a JPEG image.

    Parameters
    ----------
    grey : array (y, x) of grey values, or None without the frame
    layer : Overlay or None
        Its map.
    opacity : float
        Of the map over the frame.
    extent : Region
        Edges of the frame.
    """
    size = extent.y1 - extent.y0, extent.x1 - extent.x0
    height, width = (round(_LONGEST * side / max(size)) for side in size)
    y = extent.y0 + (np.arange(height) + 0.5) * size[0] / height
    x = extent.x0 + (np.arange(width) + 0.5) * size[1] / width
    colors = np.full((height, width, 3), 255.0)
    if grey is not None:
        rows, columns = ((np.arange(n) * have) // n for n, have in zip((height, width), grey.shape, strict=True))
        colors[:] = grey[rows[:, None], columns, None]
    if layer is not None:
        values = _at(layer, y, x)
        palette = np.array([ImageColor.getrgb(color) for color in layer.palette], float)
        place = (values - layer.low) / (layer.high - layer.low) * len(palette)
        laid = np.isfinite(values)
        over = palette[np.clip(place[laid].astype(int), 0, len(palette) - 1)]
        share = opacity if grey is not None else 1.0
        colors[laid] = share * over + (1 - share) * colors[laid]
    buffer = BytesIO()
    Image.fromarray(colors.astype(np.uint8)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _at(layer: Overlay, y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a map at rows y and columns x, NaN outside it."""
    b = layer.bounds
    ends = ((y, b.y0, b.y1), (x, b.x0, b.x1))
    places = [(at - low) / (high - low) * n for (at, low, high), n in zip(ends, layer.values.shape, strict=True)]
    rows, columns = (
        np.clip(place.astype(int), 0, n - 1) for place, n in zip(places, layer.values.shape, strict=True)
    )  # fmt: skip
    inside = [(place >= 0) & (place < n) for place, n in zip(places, layer.values.shape, strict=True)]
    return np.where(inside[0][:, None] & inside[1], layer.values[rows[:, None], columns], np.nan)


def first_picture(source: Source, index: int) -> str:
    """Return a frame of a source with its map as a part of a page, which takes it away when its plots are drawn.

    Parameters
    ----------
    source : Source
    index : int
        Number of the frame.
    """
    frame, pixels, extent = source.frame(index), source.pixels(index), source.extent
    image = picture(
        None if pixels is None else grey(pixels, contrast([pixels])),
        None if frame is None else overlay(frame, first_layer(frame)), OPACITY, extent,
    )  # fmt: skip
    header = header_html(source.title, source.card, extent_text(source))
    wide = f"min(45vw - {AROUND[0]}px, max(100vh - {AROUND[1]}px, 260px) * {extent.aspect:.4f})"
    narrow = f"min(100vw - {AROUND[0] + 30}px, (100vh - {ABOVE}px) * {extent.aspect:.4f})"
    data = b64encode(image).decode("ascii")
    return (
        f'<div id="{MARK}"><style>{_STYLE} #{MARK} {{ --wide: {wide}; }}'
        f"@media (max-width: {NARROW - 1}px) {{ #{MARK} {{ --wide: {narrow}; }} }}</style>{header}"
        f'<img alt="the frame with its map" style="width: var(--wide)" src="data:image/jpeg;base64,{data}">'
        f'<div style="width: calc(var(--wide) + {AROUND[0]}px)">{shares_html(source.classes, frame)}</div>'
        '<p role="status">loading the rest of the page …</p></div>'
    )

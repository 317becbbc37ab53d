"""HTML fragments of the viewer; every text that comes from a file is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import IUCR_SYMBOLS, display_name
from bravaismap.result.phase_map import percent
from bravaismap.result.shares import class_shares
from bravaismap.show.colors import class_colors

__all__ = [
    "STYLE",
    "cell_html",
    "header_html",
    "message_html",
    "notes_html",
    "phases_html",
    "shares_html",
    "table_html",
]

#: Style of every pane; system fonts, dark on light.
STYLE = """
:host { font-family: system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; font-size: 13px; color: #222;
  line-height: 1.35; }
table { border-collapse: collapse; width: 100%; font-size: 12px; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #999; padding: 1px 8px 1px 0; }
td { padding: 1px 8px 1px 0; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child { white-space: normal; }
p { margin: 2px 0; }
.swatch { display: inline-block; width: 11px; height: 11px; margin-right: 6px; border: 1px solid #555; }
.phases { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, max-content)); gap: 1px 12px;
  font-size: 12px; }
.phases span { white-space: nowrap; }
.phases .what { grid-column: 1 / -1; }
.cell span { margin-right: 14px; white-space: nowrap; }
.message { background: #fff4ce; border-left: 4px solid #E69F00; padding: 4px 8px; }
h1 { font-size: 16px; margin: 0; display: inline; }
.about { color: #555; margin-left: 12px; }
"""


def header_html(title: str, card: dict[str, Any], shape: str) -> str:
    """Return the title line: the name of the result, and how it was made."""
    about = [shape, f"model {card.get('model', 'unknown')}"]
    about.append(f"window {card.get('window', '?')} px, step {card.get('step', '?')} px")
    size = card.get("pixel_size_nm")
    about.append("pixel size unknown" if size is None else f"{float(size):.4g} nm per px")
    return f'<h1>{escape(title)}</h1><span class="about">{escape(" · ".join(about))}</span>'


def message_html(text: str) -> str:
    """Return a message to the user, nothing for an empty text."""
    return f'<div class="message" role="status">{escape(text)}</div>' if text else ""


def notes_html(lines: list[str]) -> str:
    """Return what there is to know of a frame, a line each."""
    return "".join(f'<div class="message" role="note">{escape(line)}</div>' for line in lines)


def phases_html(
    classes: tuple[str, ...], fraction: NDArray[np.floating], std: NDArray[np.floating], quantity: str = ""
) -> str:
    """Return the share of a frame that each class has beside its colour, after what the share is."""
    rows = [f'<span class="what">{escape(quantity)}</span>'] if quantity else []
    for (name, color), value, spread in zip(class_colors(classes).items(), fraction, std, strict=True):
        share = "–" if np.isnan(value) else percent(value, spread)
        symbol = IUCR_SYMBOLS.get(name, "")
        text = escape(display_name(name)) + (f" <i>{symbol}</i>" if symbol else "")
        rows.append(f'<span><span class="swatch" style="background:{color}"></span>{text} <b>{share}</b></span>')
    return f'<div class="phases">{"".join(rows)}</div>'


def shares_html(classes: tuple[str, ...], frame: xr.Dataset | None) -> str:
    """Return the share of each class of a frame (time axis of length 1), dashes for one that is not mapped."""
    if frame is None:
        nothing = np.full(len(classes), np.nan)
        return phases_html(classes, nothing, nothing)
    shares = class_shares(frame)
    return phases_html(classes, shares.fraction.values[0], shares.std.values[0], shares.quantity)


def cell_html(where: str, lines: list[tuple[str, str]]) -> str:
    """Return the cell of a window."""
    long = ("deviation", "verdict")
    short, rest = ([line for line in lines if (line[0] in long) is chosen] for chosen in (False, True))
    text = "".join(f"<span><b>{escape(name)}</b> {escape(value)}</span> " for name, value in short)
    sentences = "".join(f"<p><b>{escape(name)}</b> {escape(value)}</p>" for name, value in rest)
    return f'<p>{escape(where)}</p><p class="cell">{text}</p>{sentences}'


def table_html(rows: list[list[str]], classes: tuple[str, ...]) -> str:
    """Return a table with a class per row, the header first."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = []
    for color, row in zip(class_colors(classes).values(), rows[1:], strict=True):
        swatch = f'<span class="swatch" style="background:{color}"></span>'
        cells = [f"<td>{swatch}{escape(row[0])}</td>", *(f"<td>{escape(cell)}</td>" for cell in row[1:])]
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"

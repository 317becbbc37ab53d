"""Self-contained HTML pages: text, tables and figures in one file, without scripts and without access to a network.

All text is escaped: names, attributes and titles of a file cannot add markup to a page. A content security policy also
forbids the browser to load anything.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from matplotlib.figure import Figure

__all__ = ["bullets", "cell", "heading", "page", "paragraph", "picture", "png_of", "table"]

_DPI = 130
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; overflow-wrap: anywhere; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { border-bottom: 2px solid #888; } .number { text-align: right; overflow-wrap: normal; }
td.number { white-space: nowrap; } small { color: #555; }
img { max-width: 100%; display: block; margin: .8rem 0; } figure { margin: 1rem 0; } figcaption { color: #444; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border: 1px solid #555; }
.note { background: #fdecea; border-left: 4px solid #b2182b; padding: .5rem 1rem; }
.agrees, .better { color: #00664b; } .differs, .worse { color: #a8321a; } .not { color: #555; }
@media print {
  @page { margin: 15mm; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  h1, h2 { break-after: avoid; } figure, tr { break-inside: avoid; } img { max-height: 220mm; }
  table { font-size: 9pt; } th, td { padding: .15rem .5rem; } .swatch, .note { print-color-adjust: exact; }
}
"""


def page(title: str, body: Iterable[str]) -> str:
    """Return a page with a title (plain text) and a body, a sequence of headings, paragraphs, tables and pictures."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """Return a heading; level 1 is that of the page."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, *, note: bool = False) -> str:
    """Return a paragraph, set off as a warning if it is a note."""
    return f'<p class="note">{escape(text)}</p>' if note else f"<p>{escape(text)}</p>"


def bullets(sentences: Sequence[str]) -> list[str]:
    """Return sentences as a bulleted list; no lines if there is no sentence."""
    if not sentences:
        return []
    return ["<ul>", *(f"<li>{escape(sentence)}</li>" for sentence in sentences), "</ul>"]


def cell(text: str, *below: tuple[str, str], number: bool = True, span: int = 1, color: str = "") -> str:
    """Return a cell of a table.

    Parameters
    ----------
    text : str
    *below : (str, str)
        Small print below it: the text, and its style (``agrees``, ``better``, ``differs``, ``worse``, ``not``, or
        none).
    number : bool
        Align the text to the right.
    span : int
        Number of columns of the cell.
    color : str
        Colour of a square before the text, such as ``#0072B2``.
    """
    attributes = (' class="number"' if number else "") + (f' colspan="{span}"' if span > 1 else "")
    square = f'<span class="swatch" style="background:{escape(color)}"></span>' if color else ""
    small = "".join(
        "<br><small" + (f' class="{escape(style)}"' if style else "") + f">{escape(note)}</small>"
        for note, style in below
    )
    return f"<td{attributes}>{square}{escape(text)}{small}</td>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> str:
    """Return a table.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns (plain text).
    rows : iterable of sequences of str
        Cells, made by :func:`cell`.
    numbers : bool
        Align the titles to the right, except the first.
    """
    style = ' class="number"' if numbers else ""
    first, *rest = (escape(text) for text in head)
    titles = f"<th>{first}</th>" + "".join(f"<th{style}>{text}</th>" for text in rest)
    return "\n".join([f"<table><tr>{titles}</tr>", *(f"<tr>{''.join(row)}</tr>" for row in rows), "</table>"])


def picture(png: bytes, caption: str) -> str:
    """Return a figure embedded in the page, with a caption that is also its alternative text."""
    encoded = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def png_of(figure: Figure) -> bytes:
    """Return the content of a PNG file of a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.05)
    return file.getvalue()

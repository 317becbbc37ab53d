"""Files of figures: the style in which they are drawn, and the formats and resolution in which they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bravaismap.conventions import FIGURE_DPI
from bravaismap.errors import InputError
from bravaismap.files import save_figure
from bravaismap.show.style import PAGE, Style, style_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PLAIN", "FigureFiles", "figure_files"]

#: Endings of the figures that can be written: pixels, and two formats of lines and text.
ENDINGS: Final = (".png", ".pdf", ".svg")
#: Most dots per inch that journals ask for, of line art.
_LARGEST_DPI: Final = 1200


@dataclass(frozen=True)
class FigureFiles:
    """How figures are drawn and in which formats they are written.

    Attributes
    ----------
    style : Style
        See :func:`~bravaismap.show.style.style_named`.
    endings : tuple of str
        ``".png"``, ``".pdf"``, ``".svg"``: each figure is written once for each.
    dpi : int
        Dots per inch of PNG, and of the maps and images inside PDF and SVG.

    Raises
    ------
    InputError
        If there is no such format, or dpi is not from 30 to 1200.
    """

    style: Style = PAGE
    endings: tuple[str, ...] = (".png",)
    dpi: int = FIGURE_DPI

    def __post_init__(self) -> None:
        others = [ending for ending in self.endings if ending not in ENDINGS]
        if others or not self.endings:
            raise InputError(f"the format {', '.join(others) or 'none'} was given; expected some of png, pdf, svg")
        if not 30 <= self.dpi <= _LARGEST_DPI:
            raise InputError(f"{self.dpi} dpi was given; expected 30 to {_LARGEST_DPI}")

    def save(self, figure: Figure, stem: Path) -> list[Path]:
        """Write a figure in each format and return the paths."""
        return save_figure(figure, stem, self.endings, self.dpi)


#: Figures as they are when nothing is asked for.
PLAIN: Final = FigureFiles()


def figure_files(style: str, cmap: str | None, formats: str, dpi: int) -> FigureFiles:
    """Return what the words of a command mean.

    Parameters
    ----------
    style, cmap
        See :func:`~bravaismap.show.style.style_named`.
    formats : str
        ``png``, ``pdf``, ``svg``, separated by commas.
    dpi : int

    Raises
    ------
    InputError
        If one of them is not known.
    """
    return FigureFiles(style_named(style, cmap), tuple(f".{word.strip().lower()}" for word in formats.split(",")), dpi)

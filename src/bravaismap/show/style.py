"""Style: how wide figures are, how large their text is, and which colour map sequential quantities have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from matplotlib import colormaps

from bravaismap.conventions import PROBABILITY_CMAP, SEQUENTIAL_CMAP, nearest_names
from bravaismap.errors import InputError

__all__ = ["PAGE", "SMALL", "STYLES", "Style", "style_named"]


@dataclass(frozen=True)
class Style:
    """The style of figures.

    Attributes
    ----------
    width : float
        Width of a figure with several panels, in inches.
    height : float
        Most that the panels of a figure of maps take together, in inches.
    text : float
        Size of titles and labels in pt; numbers on axes and legends are 1 pt smaller.
    probability, sequential : str
        Colour maps of probabilities and of other quantities that have no middle.
    """

    width: float
    height: float
    text: float
    probability: str = PROBABILITY_CMAP
    sequential: str = SEQUENTIAL_CMAP

    @property
    def legend_text(self) -> float:
        """Size of the text of legends and of numbers on axes in pt."""
        return self.text - 1

    def curve_height(self, height: float) -> float:
        """Return how high a figure of curves is in inches that is `height` across a page: less high, and less flat."""
        return float(height * (self.width / PAGE.width) ** 0.5)


#: Across a page; at 12 cm in print the text is 7 pt and 6 pt high.
PAGE: Final = Style(6.3, 4.6, 9.0)
#: For a column of a journal of two: 85 mm wide, text of 7 pt and 6 pt.
SMALL: Final = Style(3.35, 5.6, 7.0)
#: Styles by the names that the command line knows.
STYLES: Final = {"page": PAGE, "small": SMALL}


def style_named(name: str = "page", cmap: str | None = None) -> Style:
    """Return the style of a name, with another colour map for all quantities without a middle if one is given.

    Parameters
    ----------
    name : {"page", "small"}
    cmap : str, optional
        Name of a colour map of Matplotlib.

    Raises
    ------
    InputError
        If there is no such style or colour map.
    """
    if name not in STYLES:
        raise InputError(f"the style {name!r} was given; expected {' or '.join(STYLES)}")
    if cmap is None:
        return STYLES[name]
    if cmap not in colormaps:
        nearest = nearest_names(cmap, list(colormaps))
        raise InputError(f"the colour map {cmap!r} was given; Matplotlib has none of that name: {nearest}")
    return replace(STYLES[name], probability=cmap, sequential=cmap)

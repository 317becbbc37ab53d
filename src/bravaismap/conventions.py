"""Names, order, symbols, colours, units and dimensions, which all modules take from here.

Axes are ``(time, y, x)`` with y pointing down and the origin at the top left. Lengths are in nm, time in s, dose in
electrons per square ångström, angles in degrees at the public surface and radians inside. A spatial frequency is
``k = 1 / d`` without the factor 2π, in 1/nm. An unknown pixel size stays unknown: lengths are then in px.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, TypeAlias

from bravaismap.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ALIASES",
    "CELL_PARAMETERS",
    "CLASSES",
    "COLORS",
    "CYCLIC_CMAP",
    "DIMS",
    "FIGURE_DPI",
    "IUCR_SYMBOLS",
    "LATTICES",
    "LENGTH_UNITS",
    "NONE",
    "NOT_MEASURED",
    "PROBABILITY_CMAP",
    "SEQUENTIAL_CMAP",
    "TURNS",
    "UNMAPPED",
    "Complexes",
    "Floats",
    "Integers",
    "class_index",
    "class_name",
    "counted",
    "display_name",
    "length_unit",
    "nearest_names",
]

#: The five two-dimensional Bravais lattices, in class order (IUCr names).
LATTICES: Final = ("square", "rectangular", "centered_rectangular", "hexagonal", "oblique")
#: The class of an image without a lattice; the paper calls it "noise".
NONE: Final = "none"
#: All classes in the order of every ``lattice`` axis in this package.
CLASSES: Final = (*LATTICES, NONE)
#: Label of a window that has not been classified yet.
UNMAPPED: Final = -1
#: What is said of an image or window of which too little was measured.
NOT_MEASURED: Final = "not measured"
#: Parameters of a primitive cell; each has its standard deviation, of the same name with ``_std``.
CELL_PARAMETERS: Final = ("a", "b", "gamma", "orientation")
#: Units of lengths: nm, or px where the pixel size is not known.
LENGTH_UNITS: Final = ("nm", "px")
#: Arrays of real, complex and whole numbers, in annotations; strings, so that importing this loads no NumPy.
Floats: TypeAlias = "NDArray[np.floating]"
Complexes: TypeAlias = "NDArray[np.complexfloating]"
Integers: TypeAlias = "NDArray[np.int64]"

#: Symbols of the two-dimensional Bravais lattices in the International Tables for Crystallography.
IUCR_SYMBOLS: Final = {
    "square": "tp",
    "rectangular": "op",
    "centered_rectangular": "oc",
    "hexagonal": "hp",
    "oblique": "mp",
    NONE: "",
}

#: Rotation in degrees after which a lattice of each class repeats.
TURNS: Final = {
    "square": 90.0,
    "rectangular": 180.0,
    "centered_rectangular": 180.0,
    "hexagonal": 60.0,
    "oblique": 180.0,
}

#: Other names of the classes, those of the paper among them.
ALIASES: Final = {
    "noise": NONE,
    "no lattice": NONE,
    "rhombohedral": "oblique",
    "rhomb": "oblique",
    "rect": "rectangular",
    "cent rect": "centered_rectangular",
    "centered rectangular": "centered_rectangular",
    "centred rectangular": "centered_rectangular",
    "hex": "hexagonal",
    **{symbol: name for name, symbol in IUCR_SYMBOLS.items() if symbol},
}

#: Okabe–Ito colours, safe for colour-blind readers; ``none`` is a grey as dark as they can tell from the green of
#: ``hexagonal`` and the pink of ``centered_rectangular``, which look grey without red or green cones.
COLORS: Final = {
    "square": "#0072B2",
    "rectangular": "#E69F00",
    "centered_rectangular": "#CC79A7",
    "hexagonal": "#009E73",
    "oblique": "#D55E00",
    NONE: "#404040",
}

#: Dimensions of an image or movie.
DIMS: Final = ("time", "y", "x")
#: Dots per inch of figures unless others are asked for: sharp on a screen, and small enough for a page of HTML.
FIGURE_DPI: Final = 150
#: Colour map of a probability (perceptually uniform, readable by colour-blind people).
PROBABILITY_CMAP: Final = "viridis"
#: Colour map of any other sequential quantity.
SEQUENTIAL_CMAP: Final = "cividis"
#: Colour map of orientations; both its ends are the same.
CYCLIC_CMAP: Final = "twilight"
#: Colour map of a quantity about zero.
DIVERGING_CMAP: Final = "RdBu_r"


def nearest_names(name: str, names: Iterable[str], count: int = 3) -> str:
    """Return those of the names that are most like `name`, joined by commas, or all of them if none is alike."""
    names = list(names)
    return ", ".join(get_close_matches(name, names, n=count, cutoff=0.4) or names)


def class_name(name: str) -> str:
    """Return the class of a name or alias, in any case, with spaces, hyphens or underscores.

    Parameters
    ----------
    name : str
        For example ``"hexagonal"``, ``"hex"``, ``"hp"``, ``"cent rect"`` or ``"noise"``.

    Returns
    -------
    str
        One of :data:`CLASSES`.

    Raises
    ------
    InputError
        If no class has that name.
    """
    words = name.strip().lower().replace("_", " ").replace("-", " ")
    canonical = ALIASES.get(words, words.replace(" ", "_"))
    if canonical not in CLASSES:
        spellings = {**{name: name for name in CLASSES}, **ALIASES}
        close = get_close_matches(words, spellings, n=3, cutoff=0.4)  # an alias stands for the name that it means
        nearest = ", ".join(dict.fromkeys(spellings[word] for word in close)) or ", ".join(CLASSES)
        raise InputError(f"no lattice class is called {name!r}; the nearest names are {nearest}")
    return canonical


def class_index(name: str) -> int:
    """Return the position of a class (or of one of its aliases) on the ``lattice`` axis."""
    return CLASSES.index(class_name(name))


def display_name(name: str) -> str:
    """Return a class name as it is printed in tables and figures."""
    return name.replace("_", " ")


def length_unit(pixel_size: float | None) -> str:
    """Return the unit of lengths: nm, or px where the pixel size (nm) is not known."""
    calibrated, uncalibrated = LENGTH_UNITS
    return calibrated if pixel_size else uncalibrated


def counted(number: int, noun: str) -> str:
    """Return a number of things: ``1 frame``, ``2 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

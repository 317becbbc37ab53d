"""Recipes: which lattices, atoms and instruments a simulated class is drawn from.

A *recipe* says how the windows of one class are made; a *recipe book* is an ordered set of them, one per class. Four
books ship with the package, ``simulated`` (the paper's protocol), ``realistic`` (motifs, vacancies, scan distortion and
counting noise), ``wide`` (all that spoils a micrograph) and ``broken`` (whole images of crystals with faults, and of no
lattice), and users write their own as a small TOML file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Final

from bravaismap.conventions import CLASSES, LATTICES, NONE, class_name, nearest_names
from bravaismap.errors import InputError

__all__ = ["BOOKS", "PATTERNS", "Range", "Recipe", "RecipeBook", "read_recipes", "recipe_book", "usual_size"]

Range = tuple[float, float]
RecipeBook = dict[str, "Recipe"]

#: What a picture without a lattice may show, see :func:`bravaismap.simulate.patterns.draw_pattern`.
PATTERNS: Final = ("speckle", "atoms", "fringes", "rows", "columns", "blocks", "hum")


def _check_range(name: str, limits: Any, lowest: float, highest: float = float("inf")) -> None:
    pair = isinstance(limits, tuple) and len(limits) == 2
    finite = pair and all(isinstance(v, int | float) and isfinite(v) for v in limits)
    if not (finite and lowest <= limits[0] <= limits[1] <= highest):
        bounds = f"between {lowest:g} and {highest:g}" if highest < float("inf") else f"of at least {lowest:g}"
        raise InputError(f"{name} = {limits!r}; expected two numbers {bounds}, the smaller first")


def _check_number(name: str, value: Any, highest: float) -> None:
    if not (isinstance(value, int | float) and 0 <= value <= highest):
        raise InputError(f"{name} = {value!r}; expected a number between 0 and {highest:g}")


_LEVELS: Final = (
    "disorder", "noise", "vacancies", "jitter", "background", "contamination", "vacuum", "tilt", "astigmatism", "tail",
    "drift", "flyback", "line_noise", "amorphous", "ring", "antiphase", "wander", "strain", "holes", "adsorbates",
    "row_offsets", "column_offsets",
)  # fmt: skip
_COUNTS: Final = ("atoms", "antiphase", "holes", "adsorbates")


@dataclass(frozen=True)
class Recipe:
    """What the windows of one class are drawn from; every pair is the two ends of a uniform distribution.

    Attributes
    ----------
    lattice : str
        Bravais lattice of the class, or ``"none"``.
    length : pair
        Length of the first primitive vector in px, log-uniform.
    ratio : pair
        Length of the second primitive vector over that of the first.
    angle : tuple of pairs
        Angle between them in degrees; one of the ranges is drawn with a chance proportional to its width.
    atom_width : pair
        Standard deviation of an atom's Gaussian profile, over `length`.
    disorder : pair
        Standard deviation of each coordinate of an atom about its site, over `length`.
    noise : pair
        White noise added to each pixel, over the standard deviation of the noise-free image (1 for a constant image).
    atoms : pair of int
        Number of atoms in the motif; more than one differ in intensity and in width.
    vacancies : pair
        Share of the atoms that are missing.
    distortion : float
        Standard deviation of the four components of the linear map between the sample and the image.
    jitter : pair
        Standard deviation of the displacement of a scan line along x, in px.
    background : pair
        Height of a smooth background, over that of an atom.
    contamination : pair
        Height of up to three patches of contamination, over that of an atom.
    dose : pair or None
        Counts at the peak of an atom, log-uniform; None for no counting noise.
    vacuum : pair
        Share of the window without atoms.
    empty : float
        Chance that there are no atoms at all (for the class ``none``: vacuum).
    spacing : float
        Side, in px, of the square that each atom of the motif needs: a small cell holds fewer atoms.
    packing : float or None
        Largest width of an atom, over the side of the square that each atom of the motif has; None for no limit.
    presence : float
        Chance that a window has each of the effects below that are pairs.
    tilt : pair
        Blur of the atoms along one direction, over their width, and half as deep a modulation of their heights.
    astigmatism : pair
        Blur along another direction, over the width of an atom.
    tail : pair
        Share of the probe in a tail four times as wide as an atom.
    drift : pair
        Standard deviation, in px, of a smooth, nonlinear displacement that changes from line to line.
    flyback : pair
        Displacement at the beginning of the lines, in px.
    line_noise : pair
        Standard deviation of the offsets of the lines, over that of the image; some go on as streaks.
    amorphous : pair
        Standard deviation of amorphous matter under the atoms, over the height of an atom.
    ring : pair
        Radius of its diffraction ring, in 1/px; near 0 it is blurred noise.
    grains : float
        Chance of a second grain of the same lattice in another orientation, in 15–45 % of the window.
    inverted : float
        Chance that atoms are dark.
    antiphase : pair of int
        Number of antiphase boundaries, beyond each of which the crystal is displaced by half a period.
    wander : pair
        Standard deviation of a random walk of the scan lines along x, over `length`.
    strain : pair
        Root mean square of the components of a smooth strain that has no mean.
    holes : pair of int
        Number of holes in the specimen.
    adsorbates : pair of int
        Number of bright adsorbates.
    row_offsets, column_offsets : pair
        Standard deviation of the offsets of scan lines, and of columns, over the height of an atom.
    faults : pair of int or None
        How many of its faults one picture has: of ``antiphase``, ``drift`` (`wander` and `drift`), ``strain``,
        ``grain``, ``holes``, ``dirt`` (`contamination` and `adsorbates`), ``rows`` and ``columns`` (offsets). None for
        all of them.
    apart : float
        Smallest deviation of the lattice, as a strain, from each symmetry that its class does not have.
    patterns : tuple of str
        Of the class ``none``: what a picture shows instead of atoms, one of `PATTERNS` in each.
    """

    lattice: str
    length: Range = (6.0, 24.0)
    ratio: Range = (1.0, 1.0)
    angle: tuple[Range, ...] = ((90.0, 90.0),)
    atom_width: Range = (0.12, 0.25)
    disorder: Range = (0.0, 0.08)
    noise: Range = (0.0, 1.5)
    atoms: tuple[int, int] = (1, 1)
    vacancies: Range = (0.0, 0.0)
    distortion: float = 0.0
    jitter: Range = (0.0, 0.0)
    background: Range = (0.0, 0.0)
    contamination: Range = (0.0, 0.0)
    dose: Range | None = None
    vacuum: Range = (0.0, 0.0)
    empty: float = 0.0
    spacing: float = 0.0
    packing: float | None = None
    presence: float = 1.0
    tilt: Range = (0.0, 0.0)
    astigmatism: Range = (0.0, 0.0)
    tail: Range = (0.0, 0.0)
    drift: Range = (0.0, 0.0)
    flyback: Range = (0.0, 0.0)
    line_noise: Range = (0.0, 0.0)
    amorphous: Range = (0.0, 0.0)
    ring: Range = (0.0, 0.2)
    grains: float = 0.0
    inverted: float = 0.0
    antiphase: tuple[int, int] = (0, 0)
    wander: Range = (0.0, 0.0)
    strain: Range = (0.0, 0.0)
    holes: tuple[int, int] = (0, 0)
    adsorbates: tuple[int, int] = (0, 0)
    row_offsets: Range = (0.0, 0.0)
    column_offsets: Range = (0.0, 0.0)
    faults: tuple[int, int] | None = None
    apart: float = 0.0
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.lattice not in CLASSES:
            raise InputError(f"lattice = {self.lattice!r}; expected one of {', '.join(CLASSES)}")
        for name in ("length", "ratio", "atom_width"):
            _check_range(name, getattr(self, name), lowest=1e-3)
        for name in _LEVELS:
            _check_range(name, getattr(self, name), lowest=0.0)
        if not (isinstance(self.angle, tuple) and self.angle):
            raise InputError(f"angle = {self.angle!r}; expected one or more ranges, like [50, 90]")
        for limits in self.angle:
            _check_range("angle", limits, lowest=5.0, highest=175.0)
        if self.dose is not None:
            _check_range("dose", self.dose, lowest=1e-3)
        for name, highest in (("vacancies", 0.95), ("vacuum", 0.95), ("tilt", 2.0), ("tail", 1.0), ("ring", 0.5)):
            _check_range(name, getattr(self, name), lowest=0.0, highest=highest)
        _check_range("atoms", self.atoms, lowest=1)
        for name, highest in (("strain", 0.2), ("wander", 2.0), *((name, 1000.0) for name in _COUNTS)):
            _check_range(name, getattr(self, name), lowest=0.0, highest=highest)
        if self.faults is not None:
            _check_range("faults", self.faults, lowest=0)
        for name in (*_COUNTS, "faults"):
            if not all(isinstance(count, int) for count in getattr(self, name) or ()):
                raise InputError(f"{name} = {getattr(self, name)!r}; expected whole numbers")
        _check_number("distortion", self.distortion, 0.5)
        for name in ("empty", "presence", "grains", "inverted"):
            _check_number(name, getattr(self, name), 1.0)
        _check_number("apart", self.apart, 0.2)
        self._check_patterns()
        _check_number("spacing", self.spacing, 1000.0)
        if self.packing is not None and not (isinstance(self.packing, int | float) and self.packing > 0):
            raise InputError(f"packing = {self.packing!r}; expected a number above 0")

    def _check_patterns(self) -> None:
        if not (isinstance(self.patterns, tuple) and all(name in PATTERNS for name in self.patterns)):
            raise InputError(f"patterns = {self.patterns!r}; expected names out of {', '.join(PATTERNS)}")
        if self.patterns and self.lattice != NONE:
            raise InputError(f"patterns = {self.patterns!r} of a {self.lattice} lattice; only {NONE!r} can have them")


_GEOMETRY: Final[dict[str, dict[str, Any]]] = {
    "square": {},
    "rectangular": {"ratio": (1.0, 2.2)},
    "centered_rectangular": {"angle": ((35.0, 85.0), (95.0, 125.0))},
    "hexagonal": {"angle": ((120.0, 120.0),)},
    "oblique": {"ratio": (1.0, 2.0), "angle": ((50.0, 90.0),)},
    NONE: {"ratio": (1.0, 2.0), "angle": ((50.0, 90.0),), "disorder": (0.35, 0.70)},
}
_INSTRUMENT: Final[dict[str, Any]] = {
    "length": (9.0, 30.0),
    "atom_width": (0.10, 0.20),
    "disorder": (0.0, 0.04),
    "noise": (0.0, 0.0),
    "atoms": (1, 4),
    "vacancies": (0.0, 0.08),
    "distortion": 0.003,
    "jitter": (0.0, 0.5),
    "background": (0.0, 0.6),
    "contamination": (0.0, 1.0),
    "dose": (3.0, 200.0),
    "vacuum": (0.0, 0.3),
}

_WIDE: Final[dict[str, Any]] = {
    "length": (5.0, 40.0),
    "atom_width": (0.08, 0.28),
    "disorder": (0.0, 0.06),
    "noise": (0.0, 0.8),
    "atoms": (1, 8),
    "spacing": 4.0,
    "packing": 0.3,
    "vacancies": (0.0, 0.1),
    "distortion": 0.003,
    "jitter": (0.0, 0.7),
    "background": (0.0, 1.0),
    "contamination": (0.0, 1.5),
    "dose": (3.0, 500.0),
    "vacuum": (0.0, 0.6),
    "presence": 0.35,
    "tilt": (0.2, 1.0),
    "astigmatism": (0.2, 1.0),
    "tail": (0.1, 0.6),
    "drift": (0.2, 1.5),
    "flyback": (0.5, 3.0),
    "line_noise": (0.1, 0.6),
    "amorphous": (0.05, 0.3),
    "grains": 0.15,
    "inverted": 0.3,
}
_WIDE_NONE: Final[dict[str, Any]] = {"empty": 0.6, "presence": 0.5, "amorphous": (0.1, 2.0), "noise": (0.05, 1.5)}

_BROKEN: Final[dict[str, Any]] = {
    "length": (8.0, 32.0),
    "atom_width": (0.12, 0.22),
    "disorder": (0.0, 0.03),
    "noise": (0.0, 0.3),
    "atoms": (1, 3),
    "spacing": 5.0,
    "packing": 0.3,
    "vacancies": (0.0, 0.05),
    "distortion": 0.01,
    "apart": 0.1,  # five times the distortion of 2 % that a scan may have unless one knows better
    "background": (0.0, 0.5),
    "dose": (5.0, 1000.0),
    "amorphous": (0.0, 0.15),
    "inverted": 0.2,
    "faults": (1, 3),
    "antiphase": (1, 4),
    "wander": (0.05, 0.3),
    "drift": (0.0, 1.5),
    "strain": (0.005, 0.03),
    "grains": 1.0,
    "holes": (1, 5),
    "contamination": (0.3, 2.0),
    "adsorbates": (1, 10),
    "row_offsets": (0.1, 0.7),
    "column_offsets": (0.1, 0.7),
}
_BROKEN_NONE: Final[dict[str, Any]] = {
    **{name: _BROKEN[name] for name in ("length", "noise", "dose", "inverted", "row_offsets", "column_offsets")},
    "patterns": PATTERNS,
    "faults": (0, 1),
}

#: The recipe books of the package by name, from the paper's training set to broken crystals.
BOOKS: Final[dict[str, RecipeBook]] = {
    "simulated": {name: Recipe(name, **_GEOMETRY[name]) for name in CLASSES},
    "realistic": {
        **{name: Recipe(name, **_GEOMETRY[name], **_INSTRUMENT) for name in LATTICES},
        NONE: Recipe(NONE, **{**_INSTRUMENT, **_GEOMETRY[NONE], "empty": 0.4}),
    },
    "wide": {
        **{name: Recipe(name, **_GEOMETRY[name], **_WIDE) for name in LATTICES},
        NONE: Recipe(NONE, **{**_WIDE, **_GEOMETRY[NONE], **_WIDE_NONE}),
    },
    "broken": {
        **{name: Recipe(name, **_GEOMETRY[name], **_BROKEN) for name in LATTICES},
        NONE: Recipe(NONE, **_BROKEN_NONE),
    },
}
_WINDOW, _WHOLE = 128, 384  # px: sides of a window, and of a whole image


def recipe_book(name: str | Path | Mapping[str, Recipe]) -> RecipeBook:
    """Return a recipe book: one of :data:`BOOKS` by name, one read from a TOML file, or a mapping as it is.

    Raises
    ------
    InputError
        If no book goes by that name and no such file exists.
    """
    if isinstance(name, Mapping):
        return dict(name)
    if str(name) in BOOKS:
        return BOOKS[str(name)]
    if Path(name).suffix.lower() == ".toml":
        return read_recipes(name)
    raise InputError(
        f"no recipe book is called {str(name)!r}; give one of {nearest_names(str(name), BOOKS)}, or a .toml file"
    )


def usual_size(recipes: str | Path | Mapping[str, Recipe]) -> int:
    """Return the side, in px, of what a book is for: 384 of the whole images of ``broken``, else 128 of a window."""
    return _WHOLE if isinstance(recipes, str) and recipes == "broken" else _WINDOW


def read_recipes(path: str | Path) -> RecipeBook:
    """Read a recipe book from a TOML file: a table per class, in order, of the fields of :class:`Recipe`.

    A class whose table has no ``lattice`` must bear the name of a Bravais lattice (or ``none``). ``base`` at the top
    names the book that unmentioned fields come from (default ``simulated``).

    Parameters
    ----------
    path : path
        For example::

            base = "realistic"
            [graphene]
            lattice = "hexagonal"
            length = [9, 14]
            atoms = [2, 2]
            [none]

    Raises
    ------
    InputError
        If the file is missing or not TOML, or a field is unknown or out of range (the class and field are named).
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected a TOML file of recipes") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error}); expected a table per class") from error
    base = content.pop("base", "simulated")
    if base not in list(BOOKS):
        raise InputError(f"{path}: base = {base!r}; expected one of {', '.join(BOOKS)}")
    book = {name: _recipe(path, name, table, BOOKS[base]) for name, table in content.items()}
    if len(book) < 2:
        raise InputError(f"{path}: {len(book)} classes were found; expected at least two tables, one per class")
    return book


def _recipe(path: Path, name: str, table: Any, base: RecipeBook) -> Recipe:
    if not isinstance(table, dict):
        raise InputError(f"{path}: {name!r} is not a table; expected a table per class, like [{name}]")
    known = {field.name: field.type for field in fields(Recipe)}
    for key in table:
        if key not in known:
            raise InputError(f"{path}: [{name}] has an unknown field {key!r}; nearest: {nearest_names(key, known)}")
    try:
        lattice = class_name(str(table.get("lattice", name)))
        values = {key: _tupled(value) for key, value in table.items() if key != "lattice"}
        angle = values.get("angle")
        if isinstance(angle, tuple) and angle and not isinstance(angle[0], tuple):
            values["angle"] = (angle,)
        return replace(base[lattice], **values)
    except InputError as error:
        raise InputError(f"{path}: [{name}]: {error}") from error


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value

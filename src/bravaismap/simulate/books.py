"""Recipe books: ordered sets of recipes, one for each class, from the package or from a TOML file.

Five books ship with the package: ``simulated`` (the paper's protocol), ``realistic`` (motifs, vacancies, scan
distortion and counting noise), ``wide`` (also drift, tilt, grains and other faults of a micrograph), ``broken``
(whole images of crystals with faults, and of no lattice) and ``enlarged`` (the same in scans with repeated pixels).
Users write their own as a small TOML file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from bravaismap.conventions import CLASSES, LATTICES, NONE, class_name, nearest_names
from bravaismap.errors import InputError
from bravaismap.simulate.recipe import PATTERNS, Recipe

__all__ = ["BOOKS", "RecipeBook", "read_recipes", "recipe_book", "usual_size"]

RecipeBook = dict[str, Recipe]

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
    "apart": 0.1,  # five times the default distortion of a scan, 2 %
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

#: A lattice of 16 px has at least four pixels of the scan in its period.
_ENLARGED: Final[dict[str, Any]] = {"length": (16.0, 40.0), "enlargement": (2, 4), "faults": (0, 2)}

#: The recipe books of the package by name, from the paper's training set to broken crystals in enlarged scans.
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
    "enlarged": {
        **{name: Recipe(name, **_GEOMETRY[name], **{**_BROKEN, **_ENLARGED}) for name in LATTICES},
        NONE: Recipe(NONE, **{**_BROKEN_NONE, "enlargement": _ENLARGED["enlargement"]}),
    },
}
_WINDOW, _WHOLE_IMAGE = 128, 384  # px: sides of a window, and of a whole image


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
    """Return the usual side of the images of a book in px: 384 for ``broken``, whole images, else 128."""
    return _WHOLE_IMAGE if isinstance(recipes, str) and recipes == "broken" else _WINDOW


def read_recipes(path: str | Path) -> RecipeBook:
    """Read a recipe book from a TOML file: for each class, in order, a table of the fields of :class:`Recipe`.

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
    names = [field.name for field in fields(Recipe)]
    for key in table:
        if key not in names:
            raise InputError(f"{path}: [{name}] has an unknown field {key!r}; nearest: {nearest_names(key, names)}")
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

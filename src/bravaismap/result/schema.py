"""The schema of a result: its variables, with their dimensions, types, units and meanings.

All code that makes, stores, checks, opens, shows or documents a result reads the schema from here. A new variable is
one more `Variable` in `VARIABLES`; if it lies along a new axis, the type of that axis goes to `AXES`. A result without
the variables of a group is valid, except for the group of the map itself; it has the axes that its variables lie along.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import LENGTH_UNITS, UNMAPPED

__all__ = [
    "AXES",
    "CHECKSUM",
    "DONE",
    "FIXED_SIZES",
    "LOOKED",
    "MARKS",
    "MOST_LATTICES",
    "PIXELS",
    "TITLES",
    "VARIABLES",
    "WINDOWS",
    "Group",
    "Variable",
    "as_variables",
    "axes_of",
    "cell_table",
    "groups_in",
    "image_variables",
    "map_variables",
    "pixel_variables",
    "variables_of",
    "write_order",
]

#: Group of a variable: those of every phase map, the measured cells, what was undone in a frame before these were
#: measured, the pixels, or the marks of the frames of a store.
Group = Literal["map", "cells", "undone", "pixels", "marks"]
#: Axes of a result with the types of their coordinates, in the order in which error texts give sizes.
AXES = {"time": "float64", "y": "float64", "x": "float64", "lattice": "int8", "py": "float64", "px": "float64"}
#: Lattices of a frame that a result has room for: each is shown by at least 3 % of the windows with a lattice.
MOST_LATTICES = 33
#: Dimensions without coordinates: the two primitive vectors, their components (y, x), the upper triangle of a
#: symmetric 4 × 4 matrix, and the lattices of a frame.
FIXED_SIZES = {"vector": 2, "component": 2, "pair": 10, "number": MOST_LATTICES}
#: Dimensions of the windows of a map, and of the pixels of its frames.
WINDOWS = ("time", "y", "x")
PIXELS = ("time", "py", "px")
#: Arrays of a store that say of each frame whether it is written, and what its checksum was.
DONE, CHECKSUM = "frame_done", "frame_checksum"
#: Placeholder for nm or px in the units of a variable.
_LENGTH = "length"
#: Variable of a frame that is written last: to a reader, a frame that has it is mapped.
_LAST = "fraction"


@dataclass(frozen=True)
class Variable:
    """A variable of a result.

    Attributes
    ----------
    name : str
    dims : tuple of str
        Dimensions, in the order of storage.
    dtype : str
        Type of the stored numbers.
    long_name : str
        Meaning, in a few words.
    units : str
        Empty for a variable without units. In `VARIABLES`, ``length`` stands for nm or px: see `in_unit`.
    group : {"map", "cells", "undone", "pixels", "marks"}
        The variables of a group are in a result together or not at all; those of the map and the marks always are.
    title : str
        Name in figures and menus, if the variable can be shown as a map of its own.
    is_label : bool
        Whether the values are numbers of classes.
    quantum : float
        What the values are rounded to a multiple of before they are stored, so that they compress; 0 for none. A
        power of two; for lengths in px.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str = ""
    units: str = ""
    group: Group = "map"
    title: str = ""
    is_label: bool = False
    quantum: float = 0.0

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes that are stored with the values."""
        attributes = {"long_name": self.long_name, "units": self.units}
        return {key: text for key, text in attributes.items() if text}

    @property
    def missing(self) -> float:
        """Value where nothing has been written: `UNMAPPED` for numbers of classes and lattices, 0 for marks or NaN."""
        return 0 if self.group == "marks" else UNMAPPED if np.dtype(self.dtype).kind == "i" else math.nan

    def in_unit(self, unit: str) -> Variable:
        """Return the variable with its lengths in nm or px."""
        return replace(self, units=self.units.replace(_LENGTH, unit))

    def along(self, dims: tuple[str, ...]) -> Variable:
        """Return a variable of windows for windows that lie along other dimensions than those of a map."""
        return replace(self, dims=(*dims, *self.dims[len(WINDOWS) :]))


def _cell_variables() -> Iterable[Variable]:
    scalars = {
        "a": ("a", "shorter primitive vector", _LENGTH),
        "b": ("b", "longer primitive vector", _LENGTH),
        "gamma": ("γ", "angle between the primitive vectors", "degree"),
        "orientation": ("orientation of a", "angle of a above the x axis, counter-clockwise", "degree"),
    }
    for name, (title, meaning, units) in scalars.items():
        yield Variable(name, WINDOWS, "float32", meaning, units, "cells", title)
        yield Variable(f"{name}_std", WINDOWS, "float32", f"σ of {name}", units, "cells")
    for name, dims, meaning, units in (
        ("deviation", ("lattice",), "smallest strain to the symmetry of a class", "%"),
        ("deviation_std", (), "σ of a deviation", "%"),
        ("basis", ("vector", "component"), "measured primitive vectors a, b as (y, x)", _LENGTH),
        ("basis_covariance", ("pair",), "covariance of (a_y, a_x, b_y, b_x), upper triangle by rows", f"{_LENGTH}²"),
        ("evidence", (), "log likelihood ratio of a lattice against none", "1"),
    ):
        yield Variable(name, (*WINDOWS, *dims), "float32", meaning, units, "cells")


def _undone_variables() -> Iterable[Variable]:
    for name, dims, dtype, meaning, units in (
        (
            "displaced",
            ("component",),
            "float32",
            "displacement of the odd columns along y, of the odd rows along x",
            _LENGTH,
        ),
        ("pickup", (), "float32", "wavelength of a wave beside any lattice that was taken out, else 0", _LENGTH),
        ("leveled", ("component",), "int8", "whether offsets of the rows, and the columns, were removed", ""),
        ("repeated", ("component",), "float32", "how often each pixel was repeated", "1"),
    ):
        yield Variable(f"frame_{name}", ("time", *dims), dtype, meaning, units, "undone")


def _pixel_variables() -> Iterable[Variable]:
    number = "number of the lattice of the pixel among those of its frame, by windows that show it; −1 for none"
    yield Variable("phase", PIXELS, "int8", "class of the pixel", group="pixels", is_label=True)
    yield Variable("frame_lattice", PIXELS, "int8", number, group="pixels")
    for name, meaning, units, quantum in (
        ("phase_probability", "probability of the lattice, or of none, that the pixel is given", "1", 2.0**-8),
        ("amplitude", "strength of the most probable lattice, 1 in its crystal", "1", 2.0**-7),
        ("amplitude_std", "σ of the amplitude", "1", 2.0**-9),
        ("exx", "strain along x against the mean lattice", "%", 2.0**-5),
        ("eyy", "strain along y against the mean lattice", "%", 2.0**-5),
        ("exy", "shear strain against the mean lattice", "%", 2.0**-5),
        ("rotation", "rotation against the mean lattice, counter-clockwise", "degree", 2.0**-6),
    ):
        yield Variable(name, PIXELS, "float32", meaning, units, "pixels", quantum=quantum)
    for name, dims, meaning, quantum in (
        (
            "displacement",
            (*PIXELS, "component"),
            "displacement (y, x) from the mean lattice, modulo the lattice",
            2**-7,
        ),
        ("frame_basis", ("time", "number", "vector", "component"), "mean primitive vectors of each lattice, (y, x)", 0),
    ):
        yield Variable(name, dims, "float32", meaning, _LENGTH, "pixels", quantum=quantum)
    yield Variable("area_fraction", ("time", "lattice"), "float64", "share of the frame", "1", "pixels")
    yield Variable("area_fraction_std", ("time", "lattice"), "float64", "σ of the share of the frame", "1", "pixels")


#: All variables that a result may have.
VARIABLES = (
    Variable("probability", (*WINDOWS, "lattice"), "float32", "probability", "1"),
    Variable("probability_std", (*WINDOWS, "lattice"), "float32", "σ of the probability", "1"),
    Variable("entropy", WINDOWS, "float32", "predictive entropy", "nat", title="entropy"),
    Variable("mutual_information", WINDOWS, "float32", "mutual information", "nat"),
    Variable("label", WINDOWS, "int8", "most probable class", is_label=True),
    Variable("fraction", ("time", "lattice"), "float64", "phase fraction", "1"),
    Variable("fraction_std", ("time", "lattice"), "float64", "σ of the phase fraction", "1"),
    *_cell_variables(),
    *_undone_variables(),
    *_pixel_variables(),
)
#: Names in figures and menus of the variables that are shown as maps of their own, in the order of menus.
TITLES = {variable.name: variable.title for variable in VARIABLES if variable.title}
#: Variables that a store holds for each frame besides these, and that an opened result does not show.
MARKS = (
    Variable(CHECKSUM, ("time",), "uint32", group="marks"),
    Variable(DONE, ("time",), "uint8", group="marks"),
)


#: Variables of classified images besides those of a window: what the image as a whole shows. They are not stored.
#: ``other`` are the lattices besides the first, of which images differ in number.
LOOKED = (
    Variable("share", ("image",), "float64", "share of the image that shows its lattice", "1"),
    Variable(
        "order", ("image", "vector", "multiple"), "int16",
        "if the lattice is a superlattice: its basis in that of the finer lattice, else 0",
    ),
    Variable(
        "region_order", ("image", "region", "vector", "multiple"), "int16",
        "superlattices of a part of the image: their bases in that of the lattice, else 0",
    ),
    Variable("region_share", ("image", "region"), "float64", "share of the image that shows each of them", "1"),
    Variable(
        "modulation", ("image", "wave", "multiple"), "float64",
        "wave vectors of a modulation in the reciprocal basis of the lattice, or of the finer one if there is an order",
        "1",
    ),
    Variable(
        "modulation_covariance", ("image", "wave", "multiple", "other_multiple"), "float64", "covariance of these", "1"
    ),
    Variable(
        "modulation_commensurate", ("image",), "float64", "probability that the modulation fits a superlattice", "1"
    ),
    Variable(
        "modulation_order", ("image", "vector", "multiple"), "int16",
        "the most probable superlattice that it fits: its basis in that of the lattice, else 0",
    ),
    Variable("other_share", ("image", "other"), "float64", "share of the image that shows another lattice", "1"),
    Variable("other_evidence", ("image", "other"), "float64", "log likelihood ratio of it against none", "1"),
    Variable("other_basis", ("image", "other", "vector", "component"), "float64", "its primitive vectors", _LENGTH),
    Variable(
        "other_basis_covariance", ("image", "other", "pair"), "float64",
        "covariance of (a_y, a_x, b_y, b_x), upper triangle by rows", f"{_LENGTH}²",
    ),
    Variable("period", ("image",), "float64", "wavelength of the strongest wave where there is no lattice", _LENGTH),
    Variable("period_slips", ("image",), "bool", "whether the phase of that wave slips from row to row"),
    Variable("repeated", ("image", "component"), "float64", "how often each pixel was repeated", "1"),
    Variable("leveled", ("image", "component"), "bool", "whether offsets of the rows, and the columns, were removed"),
    Variable("aligned", ("image",), "bool", "whether displaced rows were shifted into place"),
    Variable(
        "displaced", ("image", "component"), "float64",
        "displacement of the odd columns along y, and of the odd rows along x, that was undone", _LENGTH,
    ),
    Variable(
        "pickup", ("image",), "float64", "wavelength of a wave beside the lattice that was taken out, else 0", _LENGTH
    ),
    Variable("ring", ("image",), "int64", "equal spots on a circle, 8, 10 or 12, which no lattice has; 0 without"),
)  # fmt: skip


def map_variables(*, cells: bool, pixels: bool = False, unit: str = "px") -> tuple[Variable, ...]:
    """Return the variables of a map.

    Parameters
    ----------
    cells : bool
        Whether the model of the map measures cells.
    pixels : bool
        Whether the pixels of the frames are mapped as well as the windows.
    unit : {"px", "nm"}
        Unit of lengths.
    """
    groups = {"map"} | ({"cells", "undone"} if cells else set()) | ({"pixels"} if pixels else set())
    return tuple(variable.in_unit(unit) for variable in VARIABLES if variable.group in groups)


def pixel_variables(unit: str = "px") -> tuple[Variable, ...]:
    """Return the variables of the pixels of a map; see `map_variables`."""
    return tuple(variable.in_unit(unit) for variable in VARIABLES if variable.group == "pixels")


def axes_of(variables: Iterable[Variable]) -> dict[str, str]:
    """Return the axes that variables lie along, with the types of their coordinates, in the order of `AXES`."""
    needed = {dim for variable in variables for dim in variable.dims}
    return {dim: dtype for dim, dtype in AXES.items() if dim in needed}


def image_variables(*, cells: bool, unit: str = "px") -> tuple[Variable, ...]:
    """Return the variables of classified images, each a window along ``image``; see `map_variables`.

    With `cells` those of `LOOKED`, too. Probabilities and entropies are not stored, and stay in double precision.
    """
    windows = [v.along(("image",)) for v in map_variables(cells=cells, unit=unit) if v.dims[: len(WINDOWS)] == WINDOWS]
    precise = tuple(replace(v, dtype="float64") if v.group == "map" and not v.is_label else v for v in windows)
    return (*precise, *(variable.in_unit(unit) for variable in LOOKED)) if cells else precise


def cell_table(dims: tuple[str, ...], unit: str) -> dict[str, Variable]:
    """Return the variables that a model that measures cells adds to a result, by name.

    Parameters
    ----------
    dims : tuple of str
        Dimensions of the windows: ``("time", "y", "x")`` for a map, ``("image",)`` for classified images.
    unit : {"px", "nm"}
        What lengths are in.
    """
    return {v.name: v.along(dims).in_unit(unit) for v in VARIABLES if v.group == "cells"}


def as_variables(variables: Iterable[Variable], values: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return arrays as what `xarray.Dataset` takes: by name, with dimensions and attributes, in the right type."""
    return {
        variable.name: (
            variable.dims,
            np.asarray(values[variable.name]).astype(variable.dtype, copy=False),
            variable.attributes,
        )
        for variable in variables
    }


def variables_of(result: xr.Dataset) -> tuple[Variable, ...]:
    """Return the variables that the store of a result is to hold."""
    groups = groups_in(map(str, result))
    unit = str(result["x"].attrs.get("units", LENGTH_UNITS[1]))
    return map_variables(cells="cells" in groups, pixels="pixels" in groups, unit=unit)


def groups_in(names: Iterable[str]) -> set[Group]:
    """Return the groups of which there is at least one variable among some names."""
    given = set(names)
    return {variable.group for variable in VARIABLES if variable.name in given}


def write_order(variables: Iterable[Variable]) -> list[Variable]:
    """Return variables in the order in which those of a frame are written."""
    return sorted(variables, key=lambda variable: (variable.name == _LAST, variable.name))

"""Recipes: the distributions of lattice, atoms and instrument from which the windows of a class are simulated."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import InputError

__all__ = ["PATTERNS", "Range", "Recipe"]

Range = tuple[float, float]

#: Patterns that an image without a lattice may show, see :func:`bravaismap.simulate.patterns.draw_pattern`.
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
    """A recipe for the windows of one class; every pair holds the two ends of a uniform distribution.

    Attributes
    ----------
    lattice : str
        Bravais lattice of the class, or ``"none"``.
    length : pair
        Length of the first primitive vector in px, log-uniform.
    ratio : pair
        Length of the second primitive vector over that of the first.
    angle : tuple of pairs
        Angle between them in degrees; a range is drawn with a probability proportional to its width.
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
        Probability that there are no atoms at all (for the class ``none``: vacuum).
    spacing : float
        Side, in px, of the square that each atom of the motif needs: a small cell holds fewer atoms.
    packing : float or None
        Largest width of an atom, over the side of the square that each atom of the motif has; None for no limit.
    presence : float
        Probability that a window has each of the effects below that are pairs.
    tilt : pair
        Blur of the atoms along one direction, over their width; their heights are modulated by half of it.
    astigmatism : pair
        Blur along another direction, over the width of an atom.
    tail : pair
        Share of the probe in a tail four times as wide as an atom.
    drift : pair
        Standard deviation, in px, of a smooth, nonlinear displacement that changes from line to line.
    flyback : pair
        Displacement at the beginning of the lines, in px.
    line_noise : pair
        Standard deviation of the offsets of scan lines, over that of the image; a tenth of the lines have streaks.
    amorphous : pair
        Standard deviation of amorphous matter under the atoms, over the height of an atom.
    ring : pair
        Radius of the diffraction ring of amorphous matter, in 1/px; near 0 it is blurred noise.
    grains : float
        Probability of a second grain of the same lattice in another orientation, in 15–45 % of the window.
    inverted : float
        Probability that atoms are dark.
    antiphase : pair of int
        Number of antiphase boundaries, beyond each of which the crystal is displaced by half a period.
    wander : pair
        Standard deviation of a random walk of the scan lines along x, over `length`.
    strain : pair
        Root mean square of the components of a smooth strain of mean 0.
    holes : pair of int
        Number of holes in the specimen.
    adsorbates : pair of int
        Number of bright adsorbates.
    row_offsets, column_offsets : pair
        Standard deviation of the offsets of scan lines, and of columns, over the height of an atom.
    enlargement : pair of int
        How often each pixel is repeated along y and x, as in a scan that is shown larger than it was measured.
    faults : pair of int or None
        Number of faults that an image has: of ``antiphase``, ``drift`` (`wander` and `drift`), ``strain``,
        ``grain``, ``holes``, ``dirt`` (`contamination` and `adsorbates`), ``rows`` and ``columns`` (offsets). None for
        all of them.
    apart : float
        Smallest deviation of the lattice, as a strain, from each symmetry that its class does not have.
    patterns : tuple of str
        Of the class ``none``: patterns of `PATTERNS`, one of which an image shows instead of atoms.
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
    enlargement: tuple[int, int] = (1, 1)
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
        _check_range("enlargement", self.enlargement, lowest=1, highest=100)
        for name, highest in (("strain", 0.2), ("wander", 2.0), *((name, 1000.0) for name in _COUNTS)):
            _check_range(name, getattr(self, name), lowest=0.0, highest=highest)
        if self.faults is not None:
            _check_range("faults", self.faults, lowest=0)
        for name in (*_COUNTS, "enlargement", "faults"):
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

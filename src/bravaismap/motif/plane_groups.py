"""Plane groups: the 17 symmetries of a periodic pattern, in every setting that a measured lattice allows.

An operation takes a point with the fractional coordinates x (a column) to ``W x + t``. It is held in the primitive
basis, W as a matrix of whole numbers and t as multiples of 1/2, for the centred groups as well.

A *setting* is a plane group laid on a measured lattice: which of its directions carries the mirror or the glide, and
which cell the reference basis is. Its *misfit* is the smallest strain, as in :func:`bravaismap.lattice.deviation`, that
gives the lattice the symmetry of the point group.

Symbols, origins, generators and Wyckoff letters are those of the International Tables for Crystallography, volume A.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bravaismap.conventions import Floats, Integers
from bravaismap.errors import InputError
from bravaismap.lattice import reduce_basis

__all__ = [
    "PLANE_GROUPS",
    "PlaneGroup",
    "Setting",
    "all_settings",
    "compatible_settings",
    "contains",
    "group_named",
    "misfit",
    "subgroup_table",
]


@dataclass(frozen=True)
class Wyckoff:
    """A Wyckoff position: its letter and a point of it, with x and y free, in the conventional cell.

    Attributes
    ----------
    letter : str
    fixed : tuple of float
        The point at x = y = 0.
    along : tuple of tuple of float
        How the point moves with x and with y: none, one or two directions.
    """

    letter: str
    fixed: tuple[float, float]
    along: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class PlaneGroup:
    """One of the 17 plane groups, in the primitive basis of its reference setting.

    Attributes
    ----------
    number : int
        In the International Tables, from 1.
    name : str
        Short Hermann–Mauguin symbol, such as ``"p4gm"``.
    point_group : str
        Such as ``"4mm"``.
    laue_class : str
        Symmetry of the intensities of its diffraction pattern, which always has a twofold axis.
    lattice : str
        The Bravais class that a lattice must have to carry it.
    matrices : int array, shape (m, 2, 2)
        W of each operation, the identity first.
    translations : array, shape (m, 2)
        t of each operation, from 0 to below 1.
    conventional : array, shape (2, 2)
        Rows are the vectors of the conventional cell in units of the primitive ones.
    wyckoff : tuple of Wyckoff
        From the most special to the general position.
    """

    number: int
    name: str
    point_group: str
    laue_class: str
    lattice: str
    matrices: Integers
    translations: Floats
    conventional: Floats
    wyckoff: tuple[Wyckoff, ...]


@dataclass(frozen=True, eq=False)
class Setting:
    """A plane group laid on a lattice.

    Attributes
    ----------
    group : PlaneGroup
    change : int array, shape (2, 2)
        The primitive reference basis is ``change @ basis``.
    matrices, translations : arrays, shapes (m, 2, 2) and (m, 2)
        The operations in the basis of the lattice.
    misfit : float
        Strain that gives the lattice this symmetry, as a fraction; 0 where no lattice was given.
    """

    group: PlaneGroup
    change: Integers
    matrices: Integers
    translations: Floats
    misfit: float = 0.0

    @functools.cached_property
    def freedom(self) -> tuple[Integers, int]:
        """Return the directions along which the origin matters, and how many origins in the cell are equivalent.

        Returns
        -------
        directions : int array, shape (r, 2)
            r primitive vectors, r = 0 (p1), 1 (one mirror or glide direction) or 2.
        equivalent : int
            Translations along them, within a cell, that leave all operations as they are.
        """
        rank = int(np.linalg.matrix_rank((np.eye(2) - self.matrices).reshape(-1, 2)))
        every = np.stack(np.meshgrid(*[np.array([0, 1, -1, 2, -2])] * 2, indexing="ij"), -1).reshape(-1, 2)
        directions = np.eye(2, dtype=np.int64)[:rank]
        if rank == 1:
            free = next(v for v in every if v.any() and not ((np.eye(2) - self.matrices) @ v).any())
            kept = next(v for v in every if abs(v[0] * free[1] - v[1] * free[0]) == 1)
            directions = kept[None]
        steps = np.array(list(itertools.product(range(12), repeat=rank)), float).reshape(12**rank, rank) / 12
        moved = np.einsum("gij,sj->sgi", np.eye(2) - self.matrices, steps @ directions)
        whole = (np.abs(moved - np.round(moved)) < 1e-9).all(axis=(1, 2))
        return directions, int(whole.sum())

    def reference_coordinates(self, position: ArrayLike, origin: ArrayLike) -> Floats:
        """Return fractional coordinates (..., 2) of the lattice's basis in the conventional cell of the group."""
        primitive = (np.asarray(position, float) - np.asarray(origin, float)) @ np.linalg.inv(self.change)
        return np.asarray(primitive @ np.linalg.inv(self.group.conventional))


_HALF = 0.5
_MINUS = ((-1, 0), (0, -1))
_MIRROR = ((-1, 0), (0, 1))
_FOURFOLD = ((0, -1), (1, 0))
_THREEFOLD = ((0, -1), (1, -1))
_SIXFOLD = ((1, -1), (1, 0))
_ACROSS = ((0, -1), (-1, 0))  # the mirror of p3m1
_ALONG = ((0, 1), (1, 0))  # the mirror of p31m
_NONE = (0.0, 0.0)
_GENERAL: tuple[tuple[float, float], ...] = ((1.0, 0.0), (0.0, 1.0))
_X, _Y = ((1.0, 0.0),), ((0.0, 1.0),)
_THIRDS = (1 / 3, 2 / 3), (2 / 3, 1 / 3)

_Points = Sequence[tuple[tuple[float, float], tuple[tuple[float, float], ...]]]
_CORNERS: _Points = tuple(((x, y), ()) for x in (0.0, _HALF) for y in (0.0, _HALF))
_SIDES: _Points = (((0.0, 0.0), _X), ((0.0, _HALF), _X), ((0.0, 0.0), _Y), ((_HALF, 0.0), _Y))
_AXES_OF_THREE: _Points = ((_NONE, ()), (_THIRDS[0], ()), (_THIRDS[1], ()))

#: Symbol; point group; Laue class; class of lattice; generators (W, t) in the conventional cell; Wyckoff positions.
_TABLE: tuple[tuple[str, str, str, str, tuple[tuple[tuple, tuple[float, float]], ...], _Points], ...] = (
    ("p1", "1", "2", "oblique", (), ()),
    ("p2", "2", "2", "oblique", ((_MINUS, _NONE),), _CORNERS),
    ("pm", "m", "2mm", "rectangular", ((_MIRROR, _NONE),), ((_NONE, _Y), ((_HALF, 0.0), _Y))),
    ("pg", "m", "2mm", "rectangular", ((_MIRROR, (0.0, _HALF)),), ()),
    ("cm", "m", "2mm", "centered_rectangular", ((_MIRROR, _NONE),), ((_NONE, _Y),)),
    ("p2mm", "2mm", "2mm", "rectangular", ((_MINUS, _NONE), (_MIRROR, _NONE)), (*_CORNERS, *_SIDES)),
    (
        "p2mg", "2mm", "2mm", "rectangular", ((_MINUS, _NONE), (_MIRROR, (_HALF, 0.0))),
        ((_NONE, ()), ((0.0, _HALF), ()), ((0.25, 0.0), _Y)),
    ),
    (
        "p2gg", "2mm", "2mm", "rectangular", ((_MINUS, _NONE), (_MIRROR, (_HALF, _HALF))),
        ((_NONE, ()), ((_HALF, 0.0), ())),
    ),
    (
        "c2mm", "2mm", "2mm", "centered_rectangular", ((_MINUS, _NONE), (_MIRROR, _NONE)),
        ((_NONE, ()), ((0.0, _HALF), ()), ((0.25, 0.25), ()), (_NONE, _X), (_NONE, _Y)),
    ),
    ("p4", "4", "4", "square", ((_FOURFOLD, _NONE),), ((_NONE, ()), ((_HALF, _HALF), ()), ((_HALF, 0.0), ()))),
    (
        "p4mm", "4mm", "4mm", "square", ((_FOURFOLD, _NONE), (_MIRROR, _NONE)),
        (
            (_NONE, ()), ((_HALF, _HALF), ()), ((_HALF, 0.0), ()), (_NONE, _X), ((0.0, _HALF), _X),
            (_NONE, ((1.0, 1.0),)),
        ),
    ),
    (
        "p4gm", "4mm", "4mm", "square", ((_FOURFOLD, _NONE), (_MIRROR, (_HALF, _HALF))),
        ((_NONE, ()), ((_HALF, 0.0), ()), ((0.0, _HALF), ((1.0, 1.0),))),
    ),
    ("p3", "3", "6", "hexagonal", ((_THREEFOLD, _NONE),), _AXES_OF_THREE),
    (
        "p3m1", "3m", "6mm", "hexagonal", ((_THREEFOLD, _NONE), (_ACROSS, _NONE)),
        (*_AXES_OF_THREE, (_NONE, ((1.0, -1.0),))),
    ),
    (
        "p31m", "3m", "6mm", "hexagonal", ((_THREEFOLD, _NONE), (_ALONG, _NONE)),
        ((_NONE, ()), (_THIRDS[0], ()), (_NONE, _X)),
    ),
    (
        "p6", "6", "6", "hexagonal", ((_SIXFOLD, _NONE),),
        ((_NONE, ()), (_THIRDS[0], ()), ((_HALF, 0.0), ())),
    ),
    (
        "p6mm", "6mm", "6mm", "hexagonal", ((_SIXFOLD, _NONE), (_ACROSS, _NONE)),
        ((_NONE, ()), (_THIRDS[0], ()), ((_HALF, 0.0), ()), (_NONE, _X), (_NONE, ((1.0, -1.0),))),
    ),
)  # fmt: skip
#: Conventional vectors of a centred cell in units of its primitive ones, which are (a − b)/2 and (a + b)/2.
_CENTRED = np.array([[1.0, 1.0], [-1.0, 1.0]])


def _built() -> tuple[PlaneGroup, ...]:
    groups = []
    for number, (name, point, laue, lattice, generators, points) in enumerate(_TABLE, 1):
        conventional = _CENTRED if name.startswith("c") else np.eye(2)
        to_primitive, back = conventional.T, np.linalg.inv(conventional.T)
        own = [
            (np.rint(to_primitive @ np.array(w) @ back).astype(np.int64), to_primitive @ np.array(t))
            for w, t in generators
        ]
        matrices, translations = _closed(own)
        letters = (Wyckoff(chr(97 + i), *place) for i, place in enumerate((*points, (_NONE, _GENERAL))))
        groups.append(
            PlaneGroup(number, name, point, laue, lattice, matrices, translations, conventional, tuple(letters))
        )
    return tuple(groups)


def _closed(generators: Sequence[tuple[Integers, Floats]]) -> tuple[Integers, Floats]:
    """Return all products of the generators, modulo translations of the lattice."""
    matrices, translations = [np.eye(2, dtype=np.int64)], [np.zeros(2)]
    for w, t in zip(matrices, translations, strict=False):  # both grow while they are walked through
        for gw, gt in generators:
            product = gw @ w
            if not any((product == other).all() for other in matrices):
                matrices.append(product)
                translations.append((gw @ t + gt) % 1.0)
    return np.stack(matrices), np.stack(translations)


#: The 17 plane groups in the order of the International Tables.
PLANE_GROUPS: tuple[PlaneGroup, ...] = _built()


def group_named(name: str) -> PlaneGroup:
    """Return the plane group of a Hermann–Mauguin symbol.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    for group in PLANE_GROUPS:
        if group.name == name:
            return group
    raise InputError(f"no plane group is called {name!r}; expected one of {', '.join(g.name for g in PLANE_GROUPS)}")


@functools.cache
def all_settings() -> tuple[Setting, ...]:
    """Return every setting of every plane group on a reduced basis, whatever its lengths and angle.

    An operation that nearly keeps a reduced basis has no entry beyond ±1, so there are finitely many. Settings that
    differ by the choice of the origin alone are one.
    """
    changes = [m for m in _small_matrices() if abs(round(np.linalg.det(m))) == 1]
    settings = []
    for group in PLANE_GROUPS:
        seen = set()
        for change in changes:
            turn = change.T
            matrices = turn @ group.matrices @ np.rint(np.linalg.inv(turn)).astype(np.int64)
            if np.abs(matrices).max() > 1:
                continue
            translations = group.translations @ change % 1.0
            key = _without_origin(matrices, translations)
            if key not in seen:
                seen.add(key)
                settings.append(Setting(group, change, matrices, translations))
    return tuple(settings)


def _small_matrices() -> list[Integers]:
    rows = itertools.product((1, 0, -1), repeat=4)
    found = [np.array(row, dtype=np.int64).reshape(2, 2) for row in rows]
    return sorted(found, key=lambda m: int(np.abs(m - np.eye(2)).sum()))


def _without_origin(matrices: Integers, translations: Floats) -> tuple:
    """Return what two settings share if and only if a shift of the origin takes one to the other."""
    order = np.lexsort(matrices.reshape(len(matrices), 4).T)
    quarters = np.stack(np.meshgrid(*[np.arange(4) / 4] * 2, indexing="ij"), -1).reshape(-1, 2)
    shifted = translations[order] + np.einsum("gij,sj->sgi", np.eye(2) - matrices[order], quarters)
    every = np.rint(4 * (shifted % 1.0)).astype(int) % 4
    return matrices[order].tobytes(), min(map(tuple, every.reshape(len(quarters), -1).tolist()))


def misfit(basis: ArrayLike, matrices: Integers) -> float:
    """Return the strain that gives a lattice the symmetry of a point group.

    The nearest lattice with the symmetry has the metric of the given one averaged over the group, to first order in the
    strain; the misfit is the difference of the principal logarithmic strains of the map between the two.

    Parameters
    ----------
    basis : array_like, shape (2, 2)
        Rows = vectors.
    matrices : int array, shape (m, 2, 2)
        A group of W's in that basis.
    """
    basis = np.asarray(basis, float)
    metric = basis @ basis.T
    mean = (np.swapaxes(matrices, 1, 2) @ metric @ matrices).mean(axis=0)
    ratio = np.linalg.eigvals(np.linalg.solve(metric, mean)).real
    return float(abs(np.log(ratio[0] / ratio[1])) / 2)


def compatible_settings(basis: ArrayLike, tolerance: float) -> tuple[Setting, ...]:
    """Return the settings that a lattice allows, from the smallest misfit on.

    All of them together are operations of one lattice: one that would turn the nearer ones into an infinite group, as a
    mirror can beside another in a very slender cell, is left out.

    Parameters
    ----------
    basis : array_like, shape (2, 2)
        A reduced basis, rows = vectors.
    tolerance : float
        Largest misfit, as a fraction.

    Raises
    ------
    InputError
        If the basis is not reduced.
    """
    basis = np.asarray(basis, float)
    lengths = np.linalg.norm(basis, axis=1), np.linalg.norm(reduce_basis(basis), axis=1)
    if not np.allclose(np.sort(lengths[0]), lengths[1], rtol=0.05 + tolerance):
        raise InputError("a basis that is not reduced was given; expected the two shortest vectors (reduce_basis)")
    measured = [(misfit(basis, setting.matrices), setting) for setting in all_settings()]
    near = sorted((pair for pair in measured if pair[0] <= tolerance), key=lambda pair: pair[0])
    together: list[Integers] = [np.eye(2, dtype=np.int64)]
    allowed = []
    for strain, setting in near:
        joint = _generated([*together, *setting.matrices])
        if joint is not None:
            together = joint
            allowed.append(Setting(setting.group, setting.change, setting.matrices, setting.translations, strain))
    return tuple(allowed)


def _generated(matrices: Sequence[Integers]) -> list[Integers] | None:
    """Return the group that matrices generate, or None if it is infinite (no finite one has more than 12)."""
    group = {m.tobytes(): m for m in matrices}
    while True:
        products = [a @ b for a in group.values() for b in group.values()]
        larger = group | {p.tobytes(): p for p in products}
        if len(larger) > 12:
            return None
        if len(larger) == len(group):
            return list(group.values())
        group = larger


def contains(larger: Setting, smaller: Setting) -> bool:
    """Tell whether every operation of one setting is one of another, for some choice of the two origins."""
    rows = [np.flatnonzero((larger.matrices == w).all(axis=(1, 2))) for w in smaller.matrices]
    if any(len(row) == 0 for row in rows):
        return False
    chosen = np.concatenate(rows)
    return _without_origin(larger.matrices[chosen], larger.translations[chosen]) == _without_origin(
        smaller.matrices, smaller.translations
    )


@functools.cache
def subgroup_table() -> NDArray[np.bool_]:
    """Return which plane group is a subgroup of which with the same translations, shape (17, 17), [larger, smaller].

    A group counts as its own subgroup.
    """
    table = np.zeros((17, 17), bool)
    for larger in all_settings():
        for smaller in all_settings():
            at = larger.group.number - 1, smaller.group.number - 1
            if not table[at] and len(larger.matrices) % len(smaller.matrices) == 0:
                table[at] = contains(larger, smaller)
    return table

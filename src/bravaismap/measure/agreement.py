"""Agreement: which parts of an image show the same lattice, and the lattice that they have in common.

Two measured cells are the same lattice if a change of basis takes one to the other within a strain and turn of some
percent, which is what drift, bending and the errors of small parts come to. The lattices of the parts scatter by the
errors of their measurement and by how the crystal itself varies; the mean weighs each part by both (DerSimonian and
Laird, Control. Clin. Trials 7, 177 (1986), eq. 8, for four components).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.lattice.deformation import turns
from bravaismap.lattice.grains import two_grains
from bravaismap.lattice.sublattices import kronecker_lift
from bravaismap.measure import settings
from bravaismap.measure.odds import none_probability
from bravaismap.measure.parts import Parts

__all__ = ["CommonLattice", "are_alike", "common_lattices", "suited_sides", "superlattice", "with_common_share"]

#: Added to the variances of parts, px²: without any noise they are 0, and of no use as weights.
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class CommonLattice:
    """A lattice that parts of an image have in common.

    Attributes
    ----------
    basis : array, shape (2, 2)
        Primitive vectors in px, rows, columns (y, x).
    covariance : array, shape (4, 4)
        Of the flattened basis, px²: the errors of the parts and how the lattice varies between them.
    evidence : float
        Log likelihood ratio against none, of all parts of a size together.
    share : float
        Of the image that shows it, between 0 and 1.
    side : int
        Of the parts that the basis comes from, in px.
    strength : float
        Mean evidence of a part of that size at which it is largest, parts without this lattice counting as 0.
    weight : float
        Rank among the lattices: the mean evidence times the root of the number of independent parts.
    strengths, shares : mapping
        The mean evidence of a part, and the share of the parts that show the lattice, by the side of the parts in px.
    members : int array
        Which of the parts show it.
    """

    basis: Floats
    covariance: Floats
    evidence: float
    share: float
    side: int
    strength: float
    weight: float
    strengths: Mapping[int, float]
    shares: Mapping[int, float]
    members: NDArray[np.intp]

    def stretched(self, along_y: float, along_x: float) -> CommonLattice:
        """Return the lattice in an image enlarged by these factors."""
        factor = np.array([along_y, along_x])
        twice = np.tile(factor, 2)
        return replace(self, basis=self.basis * factor, covariance=self.covariance * twice[:, None] * twice)

    def multiplied(self, matrix: NDArray[np.intp] | Floats) -> CommonLattice:
        """Return the lattice whose basis is a matrix times that of this one: a superlattice, or the finer lattice."""
        wide = kronecker_lift(np.asarray(matrix, float))
        return replace(self, basis=matrix @ self.basis, covariance=wide @ self.covariance @ wide.T)


def common_lattices(parts: Parts, shape: tuple[int, ...]) -> list[CommonLattice]:
    """Return the lattices that the parts of an image show, the one with the most evidence first.

    Parameters
    ----------
    parts : Parts
    shape : (int, int)
        Of the image, in px.
    """
    limits = settings.SETTINGS.agreement
    seen = np.asarray(1 - none_probability(parts.evidence), float)
    left = np.flatnonzero(seen > limits.least_probability)
    left = left[np.argsort(-parts.evidence[left], kind="stable")]
    lattices: list[CommonLattice] = []
    while len(left) and len(lattices) < limits.most_lattices:
        members, bases, covariances = _members(parts, left)
        lattices.append(_common(parts, shape, seen, members, bases, covariances))
        left = left[~np.isin(left, members)]
    ranked = sorted(lattices, key=lambda lattice: -lattice.weight)
    for i, other in enumerate(ranked[1:], 1):
        if _ordered(other, ranked[0]):
            return [other, *ranked[:i], *ranked[i + 1 :]]
    return ranked


def are_alike(one: Floats, other: Floats, tolerance: float | None = None) -> bool:
    """Return whether two bases are of one lattice but for a small strain and turn, as those of grains are.

    Parameters
    ----------
    one, other : array, shape (2, 2)
        Rows, both of the lattices or both of their reciprocals.
    tolerance : float, optional
        Largest departure of the change from whole numbers; that of parts of an image by default.
    """
    return bool(_shared(one[None], other, tolerance)[0][0])


def _shared(bases: Floats, middle: Floats, tolerance: float | None = None) -> tuple[NDArray[np.bool_], Floats]:
    """Which bases (n, 2, 2) are of the lattice of another one, (n,), and the changes of whole numbers from that one."""
    relation = bases @ np.linalg.inv(middle)
    change = np.rint(relation)
    most = settings.SETTINGS.agreement.basis_tolerance if tolerance is None else tolerance
    near = (np.abs(relation - change) < most).all((1, 2))
    return near & (np.abs(np.abs(np.linalg.det(change)) - 1) < 0.1), change


def suited_sides(lattice: CommonLattice) -> list[int]:
    """Return the sides of parts that suit a lattice, largest first: those in which it has half of its most evidence.

    Larger ones than that, up to those that its basis comes from, do as well.

    Parameters
    ----------
    lattice : CommonLattice
    """
    least = settings.SETTINGS.agreement.suited_share * lattice.strength
    suited = (side for side, value in lattice.strengths.items() if value >= least or side >= lattice.side)
    return sorted(suited, reverse=True)


def superlattice(cell: Floats, of: Floats) -> NDArray[np.intp] | None:
    """Return the matrix of whole numbers N with cell = N · of, or None where a lattice is no superlattice of another.

    Parameters
    ----------
    cell, of : array, shape (2, 2)
        Bases, rows, of which the second has the smaller cell.
    """
    relation = cell @ np.linalg.inv(of)
    whole = np.rint(relation).astype(np.intp)
    index = abs(round(np.linalg.det(whole)))
    return whole if index > 1 and np.abs(relation - whole).max() < settings.SETTINGS.agreement.basis_tolerance else None


def _ordered(cell: CommonLattice, first: CommonLattice) -> bool:
    """Whether a superlattice is the lattice of the crystal, and the first what its domains have in common.

    Across an antiphase boundary the waves of the order cancel, so that large parts show the smaller cell alone. The
    order is real if in parts of half the size it has nearly as much evidence.
    """
    limits = settings.SETTINGS.agreement
    matrix = superlattice(cell.basis, first.basis)
    if matrix is None or abs(round(np.linalg.det(matrix))) > limits.largest_index:
        return False
    least = limits.suited_share * cell.strength
    sides = [side for side, value in cell.strengths.items() if value >= least and 2 * side <= first.side]
    return any(
        cell.strengths[side] >= max(limits.ordered_share * first.strengths[side], limits.ordered_evidence)
        for side in sides
    )


def _members(parts: Parts, left: NDArray[np.intp]) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Parts that share the lattice of the first, with their bases and covariances in its setting."""
    middle = parts.basis[left[0]]
    for _ in range(3):
        same, change = _shared(parts.basis[left], middle)
        if not same.any():
            same, change = np.arange(len(left)) == 0, np.tile(np.eye(2), (len(left), 1, 1))
        back = np.linalg.inv(change[same])
        bases = back @ parts.basis[left[same]]
        middle = np.average(bases, axis=0, weights=parts.evidence[left[same]])
    grain = _one_grain(parts, left[same], np.linalg.inv(middle) @ bases)
    back, bases, members = back[grain], bases[grain], left[same][grain]
    wide = kronecker_lift(back)
    covariances = wide @ parts.covariance[members] @ np.swapaxes(wide, 1, 2)
    return members, bases, covariances


def _one_grain(parts: Parts, members: NDArray[np.intp], deformation: Floats) -> NDArray[np.bool_]:
    """Which of the parts that share a lattice are those of one grain: all, or of two grains of a small turn the larger.

    The smallest parts that show two grains tell where these are; larger ones hold both.
    """
    basis, covariance = parts.basis[members], parts.covariance[members]
    error = np.sqrt(np.trace(covariance, axis1=1, axis2=2) / 2 / np.abs(np.linalg.det(basis)))
    for side in np.unique(parts.side[members]):
        own = parts.side[members] == side
        grains = two_grains(deformation[own], error[own], parts.evidence[members][own])
        if grains is not None:
            return grains.nearer(turns(deformation))
    return np.ones(len(members), bool)


def _common(
    parts: Parts, shape: tuple[int, ...], seen: Floats, members: NDArray[np.intp], bases: Floats, covariances: Floats
) -> CommonLattice:
    limits = settings.SETTINGS.agreement
    strength, evidence, share, rank = {}, {}, {}, {}
    pixels = float(shape[0] * shape[1])
    # log odds grow with the evidence by this slope, and a search through n parts costs ln n
    search = np.log(len(parts.evidence)) / settings.SETTINGS.odds.slope
    chance = limits.chance_evidence if len(parts.evidence) > 1 else 0.0
    visible = settings.SETTINGS.evidence.visible_cells * abs(np.linalg.det(bases[0]))
    for side in np.unique(parts.side):
        every, own = parts.side == side, members[parts.side[members] == side]
        count, room = every.sum(), max(1.0, pixels / float(side) ** 2)
        strength[side] = parts.evidence[own].sum() / count
        share[side] = seen[own].sum() / count
        within = min(1.0, visible / max(share[side] * pixels, 1.0))
        clear = np.maximum(parts.evidence[own] - chance, 0).sum() / count
        evidence[side] = clear * min(room, count) * within
        rank[side] = strength[side] * np.sqrt(min(room, count))
    side = max(side for side, value in strength.items() if value >= limits.coherent_share * max(strength.values()))
    chosen = parts.side[members] == side
    independent = min(chosen.sum(), max(1.0, share[side] * pixels / float(side) ** 2))
    basis, covariance = _mean(bases[chosen], covariances[chosen], independent)
    local = np.sort(parts.evidence[members])[::-1][: limits.neighbours].sum() / limits.neighbours
    shown = max(local, *evidence.values()) - search
    # the smallest parts that show it resolve where it is
    area = min(share[side] for side in _resolving_sides(strength))
    return CommonLattice(
        basis,
        covariance,
        float(shown),
        float(area),
        int(side),
        max(strength.values()),
        max(rank.values()),
        strength,
        share,
        members,
    )


def _resolving_sides(strengths: Mapping[int, float]) -> list[int]:
    """Sides of the parts that show a lattice well enough to tell where it is, of the mean evidence by side."""
    least = settings.SETTINGS.agreement.resolved_share * max(strengths.values())
    return [side for side, value in strengths.items() if value >= least]


def with_common_share(lattices: list[CommonLattice]) -> list[CommonLattice]:
    """Return the lattices of an image with shares that are counted in parts of one size.

    It is the size at which most of them are resolved, the smallest of these: shares of parts of different sizes cannot
    be compared, as a large part shows what fills a small piece of it.

    Parameters
    ----------
    lattices : list of CommonLattice
    """
    sides = set.intersection(*(set(lattice.shares) for lattice in lattices)) if len(lattices) > 1 else set()
    if not sides:
        return lattices
    resolving = [_resolving_sides(lattice.strengths) for lattice in lattices]
    side = min(sides, key=lambda side: (-sum(side in own for own in resolving), side))
    return [replace(lattice, share=float(lattice.shares[side])) for lattice in lattices]


def _mean(bases: Floats, covariances: Floats, independent: float) -> tuple[Floats, Floats]:
    """Mean basis of parts and its covariance; `independent` is the number of parts that do not overlap."""
    count = len(bases)
    values = bases.reshape(count, 4)
    between = np.zeros((4, 4))
    if count > 2:
        scatter = values - np.median(values, axis=0)
        between = scatter.T @ scatter / (count - 1) - covariances.mean(axis=0)
        size, vectors = np.linalg.eigh(between)
        between = (vectors * np.maximum(size, 0)) @ vectors.T
    weight = np.linalg.inv(covariances + between + _LEAST_VARIANCE * np.eye(4))
    total = np.linalg.inv(weight.sum(axis=0))
    mean = total @ np.einsum("nij,nj->i", weight, values)
    return mean.reshape(2, 2), total * (count / independent)

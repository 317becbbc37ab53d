"""Projection: the average of structure factors over a plane group, which keeps what obeys it.

A function invariant under x → W x + t has F(h W) = F(h) exp(−2πi h·t), so that the average over the group is
(P F)(h) = ⟨F(h W) exp(2πi h·t)⟩. With the group's origin at o, t becomes t + (1 − W) o. The orders must be closed:
every operation takes each of them to another one that was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bravaismap.conventions import Complexes, Floats, Integers
from bravaismap.motif.plane_groups import Setting
from bravaismap.motif.structure_factors import StructureFactors

__all__ = ["GroupAverage", "both_halves", "closed_orders", "group_average", "parts", "projection"]


def closed_orders(factors: StructureFactors, settings: Sequence[Setting]) -> StructureFactors:
    """Return the largest part of the orders that every operation takes to itself."""
    matrices = np.unique(np.concatenate([setting.matrices for setting in settings]), axis=0)
    order = factors.order
    images = np.einsum("ni,gij->gnj", order, matrices)
    reach = int(np.abs(images).max(initial=0)) + 1
    kept = np.ones(len(order), bool)
    while True:
        present = np.zeros((2 * reach + 1, 2 * reach + 1), bool)
        for sign in (1, -1):
            present[tuple((sign * order[kept] + reach).T)] = True
        still = kept & present[images[..., 0] + reach, images[..., 1] + reach].all(axis=0)
        if (still == kept).all():
            break
        kept = still
    both = np.concatenate([kept, kept])
    return StructureFactors(
        factors.basis, order[kept], factors.value[kept], factors.std[kept], factors.expected[kept],
        factors.covariance[np.ix_(both, both)],
    )  # fmt: skip


def both_halves(factors: StructureFactors) -> tuple[Integers, Complexes]:
    """Return the orders of the half plane and then their negatives, (2n, 2), with their structure factors."""
    return np.concatenate([factors.order, -factors.order]), np.concatenate([factors.value, np.conj(factors.value)])


@dataclass(frozen=True, eq=False)
class GroupAverage:
    """The average over a group, term by term: one for each operation and order.

    Attributes
    ----------
    partner : int array, shape (m, 2n)
        Position of h W among the orders.
    shift : int array, shape (m, 2n, 2)
        h − h W, which the origin multiplies.
    value : complex array, shape (m, 2n)
        F(h W) exp(2πi h·t) / m.
    """

    partner: Integers
    shift: Integers
    value: Complexes

    def turned(self, origin: Floats) -> Complexes:
        """Return the terms for an origin, shape (m, 2n)."""
        return np.asarray(self.value * np.exp(2j * np.pi * (self.shift @ origin)))

    def average(self, origin: Floats) -> Complexes:
        """Return the projection of the structure factors, shape (2n,)."""
        return np.asarray(self.turned(origin).sum(axis=0))


def group_average(full: Integers, value: Complexes, setting: Setting) -> GroupAverage:
    """Return the average of structure factors (2n,) over a setting, its origin still open.

    Parameters
    ----------
    full : int array, shape (2n, 2)
        Orders of a half plane, then their negatives; closed under the setting.
    value : complex array, shape (2n,)
    setting : Setting
    """
    images = np.einsum("ni,gij->gnj", full, setting.matrices)
    reach = int(np.abs(full).max(initial=0))
    position = np.zeros((2 * reach + 1, 2 * reach + 1), np.int64)
    position[tuple((full + reach).T)] = np.arange(len(full))
    partner = position[images[..., 0] + reach, images[..., 1] + reach]
    phase = np.exp(2j * np.pi * np.einsum("ni,gi->gn", full, setting.translations))
    return GroupAverage(partner, full - images, value[partner] * phase / len(images))


def parts(values: Complexes) -> Floats:
    """Return the real parts and then the imaginary parts of the first half of structure factors (..., 2n)."""
    half = values[..., : values.shape[-1] // 2]
    return np.concatenate([half.real, half.imag], axis=-1)


def projection(full: Integers, setting: Setting, origin: Floats) -> Floats:
    """Return P as a matrix (2n, 2n) over real parts and then imaginary parts.

    Parameters
    ----------
    full : int array, shape (2n, 2)
        Orders of a half plane, then their negatives.
    setting : Setting
    origin : array, shape (2,)
    """
    n = len(full) // 2
    unit = group_average(full, np.ones(len(full), complex), setting)
    term, partner = unit.turned(origin)[:, :n], unit.partner[:, :n]
    conjugate = np.where(partner >= n, -1.0, 1.0)  # of a partner in the other half the imaginary part is negative
    row, column = np.broadcast_to(np.arange(n), partner.shape), partner % n
    matrix = np.zeros((2 * n, 2 * n))
    np.add.at(matrix, (row, column), term.real)
    np.add.at(matrix, (row, column + n), -conjugate * term.imag)
    np.add.at(matrix, (row + n, column), term.imag)
    np.add.at(matrix, (row + n, column + n), conjugate * term.real)
    return matrix

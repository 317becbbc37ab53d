"""Main lattice: that of a crystal with a strong modulation, about whose spots the satellites are symmetrical.

Where a modulation is as strong as the crystal, its satellites G ± q are among the strongest spots, and a lattice that
goes through some of them fits all but nearly: one of a large cell, as q is near a fraction, or of another shape. All
spots are whole multiples h g₁ + k g₂ + m q within a few hundredths of a bin (P. M. de Wolff, T. Janssen, A. Janner,
Acta Cryst. A37, 625 (1981)). g₁ + q and q give the same spots as g₁ and q do, with other orders: the main lattice is
that whose orders m are the smallest, so that both satellites of a pair are about one of its spots.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.measure import settings
from bravaismap.measure.agreement import are_alike
from bravaismap.measure.modulation import refined_places
from bravaismap.measure.nodes import level_at, node_power
from bravaismap.measure.satellites import mean_spectrum
from bravaismap.measure.spots import Spectrum, find_spots

__all__ = ["explains_spots", "main_lattice"]


def main_lattice(image: Tensor, basis: Floats) -> Floats | None:
    """Return the main lattice of an image whose spots a lattice misses and a modulated one explains, else None.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Standardised.
    basis : array, shape (2, 2)
        Of the lattice that was found, rows, columns (y, x), in px.

    Returns
    -------
    array, shape (2, 2), or None
        Of the main lattice, in px.
    """
    limits = settings.SETTINGS.main_lattice
    spectrum, size = mean_spectrum([image[None]])
    place, trust = _spots(image, spectrum)
    if len(place) < limits.fewest:
        return None
    given = _Module.fitted(place, trust, np.linalg.inv(basis).T * size, np.zeros((0, 2)))
    if given.share > limits.explained_share:
        return None
    modules = _modules(place, trust)
    if not modules:
        return None
    best = max(modules, key=lambda module: module.score)
    if best.score < given.score + limits.least_gain or best.share < limits.explained_share:
        return None
    if best.commensurate() or best.pairs() < limits.fewest_pairs or _sharpness(spectrum, place) < limits.sharpness:
        return None
    return reduce_basis(np.linalg.inv(best.vectors[:2] / size).T)


def explains_spots(parts: Iterable[Tensor], basis: Floats) -> bool:
    """Return whether a lattice explains the strong spots that parts of an image have in common.

    What splits the spots of the whole image are faults of the crystal then, boundaries between its domains, and no
    modulation.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
        Of one size.
    basis : array, shape (2, 2)
        Rows, columns (y, x), in px.
    """
    spectrum, size = mean_spectrum(parts)
    place, trust = _strong(spectrum)
    given = _Module.fitted(place, trust, np.linalg.inv(basis).T * size, np.zeros((0, 2)))
    return given.share > settings.SETTINGS.main_lattice.explained_share


def _spots(image: Tensor, spectrum: Spectrum) -> tuple[Floats, Floats]:
    """Places of the strong spots of an image to a small part of a bin, (n, 2), and how far each is trusted, (n,)."""
    place, trust = _strong(spectrum)
    return refined_places(image[None], place), trust


def _strong(spectrum: Spectrum) -> tuple[Floats, Floats]:
    """Places of the strongest clear spots in bins, (n, 2), and how far each is trusted, (n,), strongest first."""
    limits = settings.SETTINGS.main_lattice
    spots = find_spots(spectrum, count=limits.most_spots)
    power = (node_power(spectrum, spots.position)[0] * level_at(spectrum, spots.position))[0]
    kept = (spots.weight[0] > limits.clear_weight) & (power > limits.least_amplitude**2 * power.max())
    weight = spots.weight[0][kept].cpu().numpy().astype(float)
    order = power[kept].argsort(descending=True, stable=True).cpu().numpy()
    place = spots.position[0][kept].cpu().numpy().astype(float)
    return place[order], (weight / (weight + limits.clear_weight))[order]


@dataclass(frozen=True)
class _Module:
    """Vectors g₁, g₂ and waves q whose whole multiples are the spots of an image.

    Attributes
    ----------
    vectors : array, shape (2 + waves, 2)
        In bins.
    index : int array, shape (n, 2 + waves)
        Of the spots.
    near : bool array, shape (n,)
        Which spots these explain.
    score : float
        What the spots say for them, less what was chosen by these spots.
    share : float
        Of the spots, by trust, that they explain.
    """

    vectors: Floats
    index: NDArray[np.intp]
    near: NDArray[np.bool_]
    score: float
    share: float

    @classmethod
    def fitted(cls, place: Floats, trust: Floats, basis: Floats, waves: Floats) -> _Module:
        """Return the module fitted to spots from a basis in bins and waves in that basis, (waves, 2)."""
        limits = settings.SETTINGS.main_lattice
        vectors = np.vstack([basis, waves @ basis])
        multiples, order, prior = _multiples(len(waves))
        for reach in (3 * limits.reach, limits.reach, limits.reach):
            index, _, away = _indexed(place, vectors, multiples, order)
            near = away < reach
            weight = np.sqrt(trust[near])[:, None]
            own = index[near]
            if np.linalg.matrix_rank(own) < len(vectors):
                break
            vectors = np.linalg.lstsq(weight * own, weight * place[near], rcond=None)[0]
        index, chosen, away = _indexed(place, vectors, multiples, order)
        area = abs(np.linalg.det(vectors[:2]))
        likely = prior[chosen] * np.exp(-((away / limits.error) ** 2) / 2) * area / (2 * np.pi * limits.error**2)
        says = trust * np.log((1 - limits.stray_share) * likely + limits.stray_share)
        near = away < limits.reach
        price = len(vectors) * says.max(initial=0.0)
        return cls(
            vectors, index, near, float(says.sum() - price), float(trust[near].sum()) / max(float(trust.sum()), 1e-30)
        )

    def commensurate(self) -> bool:
        """Return whether each wave is that of a superlattice of few cells, which needs no wave beside its own."""
        limits = settings.SETTINGS.main_lattice
        waves = self.vectors[2:] @ np.linalg.inv(self.vectors[:2])
        times = np.arange(1, limits.few_cells + 1)[:, None, None]
        away = np.linalg.norm((times * waves - np.rint(times * waves)) @ self.vectors[:2], axis=-1)
        return bool((away < limits.error * times[..., 0]).any(0).all())

    def pairs(self) -> int:
        """Return about how many spots of the lattice, the centre aside, both first satellites of a wave are seen."""
        seen = {tuple(order) for own in self.index[self.near].tolist() for order in (own, [-entry for entry in own])}
        pairs = 0
        for wave in range(2, len(self.vectors)):
            step = np.eye(len(self.vectors), dtype=int)[wave]
            about = {order[:2] for order in seen if any(order[:2])}
            for node in about:
                centre = np.array([*node, *[0] * (len(self.vectors) - 2)])
                pairs += tuple(centre + step) in seen and tuple(centre - step) in seen
        return pairs // 2


def _multiples(waves: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Multiples of the waves that are looked at, (multiples, waves), their orders, and the prior of each.

    Of two waves the sum may be the third of three at 120°, which is none of the second order.
    """
    every = np.array(list(itertools.product(range(-2, 3), repeat=waves)), np.intp).reshape(5**waves, waves)
    order = np.abs(every).sum(1)
    if waves == 2:
        third = np.arange(-2, 3)[:, None]
        order = (np.abs(every[:, 0] - third) + np.abs(every[:, 1] - third) + np.abs(third)).min(0)
    falls = np.asarray(settings.SETTINGS.main_lattice.falls)
    kept = order < len(falls)
    prior = falls[order[kept]]
    return every[kept], order[kept], prior / prior.sum()


def _indexed(
    place: Floats, vectors: Floats, multiples: NDArray[np.intp], order: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Indices of each place, (n, vectors), which multiple of the waves is in them, and the distance from it in bins.

    Of multiples that are alike it is that of the smallest order.
    """
    left = place[:, None] - (multiples @ vectors[2:])
    node = np.rint(left @ np.linalg.inv(vectors[:2]))
    away = np.linalg.norm(left - node @ vectors[:2], axis=-1)
    best = (away + settings.SETTINGS.main_lattice.reach * order).argmin(1)
    rows = np.arange(len(place))
    index = np.hstack([node[rows, best], multiples[best]])
    return index.astype(np.intp), best, away[rows, best]


def _modules(place: Floats, trust: Floats) -> list[_Module]:
    """Modules of one wave and of two, from pairs of the strongest spots and what these leave over."""
    limits = settings.SETTINGS.main_lattice
    modules: list[_Module] = []
    for basis in _bases(place[: limits.paired_spots]):
        waves = np.zeros((0, 2))
        near = np.zeros(len(place), bool)
        for _ in range(limits.most_waves):
            index = place @ np.linalg.inv(basis)
            fraction = index - np.rint(index)
            over = fraction[(np.linalg.norm(fraction @ basis, axis=1) > limits.reach) & ~near][: limits.tried_waves]
            tried = [_Module.fitted(place, trust, basis, np.vstack([waves, wave])) for wave in over]
            if not tried:
                break
            best = max(tried, key=lambda module: module.score)
            modules.append(best)
            near, waves = best.near, best.vectors[2:] @ np.linalg.inv(best.vectors[:2])
            basis = best.vectors[:2]
    return modules


def _bases(place: Floats) -> list[Floats]:
    """Reduced bases from pairs of places, each lattice once."""
    limits = settings.SETTINGS.main_lattice
    bases: list[Floats] = []
    for pair in itertools.combinations(place, 2):
        basis = np.array(pair)
        lengths = np.linalg.norm(basis, axis=1)
        if abs(np.linalg.det(basis)) < limits.least_sine * lengths.prod():
            continue
        basis = reduce_basis(basis)
        if not any(are_alike(basis, other, limits.basis_tolerance) for other in bases):
            bases.append(basis)
    return bases


def _sharpness(spectrum: Spectrum, place: Floats) -> float:
    """Share of the power about spots that lies in the centres of any of them, noise left aside."""
    level = spectrum.level[0].cpu().numpy()
    above = spectrum.power[0].cpu().numpy() * level - level
    rows, columns = above.shape
    row, column = np.mgrid[:rows, :columns]
    centre, about = np.zeros((2, rows, columns), bool)
    for k_y, k_x in np.vstack([place, -place]):
        away = np.maximum(np.abs(row - rows // 2 - k_y), np.abs(column - 1 - k_x))
        centre |= away < 1.5
        about |= away < settings.SETTINGS.satellites.surroundings + 0.5
    return float(above[centre].sum() / max(above[about].sum(), 1e-30))

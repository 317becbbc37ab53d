"""Satellites: weak waves between those of a lattice, as its superlattice has them.

A charge density wave or an adsorbate that orders adds satellites to the spots of a crystal, a hundredth as strong or
less. A search from the strongest spots stops at the crystal's own. The spots that its lattice leaves over are at
rational fractions of its reciprocal vectors if they are those of a superlattice. With index n the superlattice has n
nodes for every one of the lattice, so that a larger one is near more spots by chance; what each spot says is weighed
against that. Domain boundaries, strain and wandering rows split and smear the spots of a crystal itself, so that parts
are asked whose spots are sharp.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor
from torch.nn.functional import interpolate

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.sublattices import sublattices_to
from bravaismap.measure import settings
from bravaismap.measure.nodes import distinct_power, level_at, node_orders, node_power
from bravaismap.measure.spots import Spectrum, find_spots, significance, standardize, whitened_power
from bravaismap.measure.tiles import as_single

__all__ = ["mean_spectrum", "satellites", "sharpness", "superlattice_of", "superlattices_of_parts"]

#: Frequencies of the pixel grid, in cycles per px, about which waves that are finer than the pixels appear.
_PIXEL_FREQUENCIES = np.array([[h, k] for h in (-1.0, 0.0, 1.0) for k in (-1.0, 0.0, 1.0)])


def superlattice_of(parts: Iterable[Tensor], basis: Floats) -> NDArray[np.intp] | None:
    """Return the matrix of whole numbers N of the superlattice N · basis that weak spots make, or None without these.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
        Parts of one size of an image.
    basis : array, shape (2, 2)
        Of the lattice, rows, columns (y, x), in px.

    Returns
    -------
    int array, shape (2, 2), or None
        N · basis is reduced.
    """
    return _superlattice(*mean_spectrum(parts), basis)


def superlattices_of_parts(parts: Iterable[Tensor], basis: Floats) -> list[NDArray[np.intp]]:
    """Return the superlattices that the parts show each by itself, as of :func:`superlattice_of`.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
    basis : array, shape (2, 2)
    """
    every = []
    for crops in parts:
        spectrum, size = whitened_power(standardize(crops)), np.array(crops.shape[1:], float)
        rows = torch.arange(len(crops), device=crops.device)
        every += [_superlattice(spectrum.take(row[None]), size, basis) for row in rows]
    return [matrix for matrix in every if matrix is not None]


def _superlattice(spectrum: Spectrum, size: Floats, basis: Floats) -> NDArray[np.intp] | None:
    """The superlattice that weak spots make in the spectrum of parts of a size."""
    limits = settings.SETTINGS.satellites
    reciprocal = np.linalg.inv(basis).T * size
    position, weight = satellites(spectrum, reciprocal, size)
    if len(position) < limits.fewest:
        return None
    trust = weight / (weight + limits.half_weight)
    index = position @ np.linalg.inv(reciprocal)
    area = abs(np.linalg.det(reciprocal))
    best, most = None, limits.least_score
    for matrix in sublattices_to(limits.largest_index):
        count = round(np.linalg.det(matrix))
        apart = np.linalg.norm(reduce_basis(np.linalg.inv(matrix).T @ reciprocal), axis=1).min()
        if apart < settings.SETTINGS.parts.fewest_cells:
            continue
        node = index @ matrix.T
        away = (((node - np.rint(node)) @ np.linalg.inv(matrix).T @ reciprocal) ** 2).sum(1)
        chance = 2 * math.pi * limits.error**2 * count / area
        near = np.exp(-away / (2 * limits.error**2)) / chance
        score = float((trust * np.log((1 - limits.stray_share) * near + limits.stray_share)).sum()) - 2 * math.log(
            count
        )
        near = away < limits.reach**2
        share = np.log1p(weight[near]).sum() / np.log1p(weight).sum()
        compact = _ratio_of_sides(matrix @ basis) < settings.SETTINGS.search.common_ratio
        if score > most and near.sum() >= limits.fewest and share > limits.explained_share and compact:
            best, most = matrix, score
    if best is None:
        return None
    cell = reduce_basis(best @ basis)
    return np.asarray(np.rint(cell @ np.linalg.inv(basis)), np.intp)


def _ratio_of_sides(basis: Floats) -> float:
    """Longer side of the reduced cell over the shorter one."""
    short, long = np.linalg.norm(reduce_basis(basis), axis=1)
    return float(long / short)


def mean_spectrum(parts: Iterable[Tensor]) -> tuple[Spectrum, Floats]:
    """Return the mean spectrum of parts of one size, and that size, (2,).

    Its power is that in a single spectrum which noise exceeds as seldom.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
    """
    power: list[Tensor] = []
    level: list[Tensor] = []
    size = np.ones(2)
    for crops in parts:
        spectrum = whitened_power(standardize(crops))
        power.append(spectrum.power)
        level.append(spectrum.level)
        size = np.array(crops.shape[1:], float)
    every = torch.cat(power)
    mean = every.mean(0, keepdim=True)
    if len(every) > 1:
        mean = as_single(mean, len(every) / settings.SETTINGS.satellites.overlap)
    return Spectrum(mean, torch.cat(level).mean(0, keepdim=True)), size


def _evened(spectrum: Spectrum) -> Spectrum:
    """The spectrum over a background at least as high as is usual nearby: one bin near 0 takes that of its block down.

    Among the bins of a block of noise one that is nearly 0 has most of the mean of power^(−1/2).
    """
    side = settings.SETTINGS.spots.block_side
    usual = median_filter(spectrum.level[:, ::side, ::side].cpu().numpy(), (1, 5, 5))
    rows, columns = spectrum.level.shape[1:]
    spread = torch.from_numpy(usual).to(spectrum.level.device)[:, None]
    wide = interpolate(spread, scale_factor=side, mode="nearest")[:, 0, :rows, :columns]
    level = torch.maximum(spectrum.level, wide)
    return Spectrum(spectrum.power * spectrum.level / level, level)


def _own_sharpness(spectrum: Spectrum, reciprocal: Floats) -> float:
    """Sharpness of the strongest spots of a lattice."""
    limits = settings.SETTINGS.satellites
    position = node_orders(limits.highest_index) @ torch.from_numpy(reciprocal).float()
    power, seen = node_power(spectrum, position.to(spectrum.level.device)[None])
    strongest = torch.where(seen, power, 0.0)[0].topk(limits.sharp_spots).indices.cpu()
    return sharpness(spectrum, position[strongest])


def sharpness(spectrum: Spectrum, position: Tensor) -> float:
    """Return the share of the power about spots that lies within a bin of them, noise left aside.

    Parameters
    ----------
    spectrum : Spectrum
        Of one image.
    position : tensor, shape (n, 2)
        Of the spots, in bins.
    """
    limits, level = settings.SETTINGS.satellites, spectrum.level[0]
    above = spectrum.power[0] * level - level
    centre, about = 0.0, 0.0
    for k_y, k_x in torch.where(position[:, 1:] < 0, -position, position).round().int().tolist():
        row, column = k_y + len(level) // 2, k_x + 1
        within, beside = (
            float(above[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1].sum())
            for reach in (1, limits.surroundings)
        )
        centre, about = centre + within, about + max(within, beside)
    return centre / max(about, 1e-30)


def satellites(spectrum: Spectrum, reciprocal: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Return the spots that may be satellites of a lattice; none where its own spots are smeared.

    They are clear, and no nodes of the lattice, not beside one, nor its mirror image about the frequency of a pixel.

    Parameters
    ----------
    spectrum : Spectrum
        Of one image.
    reciprocal : array, shape (2, 2)
        Basis of the reciprocal lattice, rows, in bins (k_y, k_x).
    size : array, shape (2,)
        Of the image, in px.

    Returns
    -------
    position : array, shape (n, 2)
        In bins.
    weight : array, shape (n,)
        What they say above the highest maximum of noise.
    """
    limits = settings.SETTINGS.satellites
    if _own_sharpness(spectrum, reciprocal) < limits.sharpness:
        return np.zeros((0, 2)), np.zeros(0)
    spectrum = _evened(spectrum)
    spots = find_spots(spectrum, brightest=False, count=limits.most_spots)
    power, seen = distinct_power(spectrum, spots.position)
    chance = math.log(spectrum.power[0].numel() / 9)
    weight = torch.where(seen, torch.minimum(spots.weight, significance(power)) - chance, 0.0)[0].cpu().numpy()
    position = spots.position[0].cpu().numpy().astype(float)
    away = np.full(len(position), np.inf)
    whole = node_orders(limits.highest_index).numpy().astype(float) @ reciprocal
    for nodes in (whole, -whole):
        for shift in _PIXEL_FREQUENCIES * size:
            away = np.minimum(away, np.linalg.norm(position[:, None] - nodes - shift, axis=2).min(1))
    strongest = _raw_power(spectrum, torch.from_numpy(whole).to(spots.position)).amax()
    strong = _raw_power(spectrum, spots.position[0]) > limits.least_amplitude**2 * strongest
    kept = (weight > limits.least_weight) & (away > limits.skirt) & strong.cpu().numpy()
    return position[kept], weight[kept].astype(float)


def _raw_power(spectrum: Spectrum, position: Tensor) -> Tensor:
    """Power of waves at positions in bins (n, 2) that is not divided by its background, (n,); 0 where none is seen."""
    power, seen = node_power(spectrum, position[None])
    return torch.where(seen, power * level_at(spectrum, position[None]), 0.0)[0]

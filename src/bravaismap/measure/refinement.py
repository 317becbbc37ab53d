"""Refinement: the reciprocal basis that maximises the likelihood of a periodic signal, and its true covariance.

Given a basis from ``indexing``, the image is modelled as waves at the nodes of one lattice plus noise. The basis that
maximises Σ_h |S(k_h)|² / P_h, with S the Fourier sum of the image at the node and P_h the power of the noise there, is
found by Newton's method. For speed each node's sum is kept by tile (`tile_sums`). After the first pass the waves found
are subtracted, so that no node leaks into another, and the second pass refines on the residual.

The covariance is the sandwich H⁻¹ M H⁻¹: H is the curvature at the maximum and M the scatter of the score, summed over
all nodes first, between the tiles of the residual. Displaced atoms turn the phases of all harmonics together, which
errors taken node by node would miss; the scatter between tiles does not, whatever the disorder is.

Where a crystal is not one wave, the tiles are taken in groups, each of which has phases of its own: what is maximised
is the power summed over the groups.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.tapered_tiles import SHAPES_KEPT, TaperedTiles, taper_by_tile
from bravaismap.measure.tile_sums import (
    Grouping,
    Waves,
    amplitude,
    first_moments,
    grouped_tiles,
    second_moments,
    strength,
    turned,
)
from bravaismap.measure.window_settings import RefinementSettings

__all__ = ["Refined", "refine"]


@dataclass(frozen=True)
class Refined:
    """A refined reciprocal lattice.

    Attributes
    ----------
    basis : tensor, shape (n, 2, 2)
        Rows g₁, g₂ in bins (y, x).
    covariance : tensor, shape (n, 4, 4)
        Of the flattened basis, bins².
    amplitude : complex tensor, shape (n, nodes)
        Of the wave at each node, in units of the image.
    noise : tensor, shape (n, nodes)
        Power of the noise under each node: E|amplitude error|².
    signal : tensor, shape (n, nodes)
        Power of the wave at each node over that of the noise, the mean over groups; of noise alone it is 1.
    """

    basis: Tensor
    covariance: Tensor
    amplitude: Tensor
    noise: Tensor
    signal: Tensor


def refine(
    images: TaperedTiles, basis: Tensor, orders: Tensor, weight: Tensor, steps: int = 3, groups: int = 1
) -> Refined:
    """Return the maximum-likelihood reciprocal basis of each window.

    Parameters
    ----------
    images : TaperedTiles
    basis : tensor, shape (n, 2, 2)
        Starting values in bins; the nodes that weigh must be nearer than half a bin.
    orders : tensor, shape (n, nodes, 2)
        Indices (h, k) of the nodes to use.
    weight : tensor, shape (n, nodes)
        Probability that a node holds a wave, over the power of the noise (any unit) there.
    steps : int
        Newton steps in each pass.
    groups : int
        Groups of tiles along each side of a window, 1, 2 or 4: in each the waves have a phase of their own.
    """
    extent, tapered = images.extent, images.tiles
    basis = basis * extent
    limits = settings.SETTINGS.refinement
    grouping = grouped_tiles(limits.tiles, groups, tapered.device)
    taper, share, within = _shares(images.size, groups, limits, tapered.device)
    used = weight > 0
    sums = Waves(images.size, orders @ basis).demodulate(tapered)
    change = _newton(sums, orders, weight, steps, grouping)
    basis = basis + change
    waves = Waves(images.size, orders @ basis)
    filled = amplitude(turned(sums, orders @ change), grouping) * (used[..., None] / within)
    left = waves.demodulate(tapered.addcmul(taper, waves.synthesize(filled), value=-1))
    noise = _noise(left, grouping)
    sums = left + filled * share
    total = share.sum()
    sharp = _clear(sums, noise, used, grouping) / noise.clamp_min(1e-20)
    change = _newton(sums, orders, sharp, steps - 1, grouping)
    covariance = _sandwich(sums, left, orders, sharp, change, share / share.max(), grouping)
    scale = torch.cat([extent, extent])
    return Refined(
        (basis + change) / extent,
        covariance / (scale[:, None] * scale),
        sums.sum(-1) / total,
        noise / total**2,
        strength(sums, grouping) / noise.clamp_min(1e-20 * total**2),
    )


def _newton(sums: Tensor, orders: Tensor, weight: Tensor, steps: int, grouping: Grouping) -> Tensor:
    """Change of basis that maximises the weighted power, (n, 2, 2); no node that weighs moves beyond the reach."""
    limits = settings.SETTINGS.refinement
    change = orders.new_zeros(len(orders), 2, 2)
    reach = limits.reach * grouping.groups**0.5  # bins of a group are as much wider
    weighted = weight[..., None] * orders
    used = torch.where(weight[..., None] > 0, orders, 0.0)
    damping, least = _damping(limits.damping, orders.device)
    moved_sums = sums
    for left in reversed(range(steps)):
        gradient, power = _gradient(moved_sums, weighted, grouping)
        damped = torch.addcmul(least, _by_order(orders, weighted, power), damping, value=_bend(grouping))
        change = (change + torch.linalg.solve_ex(damped, gradient)[0]).nan_to_num_()
        moved = torch.linalg.vector_norm(used @ change, dim=-1).amax(-1)
        change *= (reach / moved.clamp_min_(reach))[:, None, None]
        if left:
            moved_sums = turned(sums, orders @ change)
    return change


@functools.cache
def _damping(damping: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factors on the curvature along either axis, which damp a step, and what keeps it from being 0, (2, 2)."""
    eye = torch.eye(2, device=device)
    return 1 + damping * eye, 1e-12 * eye


def _by_order(orders: Tensor, weighted: Tensor, strength: Tensor) -> Tensor:
    """Sum over nodes of the weighted strength times the products of the indices, (n, 2, 2)."""
    return (weighted * strength[..., None]).transpose(1, 2) @ orders


def _bend(grouping: Grouping) -> float:
    """Curvature along an axis of the power of a pure wave that has an index of 1, over that power."""
    return 8 * math.pi**2 * grouping.lever


def _gradient(sums: Tensor, weighted: Tensor, grouping: Grouping) -> tuple[Tensor, Tensor]:
    """Gradient of Σ weight |S|² with respect to the basis, (n, 2, 2), and |S|²; `weighted` is weight × order."""
    moments = first_moments(sums, grouping)
    # S* times S, and times its two first moments
    products = (moments[:, :, :1].conj() * moments).sum(-1)
    slope = products.imag[..., 1:] * (4 * torch.pi)
    return weighted.transpose(1, 2) @ slope, products.real[..., 0]


def _curvature(sums: Tensor, orders: Tensor, weighted: Tensor, grouping: Grouping) -> Tensor:
    """Curvature, positive at a maximum, of Σ weight |S|² with respect to the basis, (n, 4, 4)."""
    moments = second_moments(sums, grouping)
    second = (moments[:, :, :1].conj() * moments[:, :, 3:]).real.sum(-1)
    first = moments[:, :, 1:3]
    squares = (first[..., None, :].conj() * first[:, :, None]).real.sum(-1)
    bend = (torch.stack([second[..., :2], second[..., 1:]], dim=-2) - squares) * (8 * torch.pi**2)
    pairs = (weighted[..., :, None] * orders[..., None, :]).flatten(2)
    by_axes = pairs.transpose(1, 2) @ bend.flatten(2)
    return by_axes.reshape(-1, 2, 2, 2, 2).transpose(2, 3).reshape(-1, 4, 4)


def _sandwich(
    sums: Tensor, left: Tensor, orders: Tensor, weight: Tensor, change: Tensor, share: Tensor, grouping: Grouping
) -> Tensor:
    """Covariance of the basis from the scatter of the score between tiles."""
    moved, weighted = turned(sums, orders @ change), weight[..., None] * orders
    curvature = _curvature(moved, orders, weighted, grouping)
    strengths = _by_order(orders, weighted, strength(moved, grouping))
    model = _along_both(strengths, _bend(grouping) * _eye(2, left.device))
    unsound = torch.linalg.cholesky_ex(curvature - settings.SETTINGS.refinement.sound_curvature * model).info > 0
    curvature = torch.where(unsound[:, None, None], model, curvature)
    quadrature = (amplitude(sums, grouping).conj() * left).imag
    by_order = weighted.transpose(1, 2) @ quadrature
    level = _long_run(by_order * (4 * torch.pi / share.clamp_min(1e-6).sqrt()), round(grouping.groups**0.5))
    scatter = _along_both(level, grouping.place.T @ (grouping.place * share[:, None]))
    ridge = _ridge(strengths)[:, None] * curvature.diagonal(dim1=-2, dim2=-1).abs() + 1e-12
    inverse: Tensor = torch.linalg.inv_ex(curvature + torch.diag_embed(ridge))[0]
    return inverse @ scatter @ inverse.transpose(1, 2)


def _ridge(strengths: Tensor) -> Tensor:
    """What is added to the curvature for its inverse, as a share: next to nothing, but for nodes of one direction.

    These say nothing about the other: without more, the rounding of single precision would say how little.
    """
    own = strengths.diagonal(dim1=-2, dim2=-1).prod(-1)
    apart = (torch.linalg.det(strengths) / own.clamp_min(1e-30)).clamp(0.0, 1.0)
    limits = settings.SETTINGS.refinement
    share: Tensor = limits.least_ridge + limits.largest_ridge * (1 + apart / limits.one_direction).pow(-2)
    return share


def _along_both(of_vectors: Tensor, of_axes: Tensor) -> Tensor:
    """Matrices (n, 4, 4) of the flattened basis from those of its two vectors, (n, 2, 2), and of the axes, (2, 2)."""
    return (of_vectors[:, :, None, :, None] * of_axes[None, None, :, None, :]).reshape(-1, 4, 4)


@functools.cache
def _eye(size: int, device: torch.device) -> Tensor:
    """Unit matrix."""
    return torch.eye(size, device=device)


def _long_run(field: Tensor, groups: int) -> Tensor:
    """Long-run covariance (of the mean, times the tiles) of a field over tiles, (n, c, tiles) → (n, c, c).

    Neighbours count by a triangle of half width `correlated_tiles`; what the fit of an offset of each group and of a
    gradient took away from white noise is put back.
    """
    limits = settings.SETTINGS.refinement
    weight, restore = _neighbours(limits.tiles, limits.correlated_tiles, groups, field.device)
    level = field @ (weight * (restore / field.shape[2])) @ field.transpose(1, 2)
    level = 0.5 * (level + level.transpose(1, 2))
    floor = limits.least_scatter * field.square().mean(-1)
    level = level + torch.diag_embed((floor - level.diagonal(dim1=-2, dim2=-1)).clamp_min(0))
    return level * _bound(level)


def _bound(level: Tensor) -> Tensor:
    """Factors (1 on the diagonal) that keep the correlation of two parts within its largest: it is an estimate."""
    spread = level.diagonal(dim1=-2, dim2=-1).clamp_min(1e-30).sqrt()
    most = settings.SETTINGS.refinement.largest_correlation * spread[:, :, None] * spread[:, None]
    return torch.maximum(_eye(level.shape[-1], level.device), (most / level.abs().clamp_min(1e-30)).clamp_max(1.0))


@functools.cache
def _neighbours(tiles: int, reach: int, groups: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights of pairs of tiles, (tiles, tiles), and the factor that makes up for the fitted offsets and gradient.

    The weights fall along each axis as a triangle of half width `reach`. A product with them is a convolution over a
    grid of tiles, which a GPU takes a hundred times as long for.
    """
    line = torch.arange(tiles, device=device)
    along = (1 - (line[:, None] - line).abs() / reach).clamp_min(0)
    weight = torch.kron(along, along)
    grouping = grouped_tiles(tiles, groups, device)
    fitted = torch.cat([grouping.member.T, grouping.place.T])
    fitted = fitted / fitted.square().sum(-1, keepdim=True).sqrt()
    share = ((fitted @ weight) * fitted).sum() / tiles**2
    return weight, 1 / (1 - share)


#: Half width, in tiles, of the triangle with which correlated noise is added up.
_CORRELATED: Final = 2


def _noise(left: Tensor, grouping: Grouping) -> Tensor:
    """Power of the noise in each node's sum, from the residual of its tiles, correlated over neighbours."""
    limits = settings.SETTINGS.refinement
    weight, _ = _neighbours(limits.tiles, _CORRELATED, 1, left.device)
    parts = torch.view_as_real(left).movedim(-1, 2).contiguous()
    correlated = (parts @ weight).mul_(parts).sum((-1, -2))
    plain = parts.square_().sum((-1, -2))
    lost = grouped_tiles(limits.tiles, 1, left.device).kept / grouping.kept
    return torch.maximum(correlated, limits.least_noise * plain) * lost


def _clear(sums: Tensor, noise: Tensor, used: Tensor, grouping: Grouping) -> Tensor:
    """Which nodes to refine on: those that stand clear of the noise, whose maxima it does not move, or the best few."""
    limits = settings.SETTINGS.refinement
    excess = torch.where(used, 1 - noise / strength(sums, grouping).clamp_min(1e-20), -torch.inf)
    least = excess.topk(limits.fewest_nodes, dim=-1).values[:, -1:].clamp_max(limits.clear_share)
    return (used & (excess >= least)).to(noise.dtype)


@functools.lru_cache(maxsize=SHAPES_KEPT)
def _shares(
    size: tuple[int, int], groups: int, limits: RefinementSettings, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The taper by tiles, (tiles, pixels), its sum over each of them, and over the group of each."""
    taper = taper_by_tile(size, device)
    share, grouping = taper.sum(-1), grouped_tiles(limits.tiles, groups, device)
    return taper, share, grouping.of_tiles(grouping.total(share))

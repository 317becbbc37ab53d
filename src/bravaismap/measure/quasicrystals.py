"""Quasicrystals: rings of 8, 10 or 12 equal spots, which no lattice has.

A lattice is its own image when it is turned by 60°, 90°, 120° or 180°, and by no other angle. Where the strongest spots
of a spectrum are 8, 10 or 12 on a circle, evenly spread and about as strong as one another, a lattice that fits them
within their errors is an accident of a large cell (D. Shechtman, I. Blech, D. Gratias, J. W. Cahn, Phys. Rev. Lett. 53,
1951 (1984)). Two square lattices at 45° or two hexagonal ones at 30° have such a ring as well. As grains they lie side
by side, so that the waves of the ring are not in the same places. As layers they lie on one another, and their waves
add up; those of a quasicrystal have sums and differences, too.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.local_waves import local_sums
from bravaismap.measure.nodes import level_at, node_power
from bravaismap.measure.spots import Spectrum, Spots

__all__ = ["Rings", "rings"]


@dataclass(frozen=True)
class Rings:
    """The ring of equal spots that each window shows.

    Attributes
    ----------
    fold : int tensor, shape (n,)
        Number of its spots, 8, 10 or 12; 0 without one.
    waves : tensor, shape (n, 6, 2)
        One of each pair of these, in bins, neighbours 360° / fold apart; 0 beyond the fifth or the fourth.
    sums : bool tensor, shape (n,)
        Whether there are waves at the sums or the differences of neighbours.
    """

    fold: Tensor
    waves: Tensor
    sums: Tensor

    def quasicrystalline(self, basis: Tensor) -> Tensor:
        """Return which windows (n,) show a ring that is not that of two layers, one of which has a given lattice.

        Parameters
        ----------
        basis : tensor, shape (n, 2, 2)
            Of the reciprocal lattice, in bins.
        """
        index = self.waves @ torch.linalg.inv_ex(basis.to(self.waves))[0]
        layer = torch.zeros_like(self.sums)
        for waves in (index[:, ::2], index[:, 1::2]):
            near = (waves - waves.round()).abs() < settings.SETTINGS.quasicrystals.index_tolerance
            layer |= (near & (waves.abs().round() <= 1)).all(-1).all(-1)
        odd = (self.fold == 10) | self.sums
        strange: Tensor = (self.fold > 0) & (odd | ~layer)
        return strange


def rings(images: Tensor, spots: Spots, spectrum: Spectrum) -> Rings:
    """Return the ring of 8, 10 or 12 equal spots that each window shows in one place.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised.
    spots : Spots
        Of these, from their `spectrum`.
    spectrum : Spectrum
    """
    limits = settings.SETTINGS.quasicrystals
    size = torch.tensor(images.shape[1:], dtype=torch.float32, device=images.device)
    power = node_power(spectrum, spots.position)[0] * level_at(spectrum, spots.position)
    power = torch.where(spots.weight > limits.clear_weight, power, 0.0)
    fold = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    waves = spots.position.new_zeros(len(images), max(limits.folds) // 2, 2)
    for count in limits.folds:
        ring, shown = _ring(spots.position, power, size, count)
        shown &= fold == 0
        fold = torch.where(shown, count, fold)
        waves[:, : count // 2] = torch.where(shown[:, None, None], ring, waves[:, : count // 2])
    rows = torch.nonzero(fold).squeeze(1)
    sums = torch.zeros_like(fold, dtype=torch.bool)
    if len(rows):
        together = _together(images[rows], waves[rows], fold[rows])
        fold = fold.index_copy(0, rows, torch.where(together, fold[rows], 0))
        sums = sums.index_copy(0, rows, _have_sums(spectrum.take(rows), waves[rows], fold[rows]))
    return Rings(fold, waves * (fold > 0)[:, None, None], sums & (fold > 0))


def _ring(position: Tensor, power: Tensor, size: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """Spots (n, fold / 2, 2) nearest to the strongest one turned in even steps, and whether these are a ring, (n,)."""
    limits = settings.SETTINGS.quasicrystals
    ideal = _turned(fold, position.device)
    strongest, first = power.max(1)
    start = position.gather(1, first[:, None, None].expand(-1, 1, 2))[:, 0] / size
    turned = (start[:, None, None] @ ideal)[:, :, 0] * size
    signed = torch.cat([position, -position], dim=1)
    far = torch.where(power > strongest[:, None] / limits.most_ratio, 0.0, torch.inf).repeat(1, 2)
    away = torch.linalg.vector_norm(turned[:, :, None] - signed[:, None], dim=-1) + far[:, None]
    nearest, which = away.min(2)
    ring = signed.gather(1, which[..., None].expand(-1, -1, 2))
    radius = torch.linalg.vector_norm(start * size, dim=-1)
    near = nearest.amax(1) < limits.error + limits.strain * radius
    # the linear map from an even ring that fits best: what is left of the places, and how much it strains
    points = (start.new_tensor([0.0, 1.0]) @ ideal)[None] * torch.linalg.vector_norm(start, dim=-1)[:, None, None]
    even = points @ _rotation_to(start)
    inverse = torch.linalg.inv_ex(even.transpose(1, 2) @ even)[0] @ even.transpose(1, 2)
    change = inverse @ (ring / size)
    left = torch.linalg.vector_norm(ring - even @ change * size, dim=-1).square().mean(1).sqrt()
    strain = (change.transpose(1, 2) @ change - torch.eye(2, device=size.device)).abs().amax((1, 2)) / 2
    return ring, (strongest > 0) & near & (left < limits.error) & (strain < limits.strain)


@functools.cache
def _turned(fold: int, device: torch.device) -> Tensor:
    """Matrices (fold / 2, 2, 2) that turn rows (y, x) in even steps, of half a circle together."""
    angles = torch.arange(fold // 2, device=device) * (2 * math.pi / fold)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)


def _rotation_to(start: Tensor) -> Tensor:
    """Matrices (n, 2, 2) that turn (0, 1) into the direction of each row (y, x)."""
    y, x = (start / torch.linalg.vector_norm(start, dim=-1, keepdim=True).clamp_min(1e-12)).unbind(-1)
    return torch.stack([torch.stack([x, -y], -1), torch.stack([y, x], -1)], -2)


def _together(images: Tensor, waves: Tensor, fold: Tensor) -> Tensor:
    """Whether all waves of a ring have their power in the same places of each window; not if it is too small to say."""
    limits = settings.SETTINGS.quasicrystals
    together = torch.zeros_like(fold, dtype=torch.bool)
    height, width = images.shape[1:]
    for row, (image, ring) in enumerate(zip(images, waves, strict=True)):
        own = ring[: int(fold[row]) // 2]
        frequency = own / torch.tensor([height, width], device=own.device)
        apart = 2 * math.sin(math.pi / int(fold[row])) * float(torch.linalg.vector_norm(frequency, dim=-1).min())
        side = math.ceil(limits.parted / apart)
        side = max(side, min(height, width) // limits.tiles)
        if 2 * side > min(height, width):
            continue
        even, odd = local_sums(image[None], frequency[None], side, side // 2)
        local = (even.square() + odd.square())[0].T
        share = local / local.sum(1, keepdim=True)
        overlap = (share[:, None] * share).sqrt().sum(-1)
        together[row] = overlap.amin() > limits.same_place
    return together


def _have_sums(spectrum: Spectrum, waves: Tensor, fold: Tensor) -> Tensor:
    """Whether most neighbours on a ring have a wave at their sum or their difference."""
    limits = settings.SETTINGS.quasicrystals
    own = torch.arange(waves.shape[1], device=waves.device) < (fold // 2)[:, None]
    after = torch.roll(waves, -1, 1)
    last = own & ~torch.roll(own, -1, 1)
    after = torch.where(last[..., None], -waves[:, :1], after)
    power = torch.where(own, node_power(spectrum, waves)[0] * level_at(spectrum, waves), 0.0)
    ring = power.sum(1) / own.sum(1).clamp_min(1)
    summed = torch.zeros_like(own)
    for other in (waves + after, waves - after):
        power, seen = node_power(spectrum, other)
        raw = power * level_at(spectrum, other)
        summed |= seen & (power > limits.clear_power) & (raw > limits.least_sum**2 * ring[:, None])
    have: Tensor = (summed & own).sum(1) > own.sum(1) / 2
    return have

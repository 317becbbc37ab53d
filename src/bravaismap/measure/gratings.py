"""Gratings: two sets of fringes that cross at a small angle, which a search takes for a slender lattice.

Gratings that lie over one another add up: each has one wave vector with its harmonics, and no wave has the sum or the
difference of the two. A lattice has them, and its shortest reciprocal vectors are its strongest waves unless symmetry
extinguishes them. Of two waves at a small angle or of nearly one length the difference is shorter than either. Where
two waves and their harmonics are all that is seen, and neither their sum nor that shorter difference is there,
these are two gratings. Of two waves that no combination is shorter than, as those of a square lattice, nothing is said.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.nodes import level_at, node_power
from bravaismap.measure.spots import Spectrum, Spots, excess

__all__ = ["is_compact", "two_gratings"]


def two_gratings(spots: Spots, spectrum: Spectrum, size: Tensor) -> Tensor:
    """Return which windows show two gratings and nothing else, bool, (n,).

    Parameters
    ----------
    spots : Spots
        Of whole windows.
    spectrum : Spectrum
        In which they were found.
    size : tensor, shape (2,)
        Height and width of the windows in px.
    """
    limits = settings.SETTINGS.gratings
    power = node_power(spectrum, spots.position)[0] * level_at(spectrum, spots.position)
    power = torch.where(excess(spots, spectrum) > limits.clear_excess, power, 0.0)
    power = torch.where(power > limits.least_power * power.amax(1, keepdim=True), power, 0.0)
    first, one = _strongest(spots.position, power)
    power = torch.where(_harmonics(first, spots.position, size), 0.0, power)
    second, other = _strongest(spots.position, power)
    alone = (other > 0) & _harmonics(second, spots.position, size).logical_or(power == 0).all(1)
    corners = torch.stack([first + second, first - second], dim=1)
    far = torch.linalg.vector_norm(corners, dim=-1) > limits.smallest_distance
    sums, seen = node_power(spectrum, corners)
    sums = torch.where(seen & far, sums * level_at(spectrum, corners), 0.0).amax(1)
    faint = (seen & far).any(1) & (sums < limits.least_sum**2 * (one * other).sqrt())
    two: Tensor = alone & faint & ~is_compact(first / size, second / size)
    return two


def is_compact(first: Tensor, second: Tensor) -> Tensor:
    """Return whether two waves (n, 2), in cycles per px, are the shortest of their lattice, (n,).

    Their sum and their difference are no shorter than the longer one, or not by much.
    """
    combined = torch.linalg.vector_norm(torch.stack([first + second, first - second]), dim=-1).amin(0)
    longer = torch.linalg.vector_norm(torch.stack([first, second]), dim=-1).amax(0)
    compact: Tensor = combined >= settings.SETTINGS.gratings.compact * longer
    return compact


def _strongest(position: Tensor, power: Tensor) -> tuple[Tensor, Tensor]:
    """Position (n, 2) and power (n,) of the strongest of the spots (n, count) of each window."""
    most, which = power.max(1)
    return position.gather(1, which[:, None, None].expand(-1, 1, 2))[:, 0], most


def _harmonics(wave: Tensor, position: Tensor, size: Tensor) -> Tensor:
    """Which spots (n, count) are harmonics of a wave (n, 2) of their window, folded back at the sampling or not."""
    limits = settings.SETTINGS.gratings
    order = torch.arange(1.0, limits.harmonics + 1, device=wave.device)
    order = torch.cat([order, -order])
    apart = (order[:, None, None] * wave[:, None, None] - position[:, None]) / size
    away = torch.linalg.vector_norm((apart - apart.round()) * size, dim=-1)
    slack = limits.slack + limits.slack_per_order * order.abs()
    near: Tensor = (away < slack[:, None]).any(1)
    return near

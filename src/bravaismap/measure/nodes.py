"""Nodes: the evidence that a reciprocal lattice gives of itself at all its nodes, weak and extinct ones included.

A candidate from ``indexing`` was found from its strongest spots. Whether a finer one is needed (a superlattice), or a
coarser one does (a spot found by chance), is a matter of all nodes. Each node holds noise, or a Fourier component of
the crystal of unknown strength; which share of the nodes of a lattice holds one is unknown too and is averaged over,
apart for the nodes of even and odd index, so that a weak superlattice beside strong main spots is not held to be
noise, and extinct nodes are not held against a lattice.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.compute.order_statistics import kth_smallest, lower_median
from bravaismap.measure import settings
from bravaismap.measure.spots import Spectrum

__all__ = [
    "NearestBins",
    "broad_power",
    "distinct_power",
    "evidence",
    "level_at",
    "log_ratio",
    "nearest_bins",
    "node_orders",
    "node_power",
    "ring_power",
    "streak_power",
]


#: Bins on each side of the centre of the larger of the two squares that a broad spot may fill.
_BROADEST: Final = 2


@functools.cache
def node_orders(highest: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the indices (h, k) of the nodes of a half plane up to an index, without the centre.

    Returns
    -------
    tensor, shape (nodes, 2), float32
    """
    line = range(-highest, highest + 1)
    half = [(h, k) for h in line for k in line if h > 0 or (h == 0 and k > 0)]
    return torch.tensor(half, device=device, dtype=torch.float32)


@dataclass(frozen=True)
class NearestBins:
    """The bin of a spectrum nearest to each of some positions.

    Attributes
    ----------
    bins : tensor, shape (n, nodes, 2)
        Whole numbers (k_y, k_x), k_x ≥ 0, within the spectrum.
    response : tensor, shape (n, nodes)
        Power in that bin over the power of a Hann-tapered wave at the position.
    seen : bool tensor, shape (n, nodes)
        Whether the position is within the spectrum and not next to its centre.
    """

    bins: Tensor
    response: Tensor
    seen: Tensor

    def of(self, values: Tensor, windows: Tensor | None = None) -> Tensor:
        """Return the values (n, rows, columns) in these bins, (n, nodes); of some of the windows if these are given."""
        _, rows, columns = values.shape
        row, column = self.bins.long().unbind(-1)
        index = torch.add(column, row, alpha=columns) + (rows // 2 * columns + 1)
        flat = values.flatten(1)
        return flat.gather(1, index) if windows is None else flat[windows[:, None], index]

    def power(self, spectrum: Spectrum, windows: Tensor | None = None) -> Tensor:
        """Return the power of the wave at each position, in units of the local background, (n, nodes)."""
        return self.of(spectrum.power, windows) / self.response


def nearest_bins(spectrum: Spectrum, position: Tensor) -> NearestBins:
    """Return the nearest bins of positions.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.
    """
    least, most, rim = _bounds(*spectrum.power.shape[1:], position.device)
    k_y, k_x = position.unbind(-1)
    planes = torch.stack([torch.where(k_x < 0, -k_y, k_y), k_x.abs()])
    nearest = planes.round()
    across, along = _line(planes - nearest)
    far = planes.square_().sum(0) >= settings.SETTINGS.nodes.smallest_distance**2
    inside = nearest.abs() < rim
    bins = nearest.clamp(least, most)
    return NearestBins(bins.movedim(0, -1), (across * along).square_(), inside[0] & inside[1] & far)


#: Coefficients of powers of x² in sin(πx) / (πx (1 − x²)), the line of a Hann-tapered wave: partial sums of those of
#: sin(πx) / (πx). With five of them it is exact to 2e-7 within half a bin.
_LINE: Final = tuple(itertools.accumulate((-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(5)))


def _line(offset: Tensor) -> Tensor:
    """Amplitude of a Hann-tapered wave at so many bins from its own, half a bin at most, over that in its own."""
    square = offset.square()
    out = torch.mul(square, _LINE[-1])
    for coefficient in reversed(_LINE[1:-1]):
        out.add_(coefficient).mul_(square)
    return out.add_(_LINE[0])


@functools.cache
def _bounds(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The least and the largest (k_y, k_x) of a spectrum, and those of its rim, each (2, 1, 1)."""
    middle = rows // 2
    corners = [[-middle, -1], [rows - 1 - middle, columns - 2], [middle, columns - 2]]
    least, most, rim = torch.tensor(corners, device=device, dtype=torch.float32)[..., None, None]
    return least, most, rim


def node_power(spectrum: Spectrum, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power at each node, in units of the local background, and whether the node can be seen.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.

    Returns
    -------
    power : tensor, shape (n, nodes)
        Corrected for the shape of the Hann taper's line between bins.
    seen : bool tensor, shape (n, nodes)
    """
    at = nearest_bins(spectrum, position)
    return at.power(spectrum), at.seen


def level_at(spectrum: Spectrum, position: Tensor) -> Tensor:
    """Return the local background at each node, (n, nodes), in which `node_power` gives its power.

    Parameters
    ----------
    spectrum, position
        As for :func:`node_power`.
    """
    return nearest_bins(spectrum, position).of(spectrum.level)


def broad_power(spectrum: Spectrum, position: Tensor, rings: bool = False) -> Tensor:
    """Return the power in a square about each node over that around the square, for spots spread over several bins.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.
    rings : bool
        Compare with the power in other directions at the same distance from the centre too: amorphous matter shines in
        all directions, a lattice in few.

    Returns
    -------
    tensor, shape (2, n, nodes)
        For squares of 3 × 3 and 5 × 5 bins, as a power that noise would have in one bin (mean 1), so that
        :func:`log_ratio` takes it.
    """
    within_1, around_1, within_2, around_2 = _means(spectrum, position, settings.SETTINGS.nodes.surroundings).unbind(-1)
    within, around = torch.stack([within_1, within_2]), torch.stack([around_1, around_2])
    if rings:
        around = torch.maximum(around, ring_power(spectrum, position))
    independent = within.new_tensor(settings.SETTINGS.nodes.independent_powers)[:, None, None]
    return (1 + independent * (within / around.clamp_min(1e-12) - 1)).clamp_min(0.0)


def ring_power(spectrum: Spectrum, position: Tensor) -> Tensor:
    """Return the median power in other directions at the same distance from the centre.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.

    Returns
    -------
    tensor, shape (2, n, nodes)
        Of the means over squares of 3 × 3 and 5 × 5 bins.
    """
    turned = position[:, :, None, None] @ _rotations(settings.SETTINGS.nodes.ring_directions, position.device)
    means = _means(spectrum, turned.flatten(1, 3), _BROADEST).reshape(*turned.shape[:3], -1)
    return lower_median(means[..., ::2], 2).movedim(-1, 0)


@functools.cache
def _rotations(degrees: tuple[float, ...], device: torch.device) -> Tensor:
    """Matrices (directions, 2, 2) that turn rows (y, x)."""
    angles = [math.radians(angle) for angle in degrees]
    matrices = [[[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]] for angle in angles]
    return torch.tensor(matrices, device=device)


def distinct_power(spectrum: Spectrum, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power at each node, at most in units of the power beside it, and whether the node can be seen.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.

    Returns
    -------
    power : tensor, shape (n, nodes)
    seen : bool tensor, shape (n, nodes)
    """
    power, seen = node_power(spectrum, position)
    beside = power / streak_power(spectrum, position).clamp_min(1e-12)
    return torch.minimum(power, settings.SETTINGS.nodes.streak_factor * beside), seen


def streak_power(spectrum: Spectrum, position: Tensor) -> Tensor:
    """Return the power beside each node along k_y or along k_x, whichever is more.

    Rows that are displaced smear a spot along k_y, and a single set of fringes then has a streak of speckle there in
    which a search finds a second period. It counts if it stands out of the streak. Of the powers 4 to 14 bins from the
    node the lower third is taken, so that other nodes of the lattice on the line do no harm.

    Parameters
    ----------
    spectrum : Spectrum
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) in bins, in either half plane.

    Returns
    -------
    tensor, shape (n, nodes)
        In units of the local background.
    """
    _, rows, columns = spectrum.power.shape
    nearest = position.round()
    near, far = settings.SETTINGS.nodes.streak_bins
    reach = torch.tensor([bins for bins in range(-far, far + 1) if abs(bins) >= near])
    reach = reach.to(position)
    along = torch.stack([torch.stack([reach, nothing := torch.zeros_like(reach)]), torch.stack([nothing, reach])])
    k_y, k_x = (nearest[..., None, None] + along.transpose(0, 1)).unbind(2)
    k_y, k_x = torch.where(k_x < 0, -k_y, k_y), k_x.abs()
    row = (k_y + rows // 2).clamp(0, rows - 1).long()
    column = (k_x + 1).clamp(0, columns - 1).long()
    line = spectrum.power.flatten(1).gather(1, (row * columns + column).flatten(1)).reshape(row.shape)
    return kth_smallest(line, len(reach) // 3).amax(-1) / math.log(1.5)


@functools.cache
def _rings(bins: int, device: torch.device) -> Tensor:
    """Which bins of a square, of so many on each side of its centre, lie within 1 of it, beyond, within 2, and beyond.

    In rows, (4, bins of the square), by the larger of the distances along the axes.
    """
    reach = torch.arange(-bins, bins + 1, device=device)
    distance = torch.maximum(reach[:, None].abs(), reach.abs()).flatten()
    within = [distance <= radius for radius in range(1, _BROADEST + 1)]
    return torch.stack([ring for inner in within for ring in (inner, ~inner)]).float()


def _means(spectrum: Spectrum, position: Tensor, bins: int) -> Tensor:
    """Mean powers in the parts that `_rings` tells of the square about each position, (n, positions, 4)."""
    _, rows, columns = spectrum.power.shape
    k_y, k_x = torch.where(position[..., 1:] < 0, -position, position).round_().int().unbind(-1)
    reach = torch.arange(-bins, bins + 1, dtype=torch.int32, device=position.device)
    row, column = k_y[..., None] + (reach + rows // 2), k_x[..., None] + reach
    opposite, place = (column < 0).int(), column.abs() + 1  # of k_x < 0 the opposite row
    inside = ((row >= 0) & (row < rows)).float()[..., None] * (place < columns).float()[..., None, :]
    start = place.clamp_max_(columns - 1).add_(opposite, alpha=(rows - 1) * columns)
    step = columns - 2 * columns * opposite
    index = torch.addcmul(start[..., None, :], row.clamp_(0, rows - 1)[..., None], step[..., None, :])
    patch = spectrum.power.flatten(1).gather(1, index.flatten(1).long()).reshape(inside.shape).mul_(inside)
    parts = _rings(bins, position.device)
    return F.linear(patch.flatten(2), parts) / F.linear(inside.flatten(2), parts).clamp_min(1)


def evidence(spectrum: Spectrum, basis: Tensor, band: Tensor) -> Tensor:
    """Return the log evidence of reciprocal lattices against noise, from the power at all their nodes.

    Parameters
    ----------
    spectrum : Spectrum
    basis : tensor, shape (n, candidates, 2, 2)
        Rows g₁, g₂ in bins.
    band : tensor, shape (n,)
        Distance from the centre, in bins, up to which nodes are looked at: the same for all candidates, so that
        they are compared on the same data. The share of filled nodes is averaged over apart in each of its rings.

    Returns
    -------
    tensor, shape (n, candidates)
    """
    n, count = basis.shape[:2]
    limits = settings.SETTINGS.nodes
    orders = node_orders(limits.highest_index, basis.device)
    position = orders @ basis
    power, seen = node_power(spectrum, position.flatten(1, 2))
    gain = log_ratio(power).exp().reshape(n, count, -1) - 1
    radius = position.square().sum(-1).sqrt() / band[:, None, None]
    shown = seen.reshape(n, count, -1)
    shares, inner, outer = _shares_and_rings(limits.filled_shares, limits.ring_edges, gain.device)
    logs = torch.log1p(gain[..., None, :] * shares)
    member = _parities(limits.highest_index, gain.device)
    radius = radius[..., None, :]
    rings = (radius > inner) & (radius <= outer) & shown[..., None, :]
    return _split(F.linear(logs[..., None, :, :] * rings[..., None, :], member)).sum(-1)


@functools.cache
def _shares_and_rings(
    shares: tuple[float, ...], edges: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Shares of filled nodes, (shares, 1), and the inner and outer edges of rings, (rings, 1)."""
    filled, bounds = (torch.tensor(values, device=device)[:, None] for values in (shares, edges))
    return filled, bounds[:-1], bounds[1:]


@functools.cache
def _parities(highest: int, device: torch.device) -> Tensor:
    """Which nodes have even or odd indices h, k: even and even, even and odd, odd and even, both odd, (4, nodes)."""
    odd = node_orders(highest, device).remainder(2)
    return F.one_hot((odd @ odd.new_tensor([2.0, 1.0])).long(), 4).T.to(odd.dtype).contiguous()


def log_ratio(power: Tensor, freedom: float | None = None) -> Tensor:
    """Return the log of the marginal likelihood ratio of one node: a wave of unknown strength against noise alone.

    Parameters
    ----------
    power : tensor
        At the node, over that of the noise there.
    freedom : float, optional
        Degrees of freedom of the noise; those of the local background of a spectrum if not given.
    """
    limits = settings.SETTINGS.nodes
    freedom = limits.freedom if freedom is None else freedom
    exponent = freedom * torch.log1p((power - 1).clamp_min(0) / freedom)
    return (exponent - torch.log1p(power) - limits.strength_penalty).clamp_max(limits.evidence_limit)


def _split(by_share: Tensor) -> Tensor:
    """Average over the share of filled nodes, (..., shares, 4 parities) → (...)."""
    together, apart = _splits(by_share.device)
    mean = torch.logsumexp(by_share @ together, dim=-2) - math.log(by_share.shape[-2])
    return torch.logsumexp(mean @ apart, dim=-1) - math.log(apart.shape[1])


@functools.cache
def _splits(device: torch.device) -> tuple[Tensor, Tensor]:
    """Sets of parities with a share of their own, (4, 7), and the four ways to part all nodes into them, (7, 4).

    All nodes have one share, or those of even and odd h, of even and odd k, or of even and odd h + k have two.
    """
    sets = [(0, 1, 2, 3), (0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)]
    ways = [(0,), (1, 2), (3, 4), (5, 6)]
    together = torch.tensor([[float(parity in members) for members in sets] for parity in range(4)], device=device)
    return together, torch.tensor([[float(i in way) for way in ways] for i in range(len(sets))], device=device)

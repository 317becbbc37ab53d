"""Repeats: the lattices by which a window looks like itself displaced, from its autocorrelation; for few cells.

In a window of three or four cells along a side the spots of a spectrum, each three bins wide, run into one another:
they are displaced or merged, and what lies between them is no background. And a lattice of many faint waves has hardly
a spot above chance. Its vectors are seen as maxima of the autocorrelation all the same, since every wave adds to each.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.measure import settings
from bravaismap.measure.indexing import distinct, reduce_rows
from bravaismap.measure.nodes import node_orders

__all__ = ["index_repeats"]


def index_repeats(images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the reciprocal bases of the lattices by which windows look most like themselves displaced.

    Every pair of the highest maxima of the autocorrelation spans a lattice, which is fitted to the maxima near its
    vectors. The mean of the autocorrelation over all its vectors, the farther ones with less weight as less of the
    window overlaps, says how clear it is: a denser lattice has vectors between the maxima, a sparser one has fewer.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Of mean 0, without slow background.
    count : int
        Candidates to return for each window.

    Returns
    -------
    basis : tensor, shape (n, count, 2, 2)
        Rows g₁, g₂ in bins (y, x).
    clear : tensor, shape (n, count)
        The mean, in standard deviations of the mean over as many displacements that are no vectors; best first. Below 0
        of a lattice that is one of those before it.
    """
    limits = settings.SETTINGS.repeats
    factor = max(1, round(min(images.shape[1:]) / limits.reduced_side))
    if factor > 1:
        images = F.avg_pool2d(images[:, None], factor)[:, 0]
    likeness, overlap, allowed = _likeness(images)
    position, height = _maxima(likeness, allowed, limits.maxima)
    first, second = torch.triu_indices(limits.maxima, limits.maxima, 1, device=images.device)
    pairs = reduce_rows(torch.stack([position[:, first], position[:, second]], dim=2))
    basis, _ = _clearest(pairs, likeness, overlap, allowed, limits.shortlist)
    for _ in range(limits.fits):
        basis = _fitted(basis, position, height)
    basis, clear = _clearest(basis, likeness, overlap, allowed, count)
    usable = (clear > 0)[..., None, None]
    basis = torch.where(usable, basis, limits.stand_in_side * torch.eye(2, device=images.device))
    size = torch.tensor(images.shape[1:], device=images.device, dtype=torch.float32)
    return distinct(_inverse(basis).transpose(-1, -2) * size, clear, count)


def _clearest(basis: Tensor, likeness: Tensor, overlap: Tensor, allowed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The clearest of bases (n, bases, 2, 2), best first, and how clear they are."""
    clear, best = _clearness(basis, likeness, overlap, allowed).topk(count, dim=1)
    return basis.gather(1, best[..., None, None].expand(-1, -1, 2, 2)), clear


def _likeness(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Autocorrelation of images, the root of the overlap there, and where lattice vectors are sought.

    The rows are displacements along y from −r to r, the columns along x from −1 to r. Over white noise all values have
    the same standard deviation.
    """
    sides = tuple(images.shape[1:])
    reach = tuple(int(settings.SETTINGS.repeats.reach * side) for side in sides)
    padded = [16 * -(-(side + far) // 16) for side, far in zip(sides, reach, strict=True)]
    half = torch.fft.rfft2(images, s=padded)
    product = torch.fft.irfft2(half.real.square().addcmul_(half.imag, half.imag), s=padded)
    product = torch.cat([product[:, :, -1:], product[:, :, : reach[1] + 1]], dim=2)
    product = torch.cat([product[:, -reach[0] :], product[:, : reach[0] + 1]], dim=1)
    overlap, allowed = _displacements(sides, reach, images.device)
    return product / overlap, overlap, allowed


@functools.cache
def _displacements(sides: tuple[int, ...], reach: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The root of the overlap at each displacement, and which are sought: one of each pair, not next to none."""
    y = torch.arange(-reach[0], reach[0] + 1, device=device)[:, None]
    x = torch.arange(-1, reach[1] + 1, device=device)
    overlap = ((1 - y.abs() / sides[0]) * (1 - x.abs() / sides[1])).sqrt()
    allowed = (y.square() + x.square() >= settings.SETTINGS.repeats.shortest_vector**2) & (x >= 0)
    allowed &= (x > 0) | (y > 0)
    allowed[0], allowed[-1], allowed[:, -1] = False, False, False
    return overlap, allowed


def _maxima(likeness: Tensor, allowed: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Displacements (n, count, 2) of the highest local maxima, to a part of a pixel, and their heights, 0 of none."""
    across = torch.maximum(likeness[:, :, :-2], likeness[:, :, 2:]).maximum(likeness[:, :, 1:-1])
    highest = torch.maximum(across[:, :-2], across[:, 2:]).maximum(across[:, 1:-1])
    peaks = likeness * (allowed & F.pad(likeness[:, 1:-1, 1:-1] >= highest, (1, 1, 1, 1)))
    height, where = peaks.flatten(1).topk(count, dim=1)
    rows, columns = likeness.shape[1:]
    beside = where[..., None] + torch.tensor([-columns, -1, 0, columns, 1], device=where.device)
    values = likeness.flatten(1).gather(1, beside.clamp(0, rows * columns - 1).flatten(1)).reshape(beside.shape)
    before, middle, after = values[..., :2], values[..., 2:3], values[..., 3:]
    offset = 0.5 * (after - before) / (2 * middle - before - after).clamp_min(1e-6 + 1e-3 * middle.abs())
    place = torch.stack([where // columns - rows // 2, where % columns - 1], dim=-1)
    return place + offset.clamp(-0.5, 0.5), height


def _fitted(basis: Tensor, position: Tensor, height: Tensor) -> Tensor:
    """One step of least squares of bases (n, bases, 2, 2) over the maxima near one of their vectors."""
    limits = settings.SETTINGS.repeats
    index = _combined(position[:, None], _inverse(basis))
    vector = index.round()
    distance = _combined(index - vector, basis).square().sum(-1)
    near = (distance < limits.vector_radius**2) & (vector != 0).any(-1)
    weighted = vector * (height[:, None] * near)[..., None]
    damping = limits.damping * height[:, :1, None, None]
    normal = weighted.transpose(2, 3) @ vector + damping * torch.eye(2, device=basis.device)
    fitted: Tensor = _inverse(normal) @ (weighted.transpose(2, 3) @ position[:, None] + damping * basis)
    return fitted


def _clearness(basis: Tensor, likeness: Tensor, overlap: Tensor, allowed: Tensor) -> Tensor:
    """Mean of the autocorrelation over the vectors of lattices, (n, bases), in its standard deviations; −1 of none."""
    limits = settings.SETTINGS.repeats
    rows, columns = likeness.shape[1:]
    first, second = node_orders(limits.highest_index, basis.device).unbind(-1)
    b_y, b_x = basis.transpose(-1, -2).unbind(-2)
    y, x = ((b[..., :1] * first).addcmul_(b[..., 1:], second).round_() for b in (b_y, b_x))
    # 1 within the autocorrelation, 0 beyond; opposite displacements are the same
    inside = (rows // 2 + 1 - y.abs()).clamp_(0, 1).mul_((columns - 1 - x.abs()).clamp_(0, 1))
    half_plane = 1 - 2 * (x < 0).to(x.dtype)
    place = y.mul_(columns).add_(x).mul_(half_plane).mul_(inside).add_(rows // 2 * columns + 1).long()
    weight = overlap.flatten()[place].mul_(inside)
    value = likeness.flatten(1).gather(1, place.flatten(1)).reshape(place.shape)
    scatter = (likeness.square() * allowed).sum((1, 2)) / allowed.sum()
    mean = (weight * value).sum(-1) / (weight.square().sum(-1) * scatter[:, None]).clamp_min(1e-30).sqrt()
    square = basis.square().sum(-1)
    area = basis[..., 0, 0] * basis[..., 1, 1] - basis[..., 0, 1] * basis[..., 1, 0]
    wide = area.abs() > limits.least_sine * square.prod(-1).sqrt()
    return torch.where(wide & (square.amin(-1) > limits.shortest_vector**2), mean, -1.0)


def _combined(index: Tensor, basis: Tensor) -> Tensor:
    """Sums of the rows of bases (..., 2, 2) with weights (..., m, 2): many small products, without a call for each."""
    first, second = basis[..., None, :, :].unbind(-2)
    return index[..., :1] * first + index[..., 1:] * second


def _inverse(matrix: Tensor) -> Tensor:
    """Inverses of matrices (..., 2, 2); of a singular one something finite."""
    a, b, c, d = matrix.flatten(-2).unbind(-1)
    area = a * d - b * c
    area = torch.where(area.abs() < 1e-9, 1e-9, area)
    return torch.stack([d, -b, -c, a], dim=-1).reshape(matrix.shape) / area[..., None, None]

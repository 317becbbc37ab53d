"""Indexing: from diffraction spots to the reciprocal bases that may explain them, best first.

Every pair of the strongest spots, and every strong spot with the difference or sum of two others (so that a lattice
whose fundamentals are extinct is found), spans a candidate reciprocal lattice. Each is scored as a mixture: a spot
lies near a node, with the uncertainty of its position, or anywhere, uniformly. A denser reciprocal lattice is near
everything and gains less per spot, so the sparsest lattice that explains the spots wins without another penalty. The
best ones are refined by weighted least squares over their spots. All positions are in bins (see ``spots``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.spots import Spots

__all__ = ["distinct", "index_spots", "reduce_rows"]

_STRONG = 12
_DIFFERENCES = 6
_STRAY = 0.03


def index_spots(spots: Spots, count: int = 6, shortlist: int = 24) -> tuple[Tensor, Tensor]:
    """Return the reciprocal bases that explain the spots of each window best.

    Parameters
    ----------
    spots : Spots
    count : int
        Candidates to return for each window.
    shortlist : int
        Candidates that are refined before the best are chosen.

    Returns
    -------
    basis : tensor, shape (n, count, 2, 2)
        Rows g₁, g₂ in bins (y, x), reduced.
    score : tensor, shape (n, count)
        Log likelihood ratio against spots that lie anywhere.
    """
    weight = spots.weight / (spots.weight + 6.0)
    candidates = _pairs(spots.position, spots.weight)
    tolerance = spots.error
    score = _score(candidates, spots.position, weight, tolerance, spread=1.0)
    best = score.topk(min(shortlist, score.shape[1]), dim=1).indices
    basis = candidates.gather(1, best[..., None, None].expand(-1, -1, 2, 2))
    basis = reduce_rows(basis)
    for _ in range(2):
        basis = _least_squares(basis, spots.position, weight, tolerance)
    basis = reduce_rows(basis)
    score = _score(basis, spots.position, weight, tolerance, spread=0.1)
    return distinct(basis, score, count)


def reduce_rows(basis: Tensor, steps: int = 12) -> Tensor:
    """Return the Lagrange–Gauss reduced basis (|g₁| ≤ |g₂|, 0 ≤ g₁·g₂ ≤ |g₁|²/2) of each lattice."""
    first, second = basis[..., 0, :], basis[..., 1, :]
    for _ in range(steps):
        one, two = first.square().sum(-1, keepdim=True), second.square().sum(-1, keepdim=True)
        swap = one > two
        first, second = torch.where(swap, second, first), torch.where(swap, first, second)
        shift = ((first * second).sum(-1, keepdim=True) / torch.minimum(one, two).clamp_min(1e-12)).round()
        second = second - shift * first
        if not bool(shift.any()):
            break
    one, two = first.square().sum(-1, keepdim=True), second.square().sum(-1, keepdim=True)
    first, second = torch.where(one > two, second, first), torch.where(one > two, first, second)
    sign = torch.where((first * second).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    return torch.stack([first, sign * second], dim=-2)


def _pairs(position: Tensor, weight: Tensor) -> Tensor:
    """All candidate bases, shape (n, candidates, 2, 2)."""
    strong = position[:, :_STRONG]
    count = strong.shape[1]
    i, j = torch.triu_indices(count, count, 1, device=position.device)
    direct = torch.stack([strong[:, i], strong[:, j]], dim=-2)
    few = strong[:, :_DIFFERENCES]
    p, q = torch.triu_indices(few.shape[1], few.shape[1], 1, device=position.device)
    combined = torch.cat([few[:, p] - few[:, q], few[:, p] + few[:, q]], dim=1)
    known = few.shape[1]
    left = combined[:, :, None].expand(-1, -1, known, -1)
    right = few[:, None].expand(-1, combined.shape[1], -1, -1)
    mixed = torch.stack([left, right], dim=-2).flatten(1, 2)
    return torch.cat([direct, mixed], dim=1)


def _cross(basis: Tensor) -> Tensor:
    return basis[..., 0, 0] * basis[..., 1, 1] - basis[..., 0, 1] * basis[..., 1, 0]


def _orders(basis: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the node nearest to each spot and the distance from it, (n, candidates, spots)."""
    area = _cross(basis)[..., None]
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    (a, b), (c, d) = basis[..., 0, :, None].unbind(-2), basis[..., 1, :, None].unbind(-2)
    y, x = position[:, None, :, 0], position[:, None, :, 1]
    first = ((y * d - x * c) / area).round()
    second = ((x * a - y * b) / area).round()
    distance = (y - first * a - second * c).square() + (x - first * b - second * d).square()
    return first, second, distance


def _score(basis: Tensor, position: Tensor, weight: Tensor, error: float, spread: float) -> Tensor:
    first, second, distance = _orders(basis, position)
    variance = error**2 * (1 + spread * (first.square() + second.square()).clamp_max(30.0))
    area = _cross(basis).abs()[..., None]
    density = area / (2 * torch.pi * variance) * torch.exp(-0.5 * distance / variance)
    gain = torch.log(_STRAY + (1 - _STRAY) * density)
    zero = (first == 0) & (second == 0)
    gain = torch.where(zero, gain.new_full((), -3.0), gain)
    score = (gain * weight[:, None]).sum(-1)
    lengths = basis.square().sum(-1)
    sine = area[..., 0] / lengths.prod(-1).sqrt().clamp_min(1e-9)
    usable = (lengths.amin(-1) > 2.0**2) & (sine > 0.15)
    return torch.where(usable, score, score.new_full((), -1e3))


def _least_squares(basis: Tensor, position: Tensor, weight: Tensor, error: float) -> Tensor:
    """One step of weighted least squares over the spots near a node, damped towards the basis itself."""
    first, second, distance = _orders(basis, position)
    variance = error**2 * (1 + 0.3 * (first.square() + second.square()).clamp_max(30.0))
    w = weight[:, None] * torch.exp(-0.5 * distance / variance) + 1e-9
    y, x = position[:, None, :, 0], position[:, None, :, 1]
    damp = 0.05
    m11 = (w * first * first).sum(-1) + damp
    m12 = (w * first * second).sum(-1)
    m22 = (w * second * second).sum(-1) + damp
    right = torch.stack(
        [
            torch.stack([(w * first * y).sum(-1), (w * first * x).sum(-1)], -1),
            torch.stack([(w * second * y).sum(-1), (w * second * x).sum(-1)], -1),
        ],
        -2,
    )
    right = right + damp * basis
    determinant = m11 * m22 - m12 * m12
    one = (m22[..., None] * right[..., 0, :] - m12[..., None] * right[..., 1, :]) / determinant[..., None]
    two = (m11[..., None] * right[..., 1, :] - m12[..., None] * right[..., 0, :]) / determinant[..., None]
    return torch.stack([one, two], dim=-2)


def distinct(basis: Tensor, score: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` best bases that are different lattices, best first, and their scores."""
    order = score.argsort(dim=1, descending=True)
    basis = basis.gather(1, order[..., None, None].expand_as(basis))
    score = score.gather(1, order)
    basis = reduce_rows(basis)
    inverse = torch.linalg.inv_ex(basis + 1e-9 * torch.eye(2, device=basis.device))[0]
    relation = basis[:, :, None] @ inverse[:, None]
    integer = ((relation - relation.round()).abs() < 0.12).all(-1).all(-1)
    same = integer & integer.transpose(1, 2)
    earlier = torch.ones_like(same[0]).tril(-1)
    repeated = (same & earlier).any(-1)
    score = torch.where(repeated, score - 1e3, score)
    top, where = score.topk(min(count, score.shape[1]), dim=1)
    return basis.gather(1, where[..., None, None].expand(-1, -1, 2, 2)), top

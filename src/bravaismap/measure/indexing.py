"""Indexing: from diffraction spots to the reciprocal bases that may explain them, best first.

Every pair of the strongest spots, and every strong spot with the difference or sum of two others (so that a lattice
whose fundamentals are extinct is found), spans a candidate reciprocal lattice. Each is scored as a mixture: a spot
lies near a node, with the uncertainty of its position, or anywhere, uniformly. A denser reciprocal lattice is near
everything and gains less per spot, so the sparsest lattice that explains the spots wins without another penalty. The
best ones are refined by weighted least squares over their spots. All positions are in bins (see ``spots``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bravaismap.compute.device import exponential
from bravaismap.measure import settings
from bravaismap.measure.spots import Spots

__all__ = ["distinct", "index_spots", "reduce_rows"]

#: Most steps of a reduction: bases of spots take at most five.
_MOST_STEPS = 12
#: Score of what is no basis, and what the score of a repeated one loses: below all that a sum over spots comes to.
_EXCLUSION = 1e3
#: Scores within which candidates are equally good, in nats: above the rounding of a batch, and nothing to an evidence.
_EQUAL = 1e-3


def index_spots(spots: Spots, count: int) -> tuple[Tensor, Tensor]:
    """Return the reciprocal bases that explain the spots of each window best.

    Parameters
    ----------
    spots : Spots
    count : int
        Candidates to return for each window.

    Returns
    -------
    basis : tensor, shape (n, count, 2, 2)
        Rows g₁, g₂ in bins (y, x), reduced.
    score : tensor, shape (n, count)
        Log likelihood ratio against spots that lie anywhere.
    """
    limits = settings.SETTINGS.indexing
    weight = spots.weight / (spots.weight + limits.half_weight)
    first_spread, _, last_spread = limits.position_spread
    candidates = _pairs(spots.position)
    tolerance = spots.error
    score = _score(candidates, spots.position, weight, tolerance, spread=first_spread)
    best = score.topk(min(limits.shortlist, score.shape[1]), dim=1).indices.sort(dim=1).values
    basis = candidates.gather(1, best[..., None, None].expand(-1, -1, 2, 2))
    basis = reduce_rows(basis)
    for _ in range(limits.fits):
        basis = _least_squares(basis, spots.position, weight, tolerance)
    basis = reduce_rows(basis)
    basis = torch.where(
        _usable(basis)[..., None, None], basis, limits.stand_in_side * torch.eye(2, device=basis.device)
    )
    score = _score(basis, spots.position, weight, tolerance, spread=last_spread)
    return distinct(basis, score, count)


def reduce_rows(basis: Tensor) -> Tensor:
    """Return the Lagrange–Gauss reduced basis (|g₁| ≤ |g₂|, 0 ≤ g₁·g₂ ≤ |g₁|²/2) of each lattice."""
    for _ in range(_MOST_STEPS):
        basis, square = _shorter_first(basis)
        first, second = basis.unbind(-2)
        shift = ((first * second).sum(-1) / square.amin(-1).clamp_min(1e-12)).round()
        second -= shift[..., None] * first
        if not bool(shift.any()):
            break
    basis, _ = _shorter_first(basis)
    turned = (basis.prod(-2).sum(-1) < 0)[..., None]
    return torch.stack([basis[..., 0, :], torch.where(turned, -basis[..., 1, :], basis[..., 1, :])], dim=-2)


def _shorter_first(basis: Tensor) -> tuple[Tensor, Tensor]:
    """Copies of bases with the shorter vector first, and the squares of the lengths as they were given, (..., 2)."""
    square = basis.square().sum(-1)
    swap = (square[..., 0] > square[..., 1])[..., None, None]
    return torch.where(swap, basis.flip(-2), basis), square


def _pairs(position: Tensor) -> Tensor:
    """All candidate bases, shape (n, candidates, 2, 2)."""
    limits = settings.SETTINGS.indexing
    strong = position[:, : limits.paired_spots]
    count = strong.shape[1]
    i, j = torch.triu_indices(count, count, 1, device=position.device)
    direct = torch.stack([strong[:, i], strong[:, j]], dim=-2)
    strongest = strong[:, : limits.combined_spots]
    number = strongest.shape[1]
    p, q = torch.triu_indices(number, number, 1, device=position.device)
    combined = torch.cat([strongest[:, p] - strongest[:, q], strongest[:, p] + strongest[:, q]], dim=1)
    left = combined[:, :, None].expand(-1, -1, number, -1)
    right = strongest[:, None].expand(-1, combined.shape[1], -1, -1)
    mixed = torch.stack([left, right], dim=-2).flatten(1, 2)
    return torch.cat([direct, mixed], dim=1)


def _cross(basis: Tensor) -> Tensor:
    """Signed area of each cell."""
    return basis[..., 0, 0] * basis[..., 1, 1] - basis[..., 0, 1] * basis[..., 1, 0]


def _nearest(basis: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the node nearest to each spot and the square of the distance from it, (n, spots, candidates)."""
    area = _cross(basis)
    per_area = torch.where(area.abs() < 1e-6, 1e-6, area).reciprocal()
    (y_1, x_1), (y_2, x_2) = (row.unbind(-1) for row in basis.unbind(-2))
    y, x = position[..., :1], position[..., 1:]
    rest_1 = (y * (x_2 * per_area)[:, None]).addcmul_(x, (y_2 * per_area)[:, None], value=-1)
    rest_2 = (x * (y_1 * per_area)[:, None]).addcmul_(y, (x_1 * per_area)[:, None], value=-1)
    first, second = rest_1.round(), rest_2.round()
    rest_1.sub_(first)
    rest_2.sub_(second)
    square_1, square_2, product = y_1 * y_1 + x_1 * x_1, y_2 * y_2 + x_2 * x_2, y_1 * y_2 + x_1 * x_2
    distance = (rest_1 * square_1[:, None]).addcmul_(rest_2, product[:, None], value=2).mul_(rest_1)
    return first, second, distance.addcmul_(rest_2.square_(), square_2[:, None])


def _score(basis: Tensor, position: Tensor, weight: Tensor, error: float, spread: float) -> Tensor:
    """Log likelihood ratio of each basis against spots that lie anywhere, (n, candidates)."""
    limits = settings.SETTINGS.indexing
    first, second, distance = _nearest(basis, position)
    norm = first.square_().addcmul_(second, second)
    centre = (1 - norm).clamp_min_(0)  # 1 there, 0 at all other nodes
    precision = norm.clamp_max_(limits.spread_limit).mul_(spread).add_(1).reciprocal_().mul_(1 / error**2)
    stray, area = limits.stray_share, _cross(basis).abs()
    height = (area * ((1 - stray) / (2 * math.pi)))[:, None]
    density = exponential(distance.mul_(precision).mul_(-0.5)).mul_(precision).mul_(height).add_(stray)
    gain = density.lerp_(density.new_tensor(math.exp(-limits.centre_penalty)), centre).log_()
    score = (weight[:, None] @ gain)[:, 0]
    return torch.where(_usable(basis), score, score.new_full((), -_EXCLUSION))


def _usable(basis: Tensor) -> Tensor:
    """Which bases have vectors that are long enough and not nearly along one line (nor NaN)."""
    limits = settings.SETTINGS.indexing
    lengths = basis.square().sum(-1)
    sine = _cross(basis).abs() / lengths.prod(-1).sqrt().clamp_min(1e-9)
    return (lengths.amin(-1) > limits.shortest_vector**2) & (sine > limits.least_sine)


def _least_squares(basis: Tensor, position: Tensor, weight: Tensor, error: float) -> Tensor:
    """One step of weighted least squares over the spots near a node, damped towards the basis itself."""
    limits = settings.SETTINGS.indexing
    first, second, distance = _nearest(basis, position)
    precision = (first * first).addcmul_(second, second).clamp_max_(limits.spread_limit)
    precision.mul_(limits.position_spread[1]).add_(1).reciprocal_().mul_(-0.5 / error**2)
    w = exponential(distance.mul_(precision)).mul_(weight[..., None]).add_(1e-9)
    weighted_1, weighted_2 = first * w, second * w
    m11 = (weighted_1 * first).sum(1).add_(limits.damping)
    m22 = (weighted_2 * second).sum(1).add_(limits.damping)
    m12 = (weighted_1 * second).sum(1)
    right = torch.stack([part.transpose(1, 2) @ position for part in (weighted_1, weighted_2)], dim=2)
    right = torch.add(right, basis, alpha=limits.damping)
    across = torch.stack([m22, m11], dim=-1)[..., None] * right - m12[..., None, None] * right.flip(-2)
    return across / (m11 * m22 - m12 * m12)[..., None, None]


def distinct(basis: Tensor, score: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the `count` best of reduced bases that are different lattices, best first, and their scores.

    Of bases that are equally good the first is taken: rounding, which a batch decides, chooses none of them.
    """
    order = _best_first(score)
    basis = basis.gather(1, order[..., None, None].expand_as(basis))
    score = score.gather(1, order)
    inverse = torch.linalg.inv_ex(basis + 1e-9 * torch.eye(2, device=basis.device))[0]
    n, many = score.shape
    relation = (basis.flatten(1, 2) @ inverse.transpose(1, 2).flatten(2)).reshape(n, many, 2, many, 2)
    relation.sub_(relation.round()).abs_()
    departure = torch.maximum(*torch.maximum(*relation.unbind(2)).unbind(-1))  # from whole numbers
    departure = torch.maximum(departure, departure.transpose(1, 2))
    later = torch.full_like(departure[0], torch.inf).triu()
    repeated = (departure + later).amin(-1) < settings.SETTINGS.indexing.basis_tolerance
    score = torch.where(repeated, score - _EXCLUSION, score)
    where = _best_first(score)[:, :count]
    return basis.gather(1, where[..., None, None].expand(-1, -1, 2, 2)), score.gather(1, where)


def _best_first(score: Tensor) -> Tensor:
    """Order of scores (n, candidates), where those that are equal keep theirs."""
    return (score / _EQUAL).round().argsort(dim=1, descending=True, stable=True)

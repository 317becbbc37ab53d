"""Candidates: the reciprocal lattices that the spots of a spectrum may belong to, for all windows of a batch at once.

Every pair of bright spots spans a lattice. Each is reduced, all spots are given the nearest node, and the basis is
fitted to those that lie on one; how well the lattice explains the spots, against the chance that a fine lattice has a
node near any spot, orders the candidates. There is neither a loop over windows nor a decision that cuts a gradient off,
so the same numbers come from a processor and from a GPU.

In two dimensions a lattice and its reciprocal have the same shape τ, so all is said of the reciprocal basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

__all__ = [
    "Candidates",
    "distinct",
    "find_candidates",
    "score_candidates",
    "shape_of",
    "strains_to_symmetry",
]

#: Bright spots whose pairs are tried.
_BRIGHT: Final = 8
#: Lagrange–Gauss steps; spots that are the brightest of their spectrum are never far from a reduced basis.
_REDUCTIONS: Final = 5
#: Standard deviation, in bins, of how far a spot may lie from its node: when nodes are given, and after the first fit.
_TOLERANCES: Final = (0.35, 0.2, 0.15)
#: Share of the spots of a lattice that are explained by none of its nodes.
_STRAY: Final = 0.1
#: Variance of a coordinate of a spot in bins²: that of white noise over its log likelihood ratio, and that of the bias
#: of the parabola through its power.
_NOISE_VARIANCE: Final = 0.3
_BIAS_VARIANCE: Final = 1e-4
#: Determinant of a fit, over the product of its diagonal, below which rounding decides it: bright spots in one row.
_SINGULAR: Final = 1e-5
#: Smallest area of a reciprocal cell in bins²: of a finer lattice every spot lies near a node.
_SMALLEST_CELL: Final = 4.0
#: Log likelihood ratio against noise from which on a spot counts in full.
_TRUSTED: Final = 4.0
#: Two candidates are one lattice if the lengths of their reduced vectors and their areas agree to this fraction.
_SAME: Final = 0.03


@dataclass(frozen=True)
class Candidates:
    """The reciprocal lattices that explain the spots best, best first.

    Attributes
    ----------
    basis : Tensor, shape (n, count, 2, 2)
        Reduced; rows are vectors (k_y, k_x), in bins.
    covariance : Tensor, shape (n, count, 2, 2)
        Of each component along either axis, between the two vectors, in bins².
    score : Tensor, shape (n, count)
        Log likelihood ratio against spots that lie anywhere; 0 and less where there is no further candidate.
    explained : Tensor, shape (n, count)
        Share of the weight of all spots that lies on its nodes.
    spots : Tensor, shape (n, count)
        Number of spots on its nodes, those that lie between counted by how near they are.
    misfit : Tensor, shape (n, count)
        Mean squared distance of these from their nodes, over that expected; at most about 1 for a perfect crystal.
    """

    basis: Tensor
    covariance: Tensor
    score: Tensor
    explained: Tensor
    spots: Tensor
    misfit: Tensor


def find_candidates(position: Tensor, weight: Tensor, count: int) -> Candidates:
    """Return the best candidates of each spectrum.

    Parameters
    ----------
    position : Tensor, shape (n, spots, 2)
        (k_y, k_x) in bins, brightest first.
    weight : Tensor, shape (n, spots)
        Log likelihood ratio of each spot against noise; 0 for none.
    count : int
    """
    first, second = torch.triu_indices(_BRIGHT, _BRIGHT, 1, device=position.device)
    basis = torch.stack([position[:, first], position[:, second]], dim=-2)
    lacking = (weight[:, first] <= 0) | (weight[:, second] <= 0)
    precision = (weight.clamp_min(1e-3) / (_NOISE_VARIANCE + _BIAS_VARIANCE * weight))[..., None]
    for tolerance in _TOLERANCES[:-1]:
        basis = _reduced(basis)
        first, second, distance = _nearest_nodes(basis, position)
        basis, _ = _fitted(first, second, precision * _nearness(distance, tolerance), position, basis)
    basis = _reduced(basis)
    first, second, distance = _nearest_nodes(basis, position)
    near = _nearness(distance, _TOLERANCES[-1]) * (weight > 0)[..., None]
    basis, covariance = _fitted(first, second, precision * near, position, basis)
    area = _area(basis)
    score = torch.where(lacking | (area < _SMALLEST_CELL), -torch.inf, _score(near, area, weight))
    best, rows = distinct(basis, score).topk(count, dim=1)
    loud = weight.sqrt()
    held = near.sum(1)
    explained = (loud[:, None] @ near)[:, 0] / loud.sum(-1, keepdim=True).clamp_min(1e-3)
    misfit = (precision * near * distance).sum(1) / (2 * held).clamp_min(1e-3)

    def chosen(values: Tensor) -> Tensor:
        index = rows.reshape(*rows.shape, *[1] * (values.ndim - 2))
        taken: Tensor = values.gather(1, index.expand(*rows.shape, *values.shape[2:]))
        return taken

    return Candidates(
        chosen(basis),
        chosen(covariance),
        torch.where(best.isfinite(), best, best.new_zeros(())).clamp_min(0),
        chosen(explained),
        chosen(held),
        chosen(misfit),
    )


def score_candidates(basis: Tensor, position: Tensor, weight: Tensor) -> Tensor:
    """Return how well reciprocal lattices (n, candidates, 2, 2) explain other spots, as `Candidates.score` does."""
    *_, distance = _nearest_nodes(basis, position)
    return _score(_nearness(distance, _TOLERANCES[-1]) * (weight > 0)[..., None], _area(basis), weight)


def distinct(basis: Tensor, score: Tensor) -> Tensor:
    """Return the scores, −∞ for each lattice that is the same as one of a higher score."""
    return torch.where(_repeated(basis, _area(basis), score), -torch.inf, score)


def shape_of(basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the real and imaginary part of the shape τ of reduced bases (..., 2, 2)."""
    a, b = basis[..., 0, :], basis[..., 1, :]
    square = a.square().sum(-1).clamp_min(1e-12)
    return (a * b).sum(-1).abs() / square, (_cross(a, b).abs() / square).clamp_min(1e-6)


def strains_to_symmetry(x: Tensor, y: Tensor) -> Tensor:
    """Return the strains from shapes x + iy to where a symmetry is: (..., 5).

    To Re τ = 0 (rectangular), to |τ| = 1 and Re τ = 1/2 (centred rectangular, signed: below 0 beyond the side), to i
    (square) and to 1/2 + i√3/2 (hexagonal); see :func:`bravaismap.lattice.deviation.deviation`.
    """
    norm = x.square() + y.square()

    def from_point(u: float, v: float) -> Tensor:
        return 2 * torch.asinh(((x - u).square() + (y - v).square()).sqrt() / (2 * (y * v).sqrt()))

    return torch.stack(
        [
            torch.asinh(x / y),
            torch.asinh((norm - 1) / (2 * y)),
            torch.asinh((0.5 - x) / y),
            from_point(0.0, 1.0),
            from_point(0.5, 0.75**0.5),
        ],
        dim=-1,
    )


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def _area(basis: Tensor) -> Tensor:
    return _cross(basis[..., 0, :], basis[..., 1, :]).abs()


def _nearness(distance: Tensor, tolerance: float) -> Tensor:
    return (distance / (-2 * tolerance**2)).clamp_min(-30).exp()


def _reduced(basis: Tensor) -> Tensor:
    """Return the Lagrange–Gauss reduced bases, with an angle of at most 90° between their rows."""
    a_y, a_x, b_y, b_x = basis.flatten(-2).unbind(-1)
    for step in range(_REDUCTIONS + 1):
        square_a, square_b = a_y.square() + a_x.square(), b_y.square() + b_x.square()
        swap = square_a > square_b
        a_y, b_y = torch.where(swap, b_y, a_y), torch.where(swap, a_y, b_y)
        a_x, b_x = torch.where(swap, b_x, a_x), torch.where(swap, a_x, b_x)
        product = a_y * b_y + a_x * b_x
        if step < _REDUCTIONS:
            multiple = (product / torch.minimum(square_a, square_b).clamp_min(1e-6)).round_()
            b_y, b_x = b_y - multiple * a_y, b_x - multiple * a_x
    sign = torch.where(product < 0, -1.0, 1.0)
    return torch.stack([a_y, a_x, sign * b_y, sign * b_x], dim=-1).reshape(basis.shape)


def _nearest_nodes(basis: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return both indices of the node nearest to each spot, and its squared distance, (n, spots, candidates) each."""
    a_y, a_x, b_y, b_x = (part[:, None] for part in basis.flatten(-2).unbind(-1))
    area = a_y * b_x - a_x * b_y
    area = torch.where(area.abs() < 1e-3, torch.full_like(area, 1e-3), area)
    y, x = position[..., :1], position[..., 1:]
    first = (y * b_x - x * b_y).div_(area).round_().clamp_(-64, 64)
    second = (a_y * x - a_x * y).div_(area).round_().clamp_(-64, 64)
    rest_y = y - (first * a_y).addcmul_(second, b_y)
    rest_x = x - (first * a_x).addcmul_(second, b_x)
    return first, second, rest_y.square_().addcmul_(rest_x, rest_x)


def _fitted(first: Tensor, second: Tensor, precision: Tensor, position: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bases fitted to spots at their nodes, with the covariance of one component.

    The basis itself counts as a measurement to one bin, so that two spots in one row do not leave it undetermined.
    """
    of_first, of_second = precision * first, precision * second
    square_1, square_2 = (of_first * first).sum(1) + 1, (of_second * second).sum(1) + 1
    product = (of_first * second).sum(1)
    largest = square_1 * square_2
    determinant = (largest - product.square()).clamp_min(1e-6)
    inverse = torch.stack([square_2, -product, -product, square_1], dim=-1).reshape(*largest.shape, 2, 2)
    inverse = inverse / determinant[..., None, None]
    right = torch.stack([of_first.transpose(1, 2) @ position, of_second.transpose(1, 2) @ position], dim=-2) + basis
    sound = (determinant > _SINGULAR * largest)[..., None, None]
    return torch.where(sound, inverse @ right, basis), inverse


def _score(near: Tensor, area: Tensor, weight: Tensor) -> Tensor:
    density = area / (2 * torch.pi * _TOLERANCES[-1] ** 2)
    odds = (_STRAY + (1 - _STRAY) * near * density[:, None]).log()
    return ((weight / _TRUSTED).clamp(0, 1)[:, None] @ odds)[:, 0]


def _repeated(basis: Tensor, area: Tensor, score: Tensor) -> Tensor:
    """Where a candidate is the lattice of another that explains more."""
    sizes = torch.cat([basis.square().sum(-1).sqrt(), area[..., None].sqrt()], dim=-1).clamp_min(1e-3).log()
    alike = torch.ones_like(score[:, :, None] > score[:, None])
    for size in sizes.unbind(-1):
        alike &= (size[:, :, None] - size[:, None]).abs_() < _SAME
    number = torch.arange(score.shape[1], device=score.device)
    before = (score[:, None] > score[:, :, None]) | (
        (score[:, None] == score[:, :, None]) & (number[None, :] < number[:, None])
    )
    return alike.logical_and_(before).any(-1)

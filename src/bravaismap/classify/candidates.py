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
    precision = weight.clamp_min(1e-3) / (_NOISE_VARIANCE + _BIAS_VARIANCE * weight)
    for tolerance in _TOLERANCES[:-1]:
        basis = _reduced(basis)
        node, distance = _nearest_nodes(basis, position)
        basis, _ = _fitted(node, precision[:, None] * _nearness(distance, tolerance), position, basis)
    basis = _reduced(basis)
    node, distance = _nearest_nodes(basis, position)
    near = _nearness(distance, _TOLERANCES[-1]) * (weight > 0)[:, None]
    basis, covariance = _fitted(node, precision[:, None] * near, position, basis)
    area = _cross(basis[..., 0, :], basis[..., 1, :]).abs()
    score = _score(near, area, weight)
    score = torch.where(lacking | (area < _SMALLEST_CELL), -torch.inf, score)
    best, rows = distinct(basis, score).topk(count, dim=1)
    loud = weight.sqrt()[:, None]
    held = near.sum(-1)
    misfit = (precision[:, None] * near * distance).sum(-1) / (2 * held).clamp_min(1e-3)

    def chosen(values: Tensor) -> Tensor:
        taken: Tensor = values.gather(1, rows.reshape(*rows.shape, *[1] * (values.ndim - 2)).expand(
            *rows.shape, *values.shape[2:]))  # fmt: skip
        return taken

    return Candidates(
        chosen(basis),
        chosen(covariance),
        torch.where(best.isfinite(), best, best.new_zeros(())).clamp_min(0),
        chosen((near * loud).sum(-1) / loud.sum(-1).clamp_min(1e-3)),
        chosen(held),
        chosen(misfit),
    )


def score_candidates(basis: Tensor, position: Tensor, weight: Tensor) -> Tensor:
    """Return how well reciprocal lattices (n, candidates, 2, 2) explain other spots, as `Candidates.score` does."""
    _, distance = _nearest_nodes(basis, position)
    area = _cross(basis[..., 0, :], basis[..., 1, :]).abs()
    return _score(_nearness(distance, _TOLERANCES[-1]) * (weight > 0)[:, None], area, weight)


def distinct(basis: Tensor, score: Tensor) -> Tensor:
    """Return the scores, −∞ for each lattice that is the same as one of a higher score."""
    area = _cross(basis[..., 0, :], basis[..., 1, :]).abs()
    return torch.where(_repeated(basis, area, score), -torch.inf, score)


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


def _reduced(basis: Tensor) -> Tensor:
    """Return the Lagrange–Gauss reduced bases, with an angle of at most 90° between their rows."""
    first, second = basis[..., 0, :], basis[..., 1, :]
    for _ in range(_REDUCTIONS):
        swap = (first.square().sum(-1) > second.square().sum(-1))[..., None]
        first, second = torch.where(swap, second, first), torch.where(swap, first, second)
        steps = ((first * second).sum(-1) / first.square().sum(-1).clamp_min(1e-6)).round()
        second = second - steps[..., None] * first
    swap = (first.square().sum(-1) > second.square().sum(-1))[..., None]
    first, second = torch.where(swap, second, first), torch.where(swap, first, second)
    flip = ((first * second).sum(-1) < 0)[..., None]
    return torch.stack([first, torch.where(flip, -second, second)], dim=-2)


def _nearest_nodes(basis: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the node nearest to each spot (n, candidates, spots, 2), and its squared distance."""
    a, b = basis[..., 0, :], basis[..., 1, :]
    area = _cross(a, b)
    area = torch.where(area.abs() < 1e-3, torch.full_like(area, 1e-3), area)[..., None]
    spot = position[:, None]
    node = torch.stack([_cross(spot, b[..., None, :]) / area, _cross(a[..., None, :], spot) / area], dim=-1)
    node = node.round().clamp(-64, 64)
    return node, (spot - node @ basis).square().sum(-1)


def _nearness(distance: Tensor, tolerance: float) -> Tensor:
    return (distance / (-2 * tolerance**2)).clamp_min(-30).exp()


def _fitted(node: Tensor, precision: Tensor, position: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bases fitted to spots at their nodes, with the covariance of one component.

    The basis itself counts as a measurement to one bin, so that two spots in one row do not leave it undetermined.
    """
    weighted = (node * precision[..., None]).transpose(-1, -2)
    normal = weighted @ node
    one = torch.eye(2, device=node.device, dtype=node.dtype)
    normal = normal + one
    determinant = (normal[..., 0, 0] * normal[..., 1, 1] - normal[..., 0, 1].square()).clamp_min(1e-6)
    inverse = (
        torch.stack([normal[..., 1, 1], -normal[..., 0, 1], -normal[..., 1, 0], normal[..., 0, 0]], dim=-1).reshape(
            normal.shape
        )
        / determinant[..., None, None]
    )
    return inverse @ (weighted @ position[:, None] + basis), inverse


def _score(near: Tensor, area: Tensor, weight: Tensor) -> Tensor:
    odds = (_STRAY + (1 - _STRAY) * near * (area / (2 * torch.pi * _TOLERANCES[-1] ** 2))[..., None]).log()
    return (odds * (weight / _TRUSTED).clamp(0, 1)[:, None]).sum(-1)


def _repeated(basis: Tensor, area: Tensor, score: Tensor) -> Tensor:
    """Where a candidate is the lattice of another that explains more."""
    length = basis.square().sum(-1).sqrt()
    sizes = torch.cat([length, area[..., None].sqrt()], dim=-1).clamp_min(1e-3).log()
    alike = ((sizes[:, :, None] - sizes[:, None]).abs() < _SAME).all(-1)
    number = torch.arange(score.shape[1], device=score.device)
    before = (score[:, None] > score[:, :, None]) | (
        (score[:, None] == score[:, :, None]) & (number[None, :] < number[:, None])
    )
    return (alike & before).any(-1)

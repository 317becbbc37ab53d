"""Tokens: what a network is shown of a window, whatever its side: spots, candidate lattices, log-polar spectra.

Four views of a window serve: itself, itself flattened (without slow background, uneven contrast and line means), and
the flattened window in tiles of a half and a quarter of its side, whose powers are averaged and ask for no coherence
across the window. Of each view there are its brightest spots, the lattices that these may belong to, and its power on a
grid of angle and logarithm of the spatial frequency in cycles per pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bravaismap.classify.candidates import (
    Candidates,
    distinct,
    find_candidates,
    score_candidates,
    shape_of,
    strains_to_symmetry,
)
from bravaismap.measure.explanation import Explanation, View, explained, view_of_tiles, view_of_windows
from bravaismap.measure.spots import Spectrum, find_spots, flatten, standardize, whitened_power

__all__ = [
    "ANGLES",
    "CELLS",
    "CELL_FEATURES",
    "RADII",
    "REFINED",
    "REFINED_FEATURES",
    "SMALLEST_TOKENS",
    "SPOTS",
    "SPOT_FEATURES",
    "VIEWS",
    "CandidateLattices",
    "Tokens",
    "tokens_and_lattices",
    "window_tokens",
]

#: Smallest side in px of a window: a quarter of it, a tile, must have more bins than there are spots.
SMALLEST_TOKENS: Final = 32
VIEWS: Final = 4
#: Spots and candidate lattices of each view.
SPOTS: Final = 16
CELLS: Final = 4
_TILES: Final = (2, 4)
#: Number of the view of flattened windows.
_FLAT: Final = 1
#: Grid of the log-polar spectrum: angles over a half circle, radii from the lowest to the highest frequency.
ANGLES: Final = 48
RADII: Final = 40
_LOWEST, _HIGHEST = 1 / 64, 1 / 2.2  # cycles per px
#: Side in px of windows and tiles from which on a spot may fall between the points of the grid.
_FINE: Final = 96


@dataclass(frozen=True)
class Tokens:
    """What a network is shown of windows.

    Attributes
    ----------
    spots : Tensor, shape (n, VIEWS · SPOTS, SPOT_FEATURES)
    cells : Tensor, shape (n, VIEWS · CELLS, CELL_FEATURES)
    refined : Tensor, shape (n, REFINED, REFINED_FEATURES)
    polar : Tensor, shape (n, VIEWS, ANGLES, RADII)
    shapes : Tensor, shape (n, VIEWS · CELLS + REFINED, 3)
        Re τ, log Im τ and the logarithm of the side (px) of a square of the area of each candidate cell.
    distortion : Tensor, shape (n,)
        Distortion of the instrument, as a fraction; NaN where it is not known.
    """

    spots: Tensor
    cells: Tensor
    refined: Tensor
    polar: Tensor
    shapes: Tensor
    distortion: Tensor

    def __len__(self) -> int:
        return len(self.spots)

    def __getitem__(self, rows: slice | Tensor) -> Tokens:
        """Return the tokens of some of the windows."""
        return Tokens(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Tokens]) -> Tokens:
        """Return the tokens of several batches of windows, one batch after the other."""
        return cls(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def to(self, dtype: torch.dtype) -> Tokens:
        """Return the tokens in another precision."""
        return Tokens(*(getattr(self, field.name).to(dtype) for field in fields(self)))


@dataclass(frozen=True)
class CandidateLattices:
    """The candidate lattices that the tokens of windows describe, and the waves that these may explain.

    Attributes
    ----------
    basis : Tensor, shape (n, VIEWS · CELLS + REFINED, 2, 2)
        Reciprocal vectors (k_y, k_x) in cycles per px, in the order of `Tokens.shapes`; 0 where there is no candidate.
    position : Tensor, shape (n, SPOTS, 2)
        (k_y, k_x) of the brightest spots of the flattened windows, in bins.
    weight : Tensor, shape (n, SPOTS)
        Log likelihood ratio of each spot against noise; 0 for none.
    """

    basis: Tensor
    position: Tensor
    weight: Tensor

    def __getitem__(self, rows: slice | Tensor) -> CandidateLattices:
        """Return those of some of the windows."""
        return CandidateLattices(self.basis[rows], self.position[rows], self.weight[rows])


def window_tokens(images: Tensor, distortion: float | None = None) -> Tokens:
    """Return the tokens of square windows.

    Parameters
    ----------
    images : Tensor, float32, shape (n, side, side)
        Of any side of at least 32 px.
    distortion : float, optional
        Of the instrument, if it is known: the standard deviation of each component of the linear map from sample to
        image.
    """
    return tokens_and_lattices(images, distortion)[0]


def tokens_and_lattices(images: Tensor, distortion: float | None = None) -> tuple[Tokens, CandidateLattices]:
    """Return the tokens of square windows, and the candidate lattices that they describe.

    Parameters
    ----------
    images, distortion
        As for :func:`window_tokens`.

    Returns
    -------
    tokens : Tokens
    lattices : CandidateLattices
    """
    side = images.shape[-1]
    plain = standardize(images)
    whole = view_of_windows(plain)
    tiles = [view_of_tiles(whole, groups) for groups in _TILES]
    flat = whitened_power(flatten(plain))
    spectra = [(whole.spectrum, whole.mean), (flat, flat), *((view.spectrum, view.mean) for view in tiles)]
    sides = [side, side, *(side // view.groups for view in tiles)]
    period = torch.tensor(sides, dtype=images.dtype, device=images.device)[:, None, None]
    spots = _Spots.joined([_spots(single, mean) for single, mean in spectra])
    candidates = find_candidates(spots.position.flatten(0, 1), spots.weight.flatten(0, 1), CELLS)
    cells, shapes = _cells(candidates, period.expand(VIEWS, len(images), 1).flatten(0, 1), side)
    basis = _of_windows(candidates.basis) / period.expand(-1, CELLS, 1).reshape(1, -1, 1, 1)
    scores = score_candidates(
        (basis * period[..., None, None]).flatten(0, 1), spots.position.flatten(0, 1), spots.weight.flatten(0, 1)
    )
    scores = scores.reshape(VIEWS, len(images), -1).movedim(0, -1)
    valid = (_of_windows(candidates.score) > 0)[..., None]
    best = distinct(basis, torch.where(valid[..., 0], scores[..., 1:3].sum(-1), -torch.inf)).topk(2, dim=1).indices
    starts = basis.gather(1, best[..., None, None].expand(-1, -1, 2, 2))
    refined, precise, sharp = _refined([whole, *tiles], starts, side)
    tokens = Tokens(
        _bounded(_of_windows(_spot_features(spots, period).flatten(0, 1))),
        _bounded(torch.cat([_of_windows(cells), scores / 20 * valid], -1)),
        _bounded(refined),
        torch.stack([_log_polar(single.power, length) for (single, _), length in zip(spectra, sides, strict=True)], 1),
        _bounded(torch.cat([_of_windows(shapes), precise], 1)),
        images.new_full((len(images),), math.nan if distortion is None else distortion),
    )
    lattices = torch.cat([basis * valid[..., None], sharp], 1)
    return tokens, CandidateLattices(lattices, spots.position[_FLAT], spots.weight[_FLAT])


def _of_windows(values: Tensor) -> Tensor:
    """Return what is said of views one after the other, (VIEWS · n, count, …), by window: (n, VIEWS · count, …)."""
    return values.reshape(VIEWS, -1, *values.shape[1:]).transpose(0, 1).flatten(1, 2)


def _bounded(features: Tensor) -> Tensor:
    return torch.nan_to_num(features).clamp(-_LARGEST, _LARGEST)


#: Largest feature: that of a degenerate lattice would otherwise drown all others.
_LARGEST: Final = 12.0


#: Number of candidates that are refined to the greatest likelihood in each view: the window and its tiles.
_REFINED: Final = (2, 1, 1)
REFINED: Final = sum(_REFINED)


def _refined(views: Sequence[View], starts: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, shapes and bases of the lattices that maximise the likelihood in views, from the best starts.

    The starts (n, count, 2, 2), best first, and the bases, (n, REFINED, 2, 2), are in cycles per px.
    """
    number = torch.arange(len(starts), device=starts.device)
    lattices = [
        explained(view, starts[:, :count].transpose(0, 1).flatten(0, 1) * (side // view.groups), number.repeat(count))
        for view, count in zip(views, _REFINED, strict=True)
    ]
    sides = [float(side // view.groups) for view, count in zip(views, _REFINED, strict=True) for _ in range(count)]
    period = torch.tensor(sides, device=starts.device).repeat_interleave(len(starts))
    features, shapes, basis = _refined_features(Explanation.joined(lattices), period, side)

    def by_window(values: Tensor) -> Tensor:
        return values.reshape(REFINED, -1, *values.shape[1:]).transpose(0, 1)

    return by_window(features), by_window(shapes), by_window(basis / period[:, None, None])


def _refined_features(lattice: Explanation, period: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, shapes and bases of refined lattices, in views of so many px, (n,)."""
    basis = torch.nan_to_num(lattice.basis)
    covariance = torch.nan_to_num(lattice.covariance)
    x, y = _folded(*shape_of(basis))
    strains = strains_to_symmetry(x, y)
    scale = basis.abs().amax((-2, -1)).clamp_min(1e-2) * _STEP
    shifts = scale[:, None, None, None] * torch.eye(4, device=basis.device).reshape(4, 2, 2)
    moved = strains_to_symmetry(*_folded(*shape_of(basis[:, None] + shifts)))
    slope = (moved - strains[:, None]) / scale[:, None, None]
    error = torch.einsum("nic,nij,njc->nc", slope, covariance, slope).clamp(1e-10, 1).sqrt()
    area = torch.linalg.det(basis).abs().clamp_min(1e-3)
    real = (period / area.sqrt()).log()
    signal = lattice.signal.clamp(0, 1e6)
    gain = (signal.clamp_min(1) - 1 - signal.clamp_min(1).log()).sort(dim=1, descending=True).values[:, :_LOUDEST]
    loudest = signal.topk(_LOUDEST, dim=1)
    length = (lattice.order.gather(1, loudest.indices[..., None].expand(-1, -1, 2)) @ basis).square().sum(-1).sqrt()
    features = torch.cat(
        [
            torch.stack([lattice.evidence.clamp_min(0).log1p(), (lattice.evidence / 20).clamp(-2, 6),
                         real, area.log() / 3, x * 2, y.log(), math.log(side) * torch.ones_like(x) - 4.8,
                         (signal > 5).sum(1).float().log1p(), error.mean(-1).log()], -1),
            gain.log1p() / 2, length / period[:, None] * 4,
            *(torch.asinh(strains / scale) for scale in (0.003, 0.02, 0.1)),
            torch.asinh(strains / error), error.log(),
        ],
        dim=-1,
    )  # fmt: skip
    return features, torch.stack([x, y.log(), real], dim=-1), basis


#: Step, as a share of the basis, by which slopes are taken.
_STEP: Final = 1e-3
_LOUDEST: Final = 8
REFINED_FEATURES: Final = 9 + 2 * _LOUDEST + 25


def _folded(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return shapes that lie a little outside the fundamental domain, reflected into it."""
    x = 0.5 - (0.5 - x).abs()
    norm = x.square() + y.square()
    inside = (norm >= 1).to(x.dtype)
    norm = norm.clamp_min(1e-6)
    return inside * x + (1 - inside) * x / norm, inside * y + (1 - inside) * y / norm


@dataclass(frozen=True)
class _Spots:
    """The spots of views of windows.

    `position` (…, SPOTS, 2) is in bins, `weight` (…, SPOTS) the log likelihood ratio against noise; `power` (…, SPOTS,
    9) is that of the bins around, row by row, and `level` (…, SPOTS) the background.
    """

    position: Tensor
    weight: Tensor
    power: Tensor
    level: Tensor

    @classmethod
    def joined(cls, views: Sequence[_Spots]) -> _Spots:
        """Return the spots of several views of the same windows, (views, n, SPOTS, …)."""
        return cls(*(torch.stack([getattr(view, field.name) for view in views]) for field in fields(cls)))


def _spots(single: Spectrum, mean: Spectrum) -> _Spots:
    """Return the spots of a view, sought in its power as that of a single spectrum, with the mean power around them."""
    spots = find_spots(single, count=SPOTS)
    rows, columns = single.power.shape[-2:]
    row = (spots.position[..., 0].round().long() + rows // 2).clamp(1, rows - 2)
    column = (spots.position[..., 1].round().long() + 1).clamp(1, columns - 2)
    where = row * columns + column
    step = torch.tensor([-1, 0, 1], device=where.device)
    around = where[..., None] + (columns * step[:, None] + step).flatten()
    power = mean.power.flatten(1).gather(1, around.flatten(1)).reshape(around.shape)
    return _Spots(_unbiased(spots.position), spots.weight, power, mean.level.flatten(1).gather(1, where))


def _spot_features(spots: _Spots, period: Tensor) -> Tensor:
    """Return features of the spots of views of so many px, (views, n, SPOTS, SPOT_FEATURES)."""
    position, weight = spots.position, spots.weight
    height = spots.power[..., 4]
    absolute = (height * spots.level).clamp_min(1e-30).log()
    brightest = absolute.amax(-1, keepdim=True)
    below = (spots.power / height.clamp_min(1e-6)[..., None]).clamp(1e-3, 1).log()
    length = position.square().sum(-1).sqrt().clamp_min(1e-3)
    unit = position / length[..., None]
    frequency = (length / period).clamp_min(1e-3).log()
    angle = torch.atan2(position[..., 0], position[..., 1])
    turns = torch.stack([f(m * angle) for m in (2, 4, 6, 12, 24) for f in (torch.cos, torch.sin)], dim=-1)
    scales = torch.stack([f(m * frequency) for m in (1, 2, 4, 8, 16, 32) for f in (torch.cos, torch.sin)], dim=-1)
    axes = (-position.abs()).exp()
    others = torch.stack(
        [
            weight.log1p() / 3, height.clamp_min(1e-3).log() / 3, ((absolute - brightest) / 3).clamp_min(-6),
            *(below[..., pair].mean(-1) for pair in _AROUND),
            frequency, length.log() / 2, (weight > 0).to(weight.dtype),
        ],
        dim=-1,
    )  # fmt: skip
    return torch.cat([turns, scales, axes, unit, others], dim=-1)


#: Pairs of opposite bins around a spot, of a block of 3 × 3: along x, along y, and along either diagonal.
_AROUND: Final = ([3, 5], [1, 7], [0, 8], [2, 6])
SPOT_FEATURES: Final = 10 + 12 + 2 + 2 + 10


def _unbiased(position: Tensor) -> Tensor:
    """Take away the bias of the vertex of a parabola through the log power of a Hann-tapered wave, 0.016 bins at most.

    It is odd and periodic in the position; the two coefficients were fitted to exact waves.
    """
    turn = 2 * math.pi * position
    return position - 0.0155 * turn.sin() + 0.003 * (2 * turn).sin()


def _cells(candidates: Candidates, period: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return features of candidate lattices, of views of so many px (n, 1), and their shape and scale."""
    basis = candidates.basis
    x, y = shape_of(basis)
    strains = strains_to_symmetry(x, y)
    length = basis.square().sum(-1).sqrt().clamp_min(1e-2)
    area = (length[..., 0].square() * y).clamp_min(1e-3)
    variance = torch.diagonal(candidates.covariance, dim1=-2, dim2=-1)
    error = (variance / length.square()).sum(-1).clamp_min(1e-8).sqrt()
    real = (period / area.sqrt()).log()
    valid = (candidates.score > 0).to(x.dtype)
    stacked = torch.stack(
        [
            candidates.score / 20, candidates.score.clamp_min(0).log1p(), candidates.explained,
            candidates.spots / 10, (candidates.misfit + 0.01).log(), error.log(),
            real, area.log() / 3, x * 2, y.log(), math.log(side) * torch.ones_like(x) - 4.8,
            period.log() - real - 2, valid,
        ],
        dim=-1,
    )  # fmt: skip
    scaled = [torch.asinh(strains / scale) for scale in (0.003, 0.02, 0.1)]
    spread = (error * (0.5 + candidates.misfit).sqrt())[..., None]
    features = torch.cat([stacked, *scaled, torch.asinh(strains / error[..., None]), torch.asinh(strains / spread)], -1)
    return features * valid[..., None], torch.stack([x, y.log(), real], dim=-1) * valid[..., None]


CELL_FEATURES: Final = 13 + 5 * 5 + VIEWS


def _log_polar(power: Tensor, period: int) -> Tensor:
    """Return the logarithm of a power in units of the background on the log-polar grid, (n, ANGLES, RADII)."""
    angle = (torch.arange(ANGLES, device=power.device) / ANGLES - 0.5) * math.pi
    radius = period * torch.linspace(math.log(_LOWEST), math.log(_HIGHEST), RADII, device=power.device).exp()
    rows, columns = power.shape[-2:]
    # a spot is narrower than the step of the grid at high frequencies: the highest power nearby is taken
    logarithm = power.clamp_min(1e-3).log1p()[:, None]
    coarse = _highest_nearby(logarithm) if period >= _FINE else logarithm
    y = rows // 2 + radius * torch.sin(angle)[:, None]
    x = 1 + radius * torch.cos(angle)[:, None]
    grid = torch.stack([2 * x / (columns - 1) - 1, 2 * y / (rows - 1) - 1], dim=-1)
    sampled = functional.grid_sample(
        coarse, grid.expand(len(power), -1, -1, -1), mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled[:, 0]


def _highest_nearby(values: Tensor) -> Tensor:
    """Return the largest of each value and its eight neighbours: a maximum over 3 × 3, faster by lines."""
    for axis in (-1, -2):
        near = values.clone()
        size = values.shape[axis]
        near.narrow(axis, 1, size - 1).copy_(
            torch.maximum(near.narrow(axis, 1, size - 1), values.narrow(axis, 0, size - 1))
        )
        near.narrow(axis, 0, size - 1).copy_(
            torch.maximum(near.narrow(axis, 0, size - 1), values.narrow(axis, 1, size - 1))
        )
        values = near
    return values

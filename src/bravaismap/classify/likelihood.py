"""Likelihood of a measured shape under each of the five lattices.

The shape scatters about the true one by the covariance of the measurement and by the distortion of the instrument. The
likelihood of a class is this Gaussian, summed over all images of the measured shape under change of basis (a scatter
across the edge of the fundamental domain comes back by reduction), integrated over the lattices of the class in closed
form:

==================== ===========================================================================================
class                prior over its lattices (no length enters: the prior knows no scale)
==================== ===========================================================================================
square, hexagonal    one point
rectangular          b/a uniform over 1–2.2 (92 %), an exponential tail of ln b/a beyond
centered_rectangular angle of the two equal vectors: uniform over 28°–85° and 95°–125° (95 %), rest outside
oblique              γ uniform over 50°–90°, b/a uniform over 1–2 (89 %), a tail of ln b/a (8 %); rest anything
==================== ===========================================================================================

These are the ranges of the paper's training set, with tails so that no lattice is impossible. The angle of a centred
cell begins at 35° there; at 28° the reduced cell has b = 2a, as the longest oblique ones.

Most scans are straighter than the worst. A distortion beyond that of a calibrated scan is therefore one of two: a
quarter of the images are calibrated ones, the others have all of it. And few crystals nearly have a symmetry that they
lack: lattices that miss one by less than 2.5 times what the distortion is beyond a calibrated one count one fifth of
what the table says.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.classify import posterior_settings
from bravaismap.classify.posterior_settings import Scales
from bravaismap.classify.tiling import (
    LINES,
    WORDS,
    Placed,
    asinh,
    distinct_words,
    images,
    near_images,
    places,
    seen_from_line,
    words_on,
)
from bravaismap.compute.device import PROCESSOR, exponential
from bravaismap.lattice.shape import CENTER

__all__ = ["Scatter", "Shapes", "likelihood", "near_miss", "scatters"]

#: Length of the tails in ln b/a; the powers in `_oblique_prior` are those of this one.
_TAIL = 0.4
#: Points and lines of the classes, in the order in which images are put: which images to look at, and how often each of
#: them counts.
_LOCI = {name: distinct_words(point) for name, point in CENTER.items()} | {name: distinct_words() for name in LINES}
#: Number of points among them, and the lattice of each, in the order of `LATTICES`.
_POINTS, _LATTICE = len(CENTER), {"square": 0, "hexagonal": 3, "upright": 1, "tall": 2, "arc": 2}
#: Lowest and highest ln y of the lattices on each line, once that is the imaginary axis.
_ENDS = {"upright": (0.0, math.inf), "tall": (math.log(0.75) / 2, math.inf), "arc": (0.0, math.log(3) / 2)}


@dataclass(frozen=True)
class Scatter:
    """One of the Gaussians whose mixture is the scatter of a measured shape about the true one.

    Attributes
    ----------
    share : float
    factor : float
        On the covariance of the measurement.
    bent : float
        Variance by the distortion of the instrument, in the hyperbolic plane.
    """

    share: float
    factor: float
    bent: float


def scatters(distortion: float, scales: Scales) -> tuple[Scatter, ...]:
    """Return the Gaussians that measurements of images scatter by, at a distortion that is allowed for.

    Parameters
    ----------
    distortion : float
        Standard deviation of each component of the instrument's linear map.
    scales : tuple of (share, factor)
        Of the covariances of the measurement.
    """
    limits = posterior_settings.SETTINGS.distortion
    kinds = [(1.0, distortion)]
    if distortion > limits.calibrated:
        straight = max(limits.calibrated, limits.straightest_part * distortion)
        kinds = [(limits.calibrated_share, straight), (1 - limits.calibrated_share, distortion)]
    return tuple(
        Scatter(part * share, factor, 2 * level**2) for share, factor in scales for part, level in kinds if part > 0
    )


@dataclass(frozen=True)
class _Loci:
    """The points and lines on a device.

    `words` (loci, words, 5) put the images; of the points also `point` (points, 2), and of the lines `ends` (lines, 2).
    `chosen` (loci, words) and `repeated` (loci,) are those of `_LOCI`; `lattice` (loci,) is the class.
    """

    words: Tensor
    point: Tensor
    ends: Tensor
    chosen: Tensor
    repeated: Tensor
    lattice: Tensor


def _loci(device: torch.device) -> _Loci:
    words, point, ends, lattice = _places_of_loci(device)
    chosen, repeated = zip(*_LOCI.values(), strict=True)
    repeated_on = torch.tensor(repeated, dtype=torch.float64, device=device)
    return _Loci(words, point, ends, torch.stack(chosen).to(device), repeated_on, lattice)


@functools.cache
def _places_of_loci(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    words = torch.stack([WORDS] * _POINTS + [seen_from_line(line) for line in LINES])
    point = torch.tensor([[point.real, point.imag] for point in CENTER.values()], dtype=torch.float64)
    ends = torch.tensor([_ENDS[line] for line in LINES], dtype=torch.float64)
    lattice = torch.tensor([_LATTICE[name] for name in _LOCI])
    return words.to(device), point.to(device), ends.to(device), lattice.to(device)


class Shapes:
    """Measured shapes of lattices, and which of their images under change of basis each class can see.

    Parameters
    ----------
    tau : complex tensor, shape (n,)
    own : tensor, shape (n, 2, 2)
        Covariance of the measurement, of (dx, dy) / y at τ = x + iy.
    distortion : float
        Standard deviation of each component of the instrument's linear map.
    moved : bool
        Whether other shapes will be asked for, drawn by `own` about these.
    scales : tuple of (share, factor), optional
        Of the covariances whose mixture is the error.
    """

    def __init__(
        self, tau: Tensor, own: Tensor, distortion: float, moved: bool = False, scales: Scales | None = None
    ) -> None:
        self.tau, self.own = tau, own
        self.scatters = scatters(distortion, scales or posterior_settings.SETTINGS.errors.scales)
        self.near_miss = near_miss(distortion)
        widest = max(part.factor for part in self.scatters)
        bent = max(part.bent for part in self.scatters)
        scatter = widest * own + bent * torch.eye(2, dtype=own.dtype, device=own.device)
        self.window, self.word = near_images(tau, scatter, own if moved else None)
        reach = 8 * _radius(scatter) + (5 * _radius(own) if moved else 0.0)
        loci = _loci(own.device)
        distance = _distances(*places(tau.real[self.window], tau.imag[self.window], loci.words[:, self.word]), loci)
        near = (distance <= reach[self.window] + 1e-6) & loci.chosen[:, self.word]
        locus, image = torch.nonzero(near, as_tuple=True)
        #: Numbers of images that are seen from the points and from each line, which follow one another.
        counts = near.sum(1).tolist()
        self.seen = [sum(counts[:_POINTS]), *counts[_POINTS:]]
        window = self.window[image]
        self.rows, self.words = window, loci.words[locus, self.word[image]]
        self.target = loci.lattice[locus] * len(tau) + window
        self.repeated = loci.repeated[locus, None]
        self.point = loci.point[locus[: self.seen[0]]]
        self.ends = loci.ends[locus[self.seen[0] :] - _POINTS]

    def placed(self, x: Tensor, y: Tensor) -> Placed:
        """Return the images of shapes x + iy (n, draws) that are seen, with the errors of the measurement."""
        own = self.own.to(x.dtype)
        scatter = torch.stack([own[:, 0, 0], own[:, 0, 1], own[:, 1, 1]], dim=-1)
        return images(x[self.rows], y[self.rows], scatter[self.rows], self.words.to(x.dtype))

    def mixtures(self, like: Tensor) -> list[tuple[float | Tensor, float | Tensor, float | Tensor]]:
        """Return shares, factors and variances by distortion of the scatters.

        On a processor they are numbers, one scatter after another. A GPU takes as long for one as for all: there they
        are tensors of all scatters, (scatters, 1, 1).
        """
        parts = [(scatter.share, scatter.factor, scatter.bent) for scatter in self.scatters]
        if not at_once(like.device):
            return list(parts)
        share, factor, bent = like.new_tensor(parts)[:, :, None, None].unbind(1)
        return [(share, factor, bent)]


def at_once(device: torch.device) -> bool:
    """Return whether a device takes as long for one scatter as for all."""
    return device.type != PROCESSOR


def likelihood(shapes: Shapes, moved: Tensor | None = None) -> Tensor:
    """Return the likelihood of the five lattices.

    Parameters
    ----------
    shapes : Shapes
        Of n windows.
    moved : complex tensor, shape (n, draws), optional
        What other measurements of the same windows could have given; the shapes themselves if not given. In single
        precision, which is enough for what scatters.

    Returns
    -------
    tensor, shape (n, draws, 5)
        In the order of :data:`~bravaismap.conventions.LATTICES`.
    """
    tau = shapes.tau[:, None] if moved is None else moved
    dtype = shapes.own.dtype if moved is None else torch.float32
    x, y = tau.real.to(dtype), tau.imag.to(dtype)
    out = x.new_zeros(5, *tau.shape)
    seen, points = shapes.placed(x, y), shapes.seen[0]
    for value, rows in (
        (_points(seen.part(slice(points)), shapes), slice(points)),
        (_lines(seen.part(slice(points, None)), shapes), slice(points, None)),
    ):
        repeated = shapes.repeated[rows].to(dtype)
        out.flatten(0, 1).index_add_(0, shapes.target[rows], value.mul_(repeated))
    at = places(x[shapes.window], y[shapes.window], words_on(x.device, dtype)[shapes.word])
    out[4].index_add_(0, shapes.window, _oblique_prior(*at))
    if shapes.near_miss > 0:
        out[4] *= _frequency(x, y, shapes)
    out[4] += posterior_settings.SETTINGS.prior.oblique_shares[2] * 6 / math.pi  # over the area of the domain
    return out.movedim(0, -1)


def near_miss(distortion: float) -> float:
    """Return the strain to a symmetry below which lattices that lack it are rare, at a distortion."""
    limits = posterior_settings.SETTINGS.distortion
    return limits.near_miss * max(distortion - limits.calibrated, 0.0)


def _frequency(x: Tensor, y: Tensor, shapes: Shapes) -> Tensor:
    """How frequent oblique lattices are about shapes x + iy (n, draws), for near misses are rare.

    A lattice misses each of the three lines that bound the domain by its distance to it, which scatters.
    """
    size = x.square() + y.square()
    miss = asinh(torch.stack([x / y, (size - 1) / (2 * y), (x - 0.5) / y])).abs()
    own = shapes.own.to(x.dtype).diagonal(dim1=-2, dim2=-1).mean(-1)[:, None]
    usual = [scatter for scatter in shapes.scatters if scatter.factor == shapes.scatters[0].factor]
    beyond, reach = torch.zeros_like(x), shapes.near_miss
    for scatter in usual:
        sharp = (2 * (scatter.factor * own + scatter.bent)).rsqrt()
        inside = ((reach - miss) * sharp).erfc_().add_(((reach + miss) * sharp).erfc_()).mul_(0.5)
        share = scatter.share / sum(other.share for other in usual)
        beyond.add_((inside[0] * inside[1]).mul_(inside[2]), alpha=share)
    rare = posterior_settings.SETTINGS.distortion.near_miss_frequency
    return beyond.mul_(1 - rare).add_(rare)


def _radius(covariance: Tensor) -> Tensor:
    return covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()


def _distances(x: Tensor, y: Tensor, loci: _Loci) -> Tensor:
    """Hyperbolic distance of images (loci, m) to the points, and to the lines without regard to their ends."""
    at_x, at_y = loci.point[:, :, None].unbind(1)
    square = (x[:_POINTS] - at_x).square() + (y[:_POINTS] - at_y).square()
    to_points = torch.acosh(1 + square / (2 * y[:_POINTS] * at_y))
    return torch.cat([to_points, asinh(x[_POINTS:] / y[_POINTS:]).abs()])


def _points(seen: Placed, shapes: Shapes) -> Tensor:
    """Likelihood of the lattices that are points, (images, draws)."""
    at_x, at_y = shapes.point.to(seen.x.dtype)[:, :, None].unbind(1)
    scale = (seen.y * at_y).rsqrt()
    across, along = (seen.x - at_x) * scale, (seen.y - at_y) * scale
    squares = across.square(), across * along, along.square()
    out = torch.zeros_like(across)
    for share, factor, bent in shapes.mixtures(across):
        xx, xy, yy = (factor * seen.xx).add_(bent), factor * seen.xy, (factor * seen.yy).add_(bent)
        both = xx * yy
        determinant = torch.addcmul(both, xy, xy, value=-1).maximum(both.mul_(1e-6))
        square = yy.mul_(squares[0]).addcmul_(xy, squares[1], value=-2).addcmul_(xx, squares[2])
        height = exponential(square.div_(determinant).mul_(-0.5)).mul_(determinant.rsqrt_())
        out += _all(height.mul_(share), out)
    return out.mul_(1 / (2 * math.pi))


def _all(values: Tensor, like: Tensor) -> Tensor:
    """The sum over all scatters that are there at once."""
    return values if values.ndim == like.ndim else values.sum(0)


def _lines(seen: Placed, shapes: Shapes) -> Tensor:
    """Likelihood of the lattices on lines that are seen as the imaginary axis, (images, draws)."""
    _, upright, tall, _ = shapes.seen
    low, high = shapes.ends.to(seen.x.dtype)[:, :, None].unbind(1)
    size = seen.x.square().addcmul_(seen.y, seen.y)
    inverse = size.rsqrt()
    across, along = asinh(seen.x / seen.y), size.log_().mul_(0.5)
    turned = seen.seen_in(seen.x, seen.y, seen.y * inverse, seen.x * inverse)  # the axis is the second direction
    exponent, out, ended = across.square().mul_(-0.5), torch.zeros_like(across), upright + tall
    for share, factor, bent in shapes.mixtures(across):
        xx, xy = (factor * turned.xx).add_(bent), factor * turned.xy
        lean = xy / xx
        at = torch.addcmul(along, lean, across, value=-1)
        sharp = (factor * turned.yy).add_(bent).addcmul_(lean, xy, value=-1).clamp_min_(1e-14).mul_(2).rsqrt_()
        inside = _within(at, sharp, low, high, ended)
        if shapes.near_miss > 0:
            beyond = _within(at, sharp, low + shapes.near_miss, high - shapes.near_miss, ended).clamp_min_(0)
            inside = beyond.lerp_(inside, posterior_settings.SETTINGS.distortion.near_miss_frequency)
        height = exponential(exponent / xx).mul_(xx.mul_(8 * math.pi).rsqrt_()).mul_(inside)
        at = at.clamp_(low, high)
        height[..., :upright, :] *= _rectangular_prior(at[..., :upright, :])
        at[..., upright:ended, :] += math.log(2)  # there y = cot(θ/2) / 2
        height[..., upright:, :] *= _arc_prior(at[..., upright:, :])
        out += _all(height.mul_(share), out)
    return out


def _within(at: Tensor, sharp: Tensor, low: Tensor, high: Tensor, ended: int) -> Tensor:
    """Twice the share of a Gaussian about `at`, σ = 1 / (√2 sharp), above `low`, and below `high` from `ended` on."""
    inside = (low - at).mul_(sharp).erfc_()
    inside[..., ended:, :] -= (high[ended:] - at[..., ended:, :]).mul_(sharp[..., ended:, :]).erfc_()
    return inside


# --- priors -----------------------------------------------------------------------------------------------------------


def _rectangular_prior(s: Tensor) -> Tensor:
    """Density in s = ln b/a."""
    prior = posterior_settings.SETTINGS.prior
    ratio, (even, tail) = prior.rectangular_ratio, prior.rectangular_shares
    edge = math.log(ratio)
    near = even / (ratio - 1) * s.clamp_max(edge).exp()
    return torch.where(s <= edge, near, tail / _TAIL * (-(s - edge).clamp_min(0) / _TAIL).exp())


def _half_angle(degrees: float) -> float:
    """Ln cot(θ/2)."""
    return -math.log(math.tan(math.radians(degrees / 2)))


def _arc_prior(s: Tensor) -> Tensor:
    """Density in s = ln cot(θ/2), θ the angle between the two equal vectors folded to below 90°.

    It is ln y on |τ| = 1 as that is seen from the arc.
    """
    prior = posterior_settings.SETTINGS.prior
    first, folded, last = prior.centred_angles
    within, beyond, below = prior.centred_shares
    even = within / (2 * last - folded - first)
    levels = (beyond / (90 - last), 2 * even, even, below / first)
    density = torch.full_like(s, (levels[0] + levels[-1]) / 2)
    for degrees, before, after in zip((last, folded, first), levels, levels[1:], strict=False):
        density.add_((s - _half_angle(degrees)).sign_(), alpha=(after - before) / 2)  # a mask takes ten times as long
    growing = s.exp()
    # dθ = sin θ ds, sin θ = 1 / cosh s
    return density.mul_(360 / math.pi).mul_(growing).div_(growing.square().add_(1))


def _oblique_prior(x: Tensor, y: Tensor) -> Tensor:
    """Density per hyperbolic area of b/a and γ uniform, at one image."""
    prior = posterior_settings.SETTINGS.prior
    angle, ratio = prior.oblique_angle, prior.oblique_ratio
    even, tail, _ = prior.oblique_shares
    size = x.square() + y.square()
    inside = (size >= 1) & (x * math.tan(math.radians(angle)) <= y) & (x >= 0)
    beyond = (size / ratio**2).clamp_min(1)
    falling = tail / _TAIL * beyond.sqrt().rsqrt() / beyond
    near = torch.where(size <= ratio**2, even / (ratio - 1) * size.sqrt(), falling)
    return (near * (y * y / size)).mul_(1 / math.radians(90 - angle)).mul_(inside)

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

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.classify import posterior_settings
from bravaismap.classify.posterior_settings import Scales
from bravaismap.classify.tiling import Placed, asinh, cayley, distinct_words, images, near_images, places, words_on
from bravaismap.compute.device import SMALLEST_EXPONENT
from bravaismap.lattice.shape import CENTER

__all__ = ["Scatter", "Shapes", "likelihood", "near_miss", "scatters"]

#: Length of the tails in ln b/a; the powers in `_oblique_prior` are those of this one.
_TAIL = 0.4
#: Points and lines of the classes: which images to look at, and how often each of them counts.
_LOCI = {name: distinct_words(point) for name, point in CENTER.items()}
_LOCI |= {name: distinct_words() for name in ("upright", "arc", "tall")}


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
        image = self.placed(tau.real[:, None], tau.imag[:, None], slice(None))
        self.near = {}
        for name, distance in _distances(image).items():
            chosen = _LOCI[name][0].to(own.device)[self.word]
            self.near[name] = torch.nonzero((distance[:, 0] <= reach[self.window] + 1e-6) & chosen).squeeze(1)

    def placed(self, x: Tensor, y: Tensor, rows: Tensor | slice) -> Placed:
        """Return some of the images of shapes x + iy (n, draws), with the errors of the measurement."""
        own, window = self.own.to(x.dtype), self.window[rows]
        scatter = torch.stack([own[:, 0, 0], own[:, 0, 1], own[:, 1, 1]], dim=-1)
        return images(x[window], y[window], scatter[window], words_on(x.device, x.dtype)[self.word[rows]])


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

    def add(lattice: int, name: str, part: Callable[..., Iterator[Tensor]], *options: object) -> None:
        rows, repeated = shapes.near[name], _LOCI[name][1]
        if not len(rows):
            return
        seen, window = shapes.placed(x, y, rows), shapes.window[rows]
        for scatter, value in zip(shapes.scatters, part(seen, shapes, *options), strict=True):
            out[lattice].index_add_(0, window, value, alpha=scatter.share * repeated)

    add(0, "square", _point, CENTER["square"])
    add(1, "upright", _upright)
    add(2, "arc", _arc)
    add(2, "tall", _tall)
    add(3, "hexagonal", _point, CENTER["hexagonal"])
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
    misses = [asinh(slope).abs() for slope in (x / y, (size - 1) / (2 * y), (x - 0.5) / y)]
    own = shapes.own.to(x.dtype).diagonal(dim1=-2, dim2=-1).mean(-1)[:, None]
    usual = [scatter for scatter in shapes.scatters if scatter.factor == shapes.scatters[0].factor]
    beyond, reach = torch.zeros_like(x), shapes.near_miss
    for scatter in usual:
        sharp = (2 * (scatter.factor * own + scatter.bent)).rsqrt()
        share = torch.full_like(x, scatter.share / sum(other.share for other in usual))
        for miss in misses:
            share *= ((reach - miss) * sharp).erfc_().add_(((reach + miss) * sharp).erfc_()).mul_(0.5)
        beyond += share
    rare = posterior_settings.SETTINGS.distortion.near_miss_frequency
    return beyond.mul_(1 - rare).add_(rare)


def _radius(covariance: Tensor) -> Tensor:
    return covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()


def _distances(seen: Placed) -> dict[str, Tensor]:
    """Hyperbolic distance of shapes to the points, and to the lines without regard to their ends."""
    distances = {}
    for name, point in CENTER.items():
        square = (seen.x - point.real).square() + (seen.y - point.imag).square()
        distances[name] = torch.acosh(1 + square / (2 * seen.y * point.imag))
    for name, frame in (("upright", seen), ("arc", cayley(seen)), ("tall", _shifted(seen))):
        distances[name] = asinh(frame.x / frame.y).abs()
    return distances


def _point(seen: Placed, shapes: Shapes, point: complex) -> Iterator[Tensor]:
    scale = (seen.y * point.imag).rsqrt()
    across, along = (seen.x - point.real) * scale, (seen.y - point.imag) * scale
    for scatter in shapes.scatters:
        factor, bent = scatter.factor, scatter.bent
        xx, xy, yy = factor * seen.xx + bent, factor * seen.xy, factor * seen.yy + bent
        determinant = torch.maximum(xx * yy - xy.square(), 1e-6 * xx * yy)
        square = (yy * across.square() - 2 * xy * across * along + xx * along.square()) / determinant
        yield (-0.5 * square).clamp_min_(SMALLEST_EXPONENT).exp_() * determinant.rsqrt() / (2 * math.pi)


def _upright(seen: Placed, shapes: Shapes) -> Iterator[Tensor]:
    return _line(seen, shapes, 0.0, math.inf, _rectangular_prior)


def _arc(seen: Placed, shapes: Shapes) -> Iterator[Tensor]:
    return _line(cayley(seen), shapes, 0.0, math.log(3) / 2, _arc_prior)


def _tall(seen: Placed, shapes: Shapes) -> Iterator[Tensor]:
    return _line(_shifted(seen), shapes, math.log(0.75) / 2, math.inf, _tall_prior)


def _shifted(seen: Placed) -> Placed:
    return Placed(seen.x - 0.5, seen.y, seen.xx, seen.xy, seen.yy)


def _line(seen: Placed, shapes: Shapes, low: float, high: float, prior: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """Likelihood of the lattices on the imaginary axis, exp(low) ≤ y ≤ exp(high), with a prior density in ln y."""
    size = seen.x.square() + seen.y.square()
    inverse = size.rsqrt()
    across, along = asinh(seen.x / seen.y), 0.5 * size.log()
    turned = seen.seen_in(seen.x, seen.y, seen.y * inverse, seen.x * inverse)  # the axis is the second direction
    exponent = across.square().mul_(-0.5)
    for scatter in shapes.scatters:
        factor, bent = scatter.factor, scatter.bent
        xx, xy = (factor * turned.xx).add_(bent), factor * turned.xy
        lean = xy / xx
        at = torch.addcmul(along, lean, across, value=-1)
        sharp = (factor * turned.yy).add_(bent).addcmul_(lean, xy, value=-1).clamp_min_(1e-14).mul_(2).rsqrt_()
        inside = _within(at, sharp, low, high)
        if shapes.near_miss > 0:
            beyond = _within(at, sharp, low + shapes.near_miss, high - shapes.near_miss).clamp_min_(0)
            inside = beyond.lerp_(inside, posterior_settings.SETTINGS.distortion.near_miss_frequency)
        height = (exponent / xx).clamp_min_(SMALLEST_EXPONENT).exp_().mul_(xx.mul_(8 * math.pi).rsqrt_())
        yield height.mul_(inside).mul_(prior(at.clamp_(low, high)))


def _within(at: Tensor, sharp: Tensor, low: float, high: float) -> Tensor:
    """Twice the share of a Gaussian about `at`, of σ = 1 / (√2 sharp), that lies between two ends."""
    inside = (low - at).mul_(sharp).erfc_()
    if high < math.inf:
        inside -= (high - at).mul_(sharp).erfc_()
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
    """Density in s = ln cot(θ/2), θ the angle between the two equal vectors folded to below 90°, on |τ| = 1."""
    prior = posterior_settings.SETTINGS.prior
    first, folded, last = prior.centred_angles
    within, beyond, below = prior.centred_shares
    small, middle, large = (_half_angle(degrees) for degrees in prior.centred_angles)
    density = torch.where(s > middle, within, torch.where(s > large, 2 * within, 0.0)) / (2 * last - folded - first)
    density = torch.where(s > large, density, beyond / (90 - last))
    density = torch.where(s > small, below / first, density)
    return density * (180 / math.pi) / torch.cosh(s)  # dθ = sin θ ds, sin θ = 1 / cosh s


def _tall_prior(s: Tensor) -> Tensor:
    """Density in s = ln y on Re τ = 1/2, y = cot(θ/2) / 2."""
    return _arc_prior(s + math.log(2))


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
    return torch.where(inside, near * (y * y / size) * (1 / math.radians(90 - angle)), 0.0)

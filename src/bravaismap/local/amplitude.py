"""Amplitude: how much of the pattern that a lattice predicts is there, pixel by pixel, with its error.

The image near a pixel is fitted by a constant and an amplitude s times the pattern, in a Gaussian of a third to half a
cell: s is 1 in the crystal and 0 where there is none. The constant takes up whatever background there is. What the
pattern leaves over is the noise: its variance as a function of the brightness, and how far it is correlated, come from
the frame itself.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import sorted_values
from bravaismap.compute.together import Length, number
from bravaismap.local.smoothing import smoothed

__all__ = [
    "LocalFit",
    "Noise",
    "amplitude_std",
    "displaced_variance",
    "fit_amplitude",
    "frame_noise",
    "row_offsets",
]

#: Bins of brightness, of equal numbers of pixels, in which the variance of the noise is read.
_BRIGHTNESS_BINS = 24
#: Steps of brightness of which each is in one of these bins.
_STEPS = 4096
#: Pixels that are sorted to find the edges of the bins, about.
_SORTED = 20_000
#: Variance at the darkest level over the mean variance, at least.
_DARKEST = 0.05
_RINGS = 48
#: Smallest contrast of the pattern near a pixel, as a fraction of its mean, that an amplitude is divided by.
_LEAST_CONTRAST = 0.02
#: Standard deviation, in cells, of the displacement of single atoms from their sites: at an edge a tenth of the lattice
#: parameter, which is more than anywhere inside.
_DISPLACEMENT = 0.1


@dataclass(frozen=True)
class LocalFit:
    """Moments of an image and of patterns in a Gaussian around every point of a grid.

    Attributes
    ----------
    energy : tensor, shape (rows, columns)
        Variance of the image there.
    product : tensor, shape (lattices, rows, columns)
        Covariance of the image and each pattern.
    contrast : tensor, shape (lattices, rows, columns)
        Variance of each pattern.
    level : tensor, shape (rows, columns)
        Mean of the image.
    pattern : tensor, shape (lattices, rows, columns)
        Mean of each pattern.
    seen : tensor, shape (rows, columns)
        Share of the Gaussian that lies on valid pixels.
    sigma : float or Length
        Standard deviation of the Gaussian in px.
    step : int
        Pitch of the grid in px.
    """

    energy: Tensor
    product: Tensor
    contrast: Tensor
    level: Tensor
    pattern: Tensor
    seen: Tensor
    sigma: float | Length
    step: int

    @property
    def amplitude(self) -> Tensor:
        """Amplitude of each pattern, (lattices, rows, columns)."""
        least = _LEAST_CONTRAST * self.contrast.mean((-2, -1), keepdim=True)
        return self.product / torch.maximum(self.contrast, least).clamp_min(1e-30)

    def scaled(self, factor: Tensor) -> LocalFit:
        """Return the fit of patterns that are `factor`, (lattices, 1, 1), times as high."""
        return replace(
            self, product=factor * self.product, contrast=factor**2 * self.contrast, pattern=factor * self.pattern
        )

    def residual(self, level: float | Tensor) -> Tensor:
        """Return the variance that is left if each pattern has the amplitude `level`, (lattices, rows, columns)."""
        return (self.energy - 2 * level * self.product + level**2 * self.contrast).clamp_min(0)


@dataclass(frozen=True)
class Noise:
    """Noise of a frame: ``variance = floor + slope × brightness`` of a pixel, and how far it is correlated.

    Attributes
    ----------
    floor, slope : float, or tensor of shape ()
        In the unit of the image squared, and in that unit.
    correlation : float, or tensor of shape ()
        Spectral density of the noise at the nodes over its mean: 1 if it is white.
    """

    floor: float | Tensor
    slope: float | Tensor
    correlation: float | Tensor

    def variance(self, brightness: Tensor) -> Tensor:
        """Return the variance of pixels of the expected `brightness`."""
        return (self.floor + self.slope * brightness).clamp_min(1e-30)


def fit_amplitude(image: Tensor, patterns: Tensor, valid: Tensor, sigma: float | Length, step: int) -> LocalFit:
    """Fit the amplitude of patterns in a Gaussian around every point of a grid.

    Parameters
    ----------
    image : tensor, shape (y, x)
    patterns : tensor, shape (lattices, y, x)
        What each lattice predicts, of mean 0 over a cell.
    valid : tensor, shape (y, x)
        1 for pixels that count, 0 for masked ones.
    sigma : float or Length
        Standard deviation of the Gaussian in px.
    step : int
        Pitch of the grid in px; its points are pixels 0, step, …

    Returns
    -------
    LocalFit
    """
    count = len(patterns)
    seen_image, seen_patterns = image * valid, patterns * valid
    of_image = torch.stack([seen_image, seen_image * image])
    planes = torch.cat([of_image, seen_patterns, seen_patterns * image, seen_patterns * patterns])
    rows, columns = -(-image.shape[0] // step), -(-image.shape[1] // step)
    seen = smoothed(valid, sigma, step)[:rows, :columns]
    means = smoothed(planes, sigma, step)[:, :rows, :columns] / seen.clamp_min(1e-6)
    centre, square = means[0], means[1]
    pattern, product, power = means[2 : 2 + count], means[2 + count : 2 + 2 * count], means[2 + 2 * count :]
    return LocalFit(
        (square - centre**2).clamp_min(0),
        product - centre * pattern,
        (power - pattern**2).clamp_min(0),
        centre,
        pattern,
        seen.clamp(0.0, 1.0),
        sigma,
        step,
    )


def frame_noise(
    residual: Tensor, brightness: Tensor, weight: Tensor, radius: tuple[float | Tensor, float | Tensor]
) -> Noise:
    """Estimate the noise of a frame from what its patterns leave over.

    Parameters
    ----------
    residual : tensor, shape (y, x)
        Image less background and patterns.
    brightness : tensor, shape (y, x)
        Background plus patterns, in the unit of the image from its zero of counts.
    weight : tensor, shape (y, x)
        How much each pixel counts, 0 to 1: what is neither crystal nor empty is no noise.
    radius : tuple of float or tensor
        Lowest and highest frequency of the nodes that count, in cycles per px.

    Returns
    -------
    Noise
    """
    counts, values = weight.flatten(), brightness.flatten()
    places = torch.arange(_BRIGHTNESS_BINS, device=values.device)
    every = max(1, len(values) // _SORTED)
    weighed = counts[::every] > 0
    spaced = sorted_values(torch.where(weighed, values[::every], torch.inf))
    edges = spaced[places[1:] * weighed.sum() // _BRIGHTNESS_BINS]
    # of each of many narrow steps of brightness in which bin it is: far faster than to ask that of each pixel
    lowest, highest = values.amin(), values.amax()
    steps = torch.linspace(0, 1, _STEPS, device=values.device, dtype=values.dtype)
    table = torch.bucketize(lowest + (highest - lowest) * steps, edges)
    step = ((values - lowest) * ((_STEPS - 1) / (highest - lowest).clamp_min(1e-30))).int()
    bins = table.index_select(0, step.clamp(0, _STEPS - 1))
    terms = torch.stack([counts, counts * values, counts * residual.flatten() ** 2]).double()
    count, level, spread = terms.new_zeros((3, _BRIGHTNESS_BINS)).index_add(1, bins, terms)
    floor, slope = _line(level / count.clamp_min(1e-30), spread / count.clamp_min(1e-30), count)
    return Noise(floor.to(residual), slope.to(residual), _correlation(residual, weight, radius))


def _line(level: Tensor, spread: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """The line through variances that is positive at all levels."""
    total = count.sum().clamp_min(1e-30)
    middle, mean = (count * level).sum() / total, (count * spread).sum() / total
    scatter = (count * (level - middle) ** 2).sum()
    slope = (count * (level - middle) * (spread - mean)).sum() / scatter.clamp_min(1e-300)
    lowest = torch.where(count > 0, level, torch.inf).amin()
    most = (1 - _DARKEST) * mean / (middle - lowest).clamp_min(1e-30)
    slope = torch.minimum(slope.clamp_min(0.0), most)
    slope = torch.where(scatter <= 1e-12 * total * (level.abs() * (count > 0)).amax() ** 2, 0.0, slope)
    return mean - slope * middle, slope


def _correlation(residual: Tensor, weight: Tensor, radius: tuple[float | Tensor, float | Tensor]) -> Tensor:
    """Mean spectral density within a ring over the mean density, each ring of frequencies by its median."""
    spectrum = torch.fft.rfft2(residual * weight)
    power = spectrum.real**2 + spectrum.imag**2
    ring, count = _rings(*residual.shape, residual.device)
    total = count.new_zeros(_RINGS + 1).index_add(0, ring, power.flatten().double())[:_RINGS]
    density = torch.where(count > 0, total / count.clamp_min(1.0), power.mean()).to(power.dtype)
    middle = (torch.arange(_RINGS, device=residual.device) + 0.5) * 0.5 / _RINGS
    inside = (middle >= radius[0]) & (middle <= radius[1])
    apart = (middle - radius[0]).abs()
    inside = torch.where(inside.any(), inside, apart == apart.min())
    mean = (density * inside).sum() / inside.sum()
    relative: Tensor = mean / power[:, 1:].mean().clamp_min(1e-30)
    return relative.clamp(0.2, 100.0)


@functools.lru_cache(maxsize=2)
def _rings(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ring of each frequency of a spectrum, (frequencies,), and how many are in each, (rings,)."""
    down, right = torch.fft.fftfreq(rows, device=device), torch.fft.rfftfreq(columns, device=device)
    distance = torch.hypot(down[:, None], right)
    ring = (distance / 0.5 * _RINGS).long().clamp_max(_RINGS).flatten()
    return ring, torch.bincount(ring, minlength=_RINGS + 1)[:_RINGS].double()


def amplitude_std(
    fit: LocalFit, patterns: Tensor, valid: Tensor, variance: Tensor, correlation: float | Tensor
) -> Tensor:
    """Return the standard deviation of each amplitude of a fit, (lattices, rows, columns).

    Parameters
    ----------
    fit : LocalFit
    patterns, valid : tensors
        As for :func:`fit_amplitude`.
    variance : tensor, shape (y, x)
        Of the noise of each pixel.
    correlation : float or tensor
        As in :class:`Noise`.

    Notes
    -----
    ``s = Σ w (P − P̄) I / Σ w (P − P̄)²`` is linear in the image: ``var s = c Σ w² (P − P̄)² v / (Σ w (P − P̄)²)²``, with
    v the variance of a pixel and c the correlation.
    """
    rows, columns = fit.energy.shape
    once = valid * variance * patterns
    planes = torch.cat([(valid * variance)[None], once, once * patterns])
    means = smoothed(planes, fit.sigma / 2**0.5, fit.step)[:, :rows, :columns]
    count = len(patterns)
    plain, once, twice = means[:1], means[1 : 1 + count], means[1 + count :]
    spread = (twice - 2 * fit.pattern * once + fit.pattern**2 * plain).clamp_min(0) / (
        4 * torch.pi * number(fit.sigma) ** 2
    )
    least = _LEAST_CONTRAST * fit.contrast.mean((-2, -1), keepdim=True)
    contrast = torch.maximum(fit.contrast, least).clamp_min(1e-30)
    return (correlation * spread).sqrt() / (contrast * fit.seen.clamp_min(1e-6))


def displaced_variance(
    image: Tensor, patterns: Tensor, valid: Tensor, fit: LocalFit, loose: Tensor, cell: float | Length
) -> Tensor:
    """Return how much of what a pattern leaves over is that atoms lie beside their sites, (lattices, rows, columns).

    Parameters
    ----------
    image, patterns, valid : tensors
        As for :func:`fit_amplitude`.
    fit : LocalFit
        Of that image and those patterns.
    loose : tensor, shape (rows, columns)
        Variance of the noise over the number of its independent values in the Gaussian of the fit.
    cell : float or Length
        Side of a cell in px.

    Notes
    -----
    An atom that is displaced by d shows P − d·∇P. With q the covariance of what is left and the slopes, G that of the
    slopes and d of standard deviation D, ``qᵀ (G + loose / D²)⁻¹ q`` of the variance is explained by the best d.
    """
    rows, columns = fit.energy.shape
    seen, stiff = fit.seen.clamp_min(1e-6), loose / (_DISPLACEMENT * number(cell)) ** 2
    explained = []
    for pattern, centre in zip(patterns, fit.pattern, strict=True):  # one after another, for the memory
        left = image - pattern
        down, right = (_slope(pattern, axis) for axis in (0, 1))
        once = down * valid, right * valid
        twice = left * once[0], left * once[1], down * once[0], right * once[1], down * once[1]
        planes = torch.stack([*once, *twice])
        down, right, *products = (smoothed(planes, fit.sigma, fit.step)[:, :rows, :columns] / seen).unbind()
        left = fit.level - centre
        along, across = products[0] - left * down, products[1] - left * right
        first, second = products[2] - down**2 + stiff, products[3] - right**2 + stiff
        mixed = products[4] - down * right
        change = second * along**2 - 2 * mixed * along * across + first * across**2
        explained.append((change / (first * second - mixed**2).clamp_min(1e-30)).clamp_min(0))
    return torch.stack(explained)


def _slope(plane: Tensor, axis: int) -> Tensor:
    """Change of a plane from pixel to pixel along an axis: between both neighbours, at an edge to the one there is.

    `torch.gradient` gives the same in four times the time.
    """
    change = plane.diff(dim=axis)
    last = change.shape[axis] - 1
    between = 0.5 * (plane.narrow(axis, 2, last) - plane.narrow(axis, 0, last))
    return torch.cat([change.narrow(axis, 0, 1), between, change.narrow(axis, last, 1)], axis)


def row_offsets(residual: Tensor, valid: Tensor, variance: Tensor) -> Tensor:
    """Return the offset of each row of a scan, (y, 1), shrunk towards 0 by how much of it is chance.

    Parameters
    ----------
    residual : tensor, shape (y, x)
        Image less background and patterns.
    valid : tensor, shape (y, x)
    variance : tensor, shape (y, x)
        Of the noise of each pixel.
    """
    count = valid.sum(1, keepdim=True).clamp_min(1.0)
    mean = (residual * valid).sum(1, keepdim=True) / count
    chance = (variance * valid).sum(1, keepdim=True) / count**2
    real = (1 - chance.mean() / mean.square().mean().clamp_min(1e-30)).clamp_min(0)
    return mean * real

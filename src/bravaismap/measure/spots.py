"""Diffraction spots: the local maxima of a window's power spectrum above its local background, to sub-pixel precision.

Two views of a window serve the search: the *plain* one, only tapered, which loses no precision, and the *flat* one, of
which slow background, line means and uneven contrast are removed, which sees a lattice under contamination, terraces,
vacuum or line noise. Positions are counted in *bins*, cycles per window along (y, x): a lattice in cycles per pixel is
a lattice in bins too, whatever the shape of the window.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.compute.order_statistics import lower_median
from bravaismap.measure import settings
from bravaismap.measure.splines import spline_matrix

__all__ = [
    "Spectrum",
    "Spots",
    "averaged_power",
    "background",
    "clipped",
    "excess",
    "find_spots",
    "flatten",
    "significance",
    "standardize",
    "whitened_power",
    "without_background",
]

#: Of so many pixels along each axis one is used for the median of an image.
_SAMPLED: Final = 3
#: Shapes of images for which what depends on the shape alone is kept.
_SHAPES: Final = 16


@dataclass(frozen=True)
class Spectrum:
    """Power spectra over the half plane k_x ≥ 0, in units of the local background.

    Attributes
    ----------
    power : tensor, shape (n, rows, columns)
        Row r is k_y = r − rows // 2, column c is k_x = c − 1, in bins; column 0 repeats the mirror
        image of column 2.
    level : tensor, shape (n, rows, columns)
        The local background.
    """

    power: Tensor
    level: Tensor

    def take(self, rows: Tensor) -> Spectrum:
        """The spectra of some of the windows."""
        return Spectrum(self.power[rows], self.level[rows])


@dataclass(frozen=True)
class Spots:
    """The strongest spots of each window, strongest first.

    Attributes
    ----------
    position : tensor, shape (n, count, 2)
        (k_y, k_x) in bins, in the half plane k_x ≥ 0.
    weight : tensor, shape (n, count)
        Log likelihood ratio against noise; 0 where fewer spots were found.
    error : float
        Standard uncertainty of each coordinate, in bins.
    """

    position: Tensor
    weight: Tensor
    error: float

    def take(self, rows: Tensor) -> Spots:
        """The spots of some of the windows."""
        return Spots(self.position[rows], self.weight[rows], self.error)


def standardize(images: Tensor) -> Tensor:
    """Return the images in float32 with mean 0 and standard deviation 1 (a constant image stays 0)."""
    images = images.to(torch.float32)
    images = images - images.mean(dim=(-2, -1), keepdim=True)
    spread = torch.linalg.vector_norm(images, dim=(-2, -1), keepdim=True) / math.sqrt(
        images.shape[-1] * images.shape[-2]
    )
    return images.div_(spread.clamp_min(1e-12))


def background(images: Tensor, cells: int) -> Tensor:
    """Return the slow background of standardised images: what varies over more than about 1 / `cells` of the window."""
    coarse, up, out = _coarse(images, cells)
    return up @ (coarse @ out.T)


def without_background(images: Tensor, cells: int) -> Tensor:
    """Return images (n, y, x) less their :func:`background`."""
    coarse, up, out = _coarse(images, cells)
    return torch.baddbmm(images, up.expand(len(images), -1, -1), coarse @ out.T, alpha=-1)


def _coarse(images: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """The background at the cells, and the matrices that take it to the lines and columns of the images."""
    (down, up), (across, out) = (_means(side, min(cells, side), images.device) for side in images.shape[-2:])
    return (down @ images) @ across.T, up, out


@functools.cache
def _means(side: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices from a line to the means over its cells and their neighbours, (cells, side), and back, (side, cells)."""
    edges, pixel = torch.arange(cells + 1, device=device)[:, None] * (side / cells), torch.arange(side, device=device)
    # a pixel that an edge cuts belongs to either cell in part: whole pixels would leave the centres unevenly spread
    shares = (torch.minimum(edges[1:], pixel + 1) - torch.maximum(edges[:-1], pixel)).clamp_min(0) * (cells / side)
    means = F.avg_pool1d(F.pad(shares.T[None], (1, 1), mode="replicate"), 3, stride=1)[0].T
    return means.contiguous(), spline_matrix((pixel + 0.5) * (cells / side) - 0.5, cells)


@functools.cache
def _stretch(count: int, size: int, device: torch.device) -> Tensor:
    """Matrix (size, count) of the linear interpolation of evenly spread values."""
    line = torch.eye(count, device=device)[None]
    return F.interpolate(line, size, mode="linear", align_corners=False)[0].T.contiguous()


def flatten(images: Tensor) -> Tensor:
    """Return the images without slow background, with even contrast and without line means.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised.
    """
    limits = settings.SETTINGS.spots
    out = without_background(images, limits.background_cells)
    spread = background(out.square(), limits.background_cells).clamp_min_(0).sqrt_()
    floor = limits.contrast_floor * spread.mean(dim=(-2, -1), keepdim=True) + 1e-6
    out.div_(spread.add_(floor)).clamp_(-limits.contrast_limit, limits.contrast_limit)
    return out.sub_(out.mean(dim=-1, keepdim=True))


def clipped(images: Tensor, deviations: float) -> Tensor:
    """Return images whose values are bounded to so many standard deviations about the median of each.

    The standard deviation is that of a normal distribution with the same median absolute deviation, so that outliers
    have no part in it.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Without slow background.
    deviations : float
    """
    every = images[:, ::_SAMPLED, ::_SAMPLED].flatten(1)
    middle = lower_median(every)[:, None, None]
    spread = lower_median((every - middle[:, 0]).abs())[:, None, None]
    reach = deviations * 1.4826 * spread  # 1 / Φ⁻¹(3/4)
    return torch.minimum(torch.maximum(images, middle - reach), middle + reach)


def whitened_power(images: Tensor) -> Spectrum:
    """Return the power spectra of Hann-tapered images divided by their local background.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    """
    half = _transformed(images)
    return _whitened(half.real.square().addcmul_(half.imag, half.imag))


def averaged_power(tiles: Tensor) -> Spectrum:
    """Return the mean power spectra of Hann-tapered tiles divided by their local background.

    Parameters
    ----------
    tiles : tensor, shape (n, tiles, y, x)
        The mean is over the tiles of each image.
    """
    half = _transformed(tiles.flatten(0, 1))
    every = torch.view_as_real(half).square_()
    return _whitened(every.reshape(*tiles.shape[:2], *every.shape[1:]).mean(1).sum(-1))


def _transformed(images: Tensor) -> Tensor:
    """Fourier sums of Hann-tapered images, whose tapered mean is 0, (n, rows, columns // 2 + 1)."""
    rows, columns = images.shape[-2:]
    taper, share = _hann(rows, columns, images.device)
    tapered = images * taper
    tapered.addcmul_(tapered.sum((-2, -1), keepdim=True), share, value=-1)
    half: Tensor = torch.fft.rfft2(tapered)
    return half


@functools.lru_cache(maxsize=_SHAPES)
def _hann(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The Hann taper of an image, (rows, columns), and the same over its sum."""
    taper_y, taper_x = (torch.hann_window(side, periodic=False, device=device) for side in (rows, columns))
    taper = taper_y[:, None] * taper_x
    return taper, taper / taper.sum()


def _whitened(power: Tensor) -> Spectrum:
    """The spectrum of the power of Fourier sums: rows odd in number, the centre exact, over its local background."""
    n, rows, columns = power.shape
    middle = (rows - 1) // 2
    power[:, 0, 0] = power[:, 1, 0]  # the centre was made 0 by taking the mean away
    out = power.new_empty(n, 2 * middle + 1, columns + 1)
    out[:, :middle, 1:] = power[:, rows - middle :]
    out[:, middle:, 1:] = power[:, : middle + 1]
    out[:, :, 0] = out[:, :, 2].flip(-1)
    level = _local_level(out)
    return Spectrum(out.div_(level), level)


def significance(ratio: Tensor) -> Tensor:
    """Return the log likelihood ratio of a power `ratio` to the background against noise (0 below the background)."""
    ratio = ratio.clamp_min(1.0)
    return ratio - 1 - ratio.log()


@functools.cache
def _power_of(evidence: float) -> float:
    """Power over the background of which the :func:`significance` is this."""
    power = 1 + evidence
    for _ in range(60):
        power = 1 + evidence + math.log(power)
    return power


def find_spots(
    spectrum: Spectrum, brightest: bool = True, count: int | None = None, lowest: float | None = None
) -> Spots:
    """Return the strongest local maxima of each spectrum.

    Parameters
    ----------
    spectrum : Spectrum
    brightest : bool
        Whether the spots of most power are taken, of those that stand out; else those that stand out most, which may
        be faint ones in a quiet part of the spectrum.
    count : int, optional
        Most spots to return for each window, if not as many as the search asks for.
    lowest : float, optional
        Smallest distance from the centre, in bins, if not that of the search.
    """
    limits, power = settings.SETTINGS.spots, spectrum.power
    lowest = limits.smallest_distance if lowest is None else lowest
    _, rows, columns = power.shape
    chance = math.log(rows * columns / 9)
    peaks = _peaks(power, lowest)
    if brightest:
        # those that are clear before all others
        clear = (peaks > _power_of(chance)).to(peaks.dtype)
        peaks = peaks * (spectrum.level[:, 1:-1, 1:-1] * 1e6 - 1).mul_(clear).add_(1)
    wanted, peaks = min(count or limits.count, rows * columns), peaks.flatten(1)
    if wanted > peaks.shape[1]:  # the rim holds none
        peaks = F.pad(peaks, (0, wanted - peaks.shape[1]))
    height, where = peaks.topk(wanted, dim=1)
    row, column = where // (columns - 2) + 1, where % (columns - 2) + 1
    flat, where = power.flatten(1), row * columns + column
    offset, top = _vertex(flat, where, columns)
    position = torch.stack([row - rows // 2, column - 1], dim=-1) + offset
    weight = significance(top)
    weight = torch.where((height > 0) & (weight > chance - limits.chance_margin), weight, weight.new_zeros(()))
    return Spots(position, weight, limits.error)


def _peaks(power: Tensor, lowest: float) -> Tensor:
    """The power where it is no less than that of its neighbours, else 0; without the rim of the spectrum."""
    across = torch.maximum(power[:, :, :-2], power[:, :, 2:])
    torch.maximum(across, power[:, :, 1:-1], out=across)
    highest = torch.maximum(across[:, :-2], across[:, 2:])
    torch.maximum(highest, across[:, 1:-1], out=highest)
    inner = power[:, 1:-1, 1:-1]
    allowed = _allowed(*power.shape[1:], lowest, power.device)
    return inner * (inner >= highest).logical_and_(allowed)


def excess(spots: Spots, spectrum: Spectrum) -> Tensor:
    """Return the evidence of each spot above that of the highest maximum of noise, (n, spots)."""
    rows, columns = spectrum.power.shape[1:]
    return (spots.weight - math.log(rows * columns / 9)).clamp_min(0)


@functools.cache
def _allowed(rows: int, columns: int, lowest: float, device: torch.device) -> Tensor:
    """Where spots are sought: one of each pair of bins, so far from the centre; without the rim of a spectrum."""
    k_y, k_x = torch.arange(1, rows - 1, device=device)[:, None] - rows // 2, torch.arange(columns - 2, device=device)
    return (k_y.square() + k_x.square() >= lowest**2) & ~((k_x == 0) & (k_y < 0))


def _vertex(flat: Tensor, where: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Offsets of the vertex of the parabola through the logs of maxima and their neighbours, and the maxima.

    The offsets along (y, x), (n, count, 2), are of half a bin at most.
    """
    around = where[..., None] + torch.tensor([-columns, -1, 0, columns, 1], device=where.device)
    values = flat.gather(1, around.clamp_(0, flat.shape[1] - 1).flatten(1)).reshape(around.shape)
    logs = values.clamp_min(1e-6).log()
    before, middle, after = logs[..., :2], logs[..., 2:3], logs[..., 3:]
    curvature = (2 * middle - before - after).clamp_min(1e-3)
    return (0.5 * (after - before) / curvature).clamp(-0.5, 0.5), values[..., 2]


def _local_level(power: Tensor) -> Tensor:
    """Local background of each spectrum, from the mean of power^(−1/2) over blocks, interpolated in the logarithm.

    Noise of mean power P has E[power^(−1/2)] = √(π / P); a spot adds next to nothing to that mean.
    """
    down, across, stretch_y, stretch_x = _blocks(*power.shape[1:], settings.SETTINGS.spots.block_side, power.device)
    lowest = power.mean(dim=(1, 2), keepdim=True).mul_(1e-7).add_(1e-30)
    blocks = down @ F.linear(torch.maximum(power, lowest).rsqrt_(), across)
    level = (math.pi / blocks.square()).log2_()
    return (stretch_y @ (level @ stretch_x.T)).exp2_()


@functools.cache
def _blocks(rows: int, columns: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Matrices to means over blocks along k_y and k_x, (blocks, bins), and back from blocks to bins, (bins, blocks).

    The last blocks go beyond the rim, whose values are repeated there.
    """
    means, stretches = [], []
    for bins, count in ((rows, max(rows // side, 1)), (columns, max((columns - 1) // side, 1))):
        length = -(-bins // count)
        place = torch.arange(count * length, device=device)
        mean = torch.zeros(count, bins, device=device)
        mean.index_put_((place // length, place.clamp_max(bins - 1)), mean.new_tensor(1 / length), accumulate=True)
        means.append(mean)
        stretches.append(_stretch(count, count * length, device)[:bins])
    return means[0], means[1], stretches[0], stretches[1]

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

from bravaismap.measure import settings

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
    return down @ (images @ across.T), up, out


@functools.cache
def _means(side: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices from a line to the means over its cells and their neighbours, (cells, side), and back, (side, cells)."""
    means = F.adaptive_avg_pool1d(torch.eye(side, device=device)[None], cells)
    means = F.avg_pool1d(F.pad(means, (1, 1), mode="replicate"), 3, stride=1)[0].T
    return means, _stretch(cells, side, device)


@functools.cache
def _stretch(count: int, size: int, device: torch.device) -> Tensor:
    """Matrix (size, count) of the linear interpolation of evenly spread values."""
    line = torch.eye(count, device=device)[None]
    return F.interpolate(line, size, mode="linear", align_corners=False)[0].T


def flatten(images: Tensor) -> Tensor:
    """Return the images without slow background, with even contrast and without line means.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised.
    """
    limits = settings.SETTINGS.spots
    out = without_background(images, limits.background_cells)
    spread = background(out.square(), limits.background_cells).clamp_min(0).sqrt()
    floor = limits.contrast_floor * spread.mean(dim=(-2, -1), keepdim=True) + 1e-6
    out = out / (spread + floor)
    out = out.clamp(-limits.contrast_limit, limits.contrast_limit)
    return out - out.mean(dim=-1, keepdim=True)


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
    middle = every.median(1).values[:, None, None]
    spread = (every - middle[:, 0]).abs().median(1).values[:, None, None]
    reach = deviations * 1.4826 * spread  # 1 / Φ⁻¹(3/4)
    return torch.minimum(torch.maximum(images, middle - reach), middle + reach)


def whitened_power(images: Tensor) -> Spectrum:
    """Return the power spectra of Hann-tapered images divided by their local background.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    """
    power = _power(images)
    level = _local_level(power)
    return Spectrum(power.div_(level), level)


def averaged_power(tiles: Tensor) -> Spectrum:
    """Return the mean power spectra of Hann-tapered tiles divided by their local background.

    Parameters
    ----------
    tiles : tensor, shape (n, tiles, y, x)
        The mean is over the tiles of each image.
    """
    every = _power(tiles.flatten(0, 1))
    power = every.reshape(*tiles.shape[:2], *every.shape[1:]).mean(1)
    level = _local_level(power)
    return Spectrum(power.div_(level), level)


def _power(images: Tensor) -> Tensor:
    """Power spectra of Hann-tapered images, whose tapered mean is 0, in the order of a `Spectrum`."""
    rows, columns = images.shape[-2:]
    taper, share = _hann(rows, columns, images.device)
    tapered = images * taper
    tapered.addcmul_(tapered.sum((-2, -1), keepdim=True), share, value=-1)
    return _centred(torch.fft.rfft2(tapered))


@functools.lru_cache(maxsize=_SHAPES)
def _hann(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The Hann taper of an image, (rows, columns), and the same over its sum."""
    taper_y, taper_x = (torch.hann_window(side, periodic=False, device=device) for side in (rows, columns))
    taper = taper_y[:, None] * taper_x
    return taper, taper / taper.sum()


def _centred(half: Tensor) -> Tensor:
    """Power of Fourier sums (n, rows, columns) in the order of a `Spectrum`: rows odd in number, the centre exact."""
    n, rows, columns = half.shape
    middle = (rows - 1) // 2
    power = half.real.square().addcmul_(half.imag, half.imag)
    power[:, 0, 0] = power[:, 1, 0]  # the centre was made 0 by taking the mean away
    out = power.new_empty(n, 2 * middle + 1, columns + 1)
    out[:, :middle, 1:] = power[:, rows - middle :]
    out[:, middle:, 1:] = power[:, : middle + 1]
    out[:, :, 0] = out[:, :, 2].flip(-1)
    return out


def significance(ratio: Tensor) -> Tensor:
    """Return the log likelihood ratio of a power `ratio` to the background against noise (0 below the background)."""
    ratio = ratio.clamp_min(1.0)
    return ratio - 1 - ratio.log()


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
    middle = rows // 2
    allowed = _allowed(rows, columns, lowest, power.device)
    peaks = torch.where(allowed & _local_maximum(power), power, power.new_zeros(()))
    chance = math.log(rows * columns / 9)
    if brightest:
        clear = significance(peaks) > chance
        peaks = torch.where(clear, peaks * spectrum.level * 1e6, peaks)  # before all that are not clear
    height, where = peaks.flatten(1).topk(min(count or limits.count, rows * columns), dim=1)
    flat = power.flatten(1)
    row, column = where // columns, where % columns
    offset, top = _vertex(flat, where, columns)
    position = torch.stack([row - middle, column - 1], dim=-1) + offset
    weight = significance(top)
    weight = torch.where((height > 0) & (weight > chance - limits.chance_margin), weight, weight.new_zeros(()))
    return Spots(position, weight, limits.error)


def excess(spots: Spots, spectrum: Spectrum) -> Tensor:
    """Return the evidence of each spot above that of the highest maximum of noise, (n, spots)."""
    rows, columns = spectrum.power.shape[1:]
    return (spots.weight - math.log(rows * columns / 9)).clamp_min(0)


@functools.cache
def _allowed(rows: int, columns: int, lowest: float, device: torch.device) -> Tensor:
    """Where spots are sought: one of each pair of bins, so far from the centre, and not on the rim."""
    k_y, k_x = torch.arange(rows, device=device)[:, None] - rows // 2, torch.arange(columns, device=device) - 1
    allowed = (k_y.square() + k_x.square() >= lowest**2) & (k_x >= 0) & ~((k_x == 0) & (k_y < 0))
    allowed[0], allowed[-1], allowed[:, -1] = False, False, False
    return allowed


def _local_maximum(power: Tensor) -> Tensor:
    """Where the power is no less than that of its eight neighbours (never on the rim)."""
    across = torch.maximum(power[:, :, :-2], power[:, :, 2:]).maximum(power[:, :, 1:-1])
    highest = torch.maximum(across[:, :-2], across[:, 2:]).maximum(across[:, 1:-1])
    return F.pad(power[:, 1:-1, 1:-1] >= highest, (1, 1, 1, 1))


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
    n, rows, columns = power.shape
    side = settings.SETTINGS.spots.block_side
    down, across = max(rows // side, 1), max((columns - 1) // side, 1)
    height, width = -(-rows // down), -(-columns // across)
    padded = F.pad(power[:, None], (0, across * width - columns, 0, down * height - rows), mode="replicate")[:, 0]
    lowest = 1e-7 * power.mean(dim=(1, 2), keepdim=True) + 1e-30
    blocks = torch.maximum(padded, lowest).rsqrt_().reshape(n, down, height, across, width).mean(dim=(2, 4))
    level = math.pi / blocks.square()
    stretch_y = _stretch(down, down * height, power.device)[:rows]
    stretch_x = _stretch(across, across * width, power.device)[:columns]
    return (stretch_y @ level.log() @ stretch_x.T).exp_()

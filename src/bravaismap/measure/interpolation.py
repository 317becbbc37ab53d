"""Interpolation: scans that were shown larger than they were measured, with values interpolated between their pixels.

Interpolated noise is smoother between the pixels that it was made of than at these, which repeats in two directions as
a lattice does. Along each axis the mean square of the second difference has the period of the pixels then (Gallagher,
2nd Canadian Conference on Computer and Robot Vision, 65 (2005)), and so have rows of atoms. What tells them apart
is that a scan holds no frequencies beyond the Nyquist frequency of its own pixels: those of the enlarged image follow
from its pixels by one of the usual kernels, which for a crystal explain next to nothing there. What the scan shows in
its own pixels says whether there is a lattice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.ndimage import map_coordinates

from bravaismap.conventions import Floats
from bravaismap.measure import settings

__all__ = ["Scan", "own_pixels"]

#: Frequencies at which the period of the pixels is looked for: those of a line of so many px.
_LINE: Final = 4096
#: Nyquist frequency of the pixels, in cycles per pixel, and what the taper spreads it by.
_EDGE: Final = 0.525
#: Places of pixels beyond the edges of an image whose kernels reach into it.
_BEYOND: Final = 4
#: Share of the largest singular value of a kernel's matrix below which nothing is seen of its pixels.
_LEAST_SINGULAR: Final = 1e-2


def _keys(slope: float) -> Callable[[Floats], Floats]:
    """Cubic convolution (Keys, IEEE Trans. ASSP 29, 1153 (1981)) of a slope at 1: −1/2, or −3/4 as it is used, too."""

    def kernel(t: Floats) -> Floats:
        near = (slope + 2) * t**3 - (slope + 3) * t**2 + 1
        return np.where(t < 1, near, np.where(t < 2, slope * (t**3 - 5 * t**2 + 8 * t - 4), 0.0))

    return kernel


#: The usual kernels over the distance in pixels of the scan: linear, cubic convolution, B-splines of the second and the
#: third degree, and Lanczos.
_KERNELS: Final[tuple[Callable[[Floats], Floats], ...]] = (
    lambda t: np.clip(1 - t, 0, None),
    _keys(-0.5),
    _keys(-0.75),
    lambda t: np.where(t < 0.5, 0.75 - t**2, np.where(t < 1.5, (1.5 - t) ** 2 / 2, 0.0)),
    lambda t: np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0)),
    lambda t: np.where(t < 3, np.sinc(t) * np.sinc(t / 3), 0.0),
)


@dataclass(frozen=True)
class Scan:
    """A scan in its own pixels.

    Attributes
    ----------
    pixels : array, shape (y, x)
        Of a standard deviation of about 1.
    pitch : float
        Their distance in px of the enlarged image.
    """

    pixels: Floats
    pitch: float


def own_pixels(image: Floats) -> Scan | None:
    """Return the scan that an image was interpolated from, None if it was not.

    Parameters
    ----------
    image : array, shape (y, x)
    """
    image = image - image.mean()
    spread = image.std()
    if not spread > 0:
        return None
    image = image / spread
    profiles = [_roughness(image), _roughness(image.T)]
    limits, pitch = settings.SETTINGS.interpolation, _pitch(profiles)
    if pitch == 0 or min(image.shape) < limits.fewest_pixels * pitch:
        return None
    power, frequency = _power(image)
    beyond = float(power[frequency > _EDGE / pitch].sum() / power.sum())
    if beyond > limits.most_beyond or _is_of_rows(power, frequency, pitch):
        return None
    pitch = _refined(profiles, pitch)
    first = [_first(profile, pitch) for profile in profiles]
    if _least_left(image, first, pitch) > max(limits.most_left * beyond, limits.rounding):
        return None
    places = [np.arange(start, side - 0.5, pitch) for start, side in zip(first, image.shape, strict=True)]
    return Scan(map_coordinates(image, np.meshgrid(*places, indexing="ij"), order=3, mode="nearest"), pitch)


def _roughness(image: Floats) -> Floats:
    """Log of the mean square of the second difference along y, without its trend, tapered."""
    mean = np.square(np.diff(image, 2, axis=0)).mean(1)
    profile = np.log(mean + 1e-6 * mean.mean() + 1e-300)
    place = np.linspace(-1, 1, len(profile))
    return np.asarray((profile - np.polyval(np.polyfit(place, profile, 2), place)) * np.hanning(len(profile) + 2)[1:-1])


def _pitch(profiles: list[Floats]) -> float:
    """Period that both profiles have, in px, 0 if there is none."""
    limits = settings.SETTINGS.interpolation
    frequency = np.arange(_LINE // 2 + 1) / _LINE
    low = max(1 / limits.largest_pitch, limits.fewest_pixels / 2 / min(map(len, profiles)))
    allowed = (frequency >= low) & (frequency <= 1 / limits.smallest_pitch)
    if not allowed.any():
        return 0.0
    powers = [np.square(np.abs(np.fft.rfft(profile, _LINE))) for profile in profiles]
    ratio = np.prod([power / max(np.median(power[allowed]), 1e-30) for power in powers], axis=0)
    ratio = np.where(allowed, np.sqrt(ratio), 0.0)
    maxima = np.flatnonzero((ratio[1:-1] >= ratio[:-2]) & (ratio[1:-1] >= ratio[2:])) + 1
    maxima = maxima[ratio[maxima] > max(limits.clear_ratio, limits.harmonic_share * ratio.max())]
    return _LINE / int(maxima[0]) if len(maxima) else 0.0  # the others are harmonics


def _refined(profiles: list[Floats], pitch: float) -> float:
    """The period near a given one at which the profiles have most power."""
    periods = pitch * (1 + np.linspace(-0.03, 0.03, 241))
    power = np.zeros(len(periods))
    for profile in profiles:
        waves = np.exp(-2j * np.pi * np.arange(len(profile)) / periods[:, None])
        power += np.square(np.abs(waves @ profile)) / np.square(profile).sum()
    return float(periods[power.argmax()])


def _first(profile: Floats, pitch: float) -> float:
    """Place of the first pixel of the scan, where the roughness is highest; a second difference is about its middle."""
    phase = np.angle(np.exp(-2j * np.pi * np.arange(len(profile)) / pitch) @ profile)
    return float((1 - phase / (2 * np.pi) * pitch) % pitch)


def _power(image: Floats) -> tuple[Floats, Floats]:
    """Power of the tapered image, and at each of its places the larger of the frequencies along the axes."""
    taper = np.hanning(image.shape[0])[:, None] * np.hanning(image.shape[1])
    down, across = np.abs(np.fft.fftfreq(image.shape[0]))[:, None], np.fft.rfftfreq(image.shape[1])
    return np.square(np.abs(np.fft.rfft2(image * taper))), np.maximum(down, across)


def _is_of_rows(power: Floats, frequency: Floats, pitch: float) -> bool:
    """Whether the pixels would be few to a cell of a crystal, a wave of which holds much of the power."""
    limits = settings.SETTINGS.interpolation
    fine = power[frequency > limits.finest_wave / pitch]
    return bool(fine.size and fine.max() > limits.wave_share * power.sum())


def _least_left(image: Floats, first: list[float], pitch: float) -> float:
    """Share of the power that pixels of a pitch leave of an image, by the kernel that leaves least."""
    edge = int(2 * pitch) if min(image.shape) > 8 * pitch else int(pitch)
    inside = image[edge:-edge, edge:-edge]
    inside = inside - inside.mean()
    left = []
    for kernel in _KERNELS:
        down, across = (_span(kernel, start, side, pitch, edge) for start, side in zip(first, image.shape, strict=True))
        left.append(np.square(inside - down @ (down.T @ inside @ across) @ across.T).sum())
    return float(min(left) / max(np.square(inside).sum(), 1e-300))


def _span(kernel: Callable[[Floats], Floats], first: float, side: int, pitch: float, edge: int) -> Floats:
    """Orthonormal columns that span what pixels of a pitch make of a line within its edges."""
    node = first + pitch * np.arange(-_BEYOND, int(side / pitch) + _BEYOND + 1)
    weight = kernel(np.abs(np.arange(side)[:, None] - node) / pitch)[edge:-edge]
    columns, size, _ = np.linalg.svd(weight, full_matrices=False)
    return np.asarray(columns[:, size > _LEAST_SINGULAR * size[0]])

"""Interpolation: scans that were shown larger than they were measured, with values interpolated between their pixels.

Interpolated noise is smoother between the pixels that it was made of than at these, which repeats in two directions as
a lattice does. Along each axis the mean square of the second difference has the period of the pixels then (Gallagher,
2nd Canadian Conference on Computer and Robot Vision, 65 (2005)), and so have rows of atoms. What tells them apart
is that a scan holds no frequencies beyond the Nyquist frequency of its own pixels: those of the enlarged image follow
from its pixels by one of the usual kernels, which for a crystal explain next to nothing there. What the image shows
without them says whether there is a lattice. Of few pixels several periods are seen; any of them may be the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.fft import dctn, idctn

from bravaismap.conventions import Floats
from bravaismap.measure import settings

__all__ = ["Scan", "own_scans"]

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
    """What a scan shows that an image was interpolated from.

    Attributes
    ----------
    image : array, shape (y, x)
        What the image holds below the Nyquist frequency of the pixels of the scan.
    pitch : float
        Distance of the pixels of the scan, in px of the enlarged image.
    """

    image: Floats
    pitch: float

    def enlarged(self, shape: tuple[int, ...]) -> Floats:
        """Return the image in another shape (y, x), with no other waves than its own."""
        waves, shown = np.zeros(shape), dctn(self.image, norm="ortho")[: shape[0], : shape[1]]
        waves[: shown.shape[0], : shown.shape[1]] = shown
        return np.asarray(idctn(waves, norm="ortho"))


def own_scans(image: Floats, least_side: int) -> list[Scan]:
    """Return the scans that an image may have been interpolated from, the likeliest first; none if it was not.

    Parameters
    ----------
    image : array, shape (y, x)
    least_side : int
        Pixels along each axis of what is returned, at least.
    """
    image = image - image.mean()
    spread = image.std()
    if not spread > 0:
        return []
    image = image / spread
    profiles = [_roughness(image), _roughness(image.T)]
    pitches = _pitches(profiles)
    if not pitches:
        return []
    power, frequency = _power(image)
    refined = [_refined(profiles, pitch) for pitch in pitches]
    held = [pitch for pitch in refined if _hold(image, profiles, pitch, power, frequency)]
    return [Scan(_resampled(image, pitch, least_side), pitch) for pitch in held]


def _hold(image: Floats, profiles: list[Floats], pitch: float, power: Floats, frequency: Floats) -> bool:
    """Whether pixels of a pitch hold all of an image, whose power is that at frequencies."""
    limits = settings.SETTINGS.interpolation
    if min(image.shape) < limits.fewest_pixels * pitch:
        return False
    beyond = float(power[frequency > _EDGE / pitch].sum() / power.sum())
    if beyond > limits.most_beyond or _is_of_rows(power, frequency, pitch):
        return False
    first = [_first(profile, pitch) for profile in profiles]
    return _least_left(image, first, pitch) <= max(limits.most_left * beyond, limits.rounding)


def _resampled(image: Floats, pitch: float, least_side: int) -> Floats:
    """What an image holds below the Nyquist frequency of pixels of a pitch, one value for each or so many along a side.

    The waves are those of the image and its mirror images, so that the edges are no steps. They fade towards the
    Nyquist frequency: noise that ended there at once would have an edge in its spectrum.
    """
    kept = [max(1, int(side / pitch)) for side in image.shape]
    fading = [np.square(np.cos(np.pi / 2 * (np.arange(count) + 0.5) / count)) for count in kept]
    waves = np.zeros([max(least_side, count) for count in kept])
    waves[: kept[0], : kept[1]] = dctn(image, norm="ortho")[: kept[0], : kept[1]] * np.outer(*fading)
    return np.asarray(idctn(waves, norm="ortho"))


def _roughness(image: Floats) -> Floats:
    """Log of the mean square of the second difference along y, without its trend, tapered."""
    mean = np.square(np.diff(image, 2, axis=0)).mean(1)
    profile = np.log(mean + 1e-6 * mean.mean() + 1e-300)
    place = np.linspace(-1, 1, len(profile))
    return np.asarray((profile - np.polyval(np.polyfit(place, profile, 2), place)) * np.hanning(len(profile) + 2)[1:-1])


def _pitches(profiles: list[Floats]) -> list[float]:
    """Periods that both profiles have, in px, the clearest first."""
    limits = settings.SETTINGS.interpolation
    frequency = np.arange(_LINE // 2 + 1) / _LINE
    low = max(1 / limits.largest_pitch, limits.fewest_pixels / 2 / min(map(len, profiles)))
    allowed = (frequency >= low) & (frequency <= 1 / limits.smallest_pitch)
    if not allowed.any():
        return []
    powers = [np.square(np.abs(np.fft.rfft(profile, _LINE))) for profile in profiles]
    ratio = np.prod([power / max(np.median(power[allowed]), 1e-30) for power in powers], axis=0)
    ratio = np.where(allowed, np.sqrt(ratio), 0.0)
    maxima = np.flatnonzero((ratio[1:-1] >= ratio[:-2]) & (ratio[1:-1] >= ratio[2:])) + 1
    maxima = maxima[ratio[maxima] > max(limits.clear_ratio, limits.harmonic_share * ratio.max())]
    clearest = maxima[np.argsort(-ratio[maxima], kind="stable")[: limits.pitches]]
    return [_LINE / int(place) for place in clearest]


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

"""Registration of one frame against a reference: the shift between two images of a crystal, and its error.

The correlation of a crystal with itself has a peak at every lattice vector, all of nearly one height, and the overlap
of two frames favours the smallest shift. So its peaks are only candidates. What decides between them is what does *not*
repeat, dopants, vacancies, voids, contamination: a second correlation in which no Bragg spot counts more than a few
times its surroundings. How far a candidate stands out there among the others is Student's t-test; what is expected of
the shift is the prior.

The place chosen is then fitted over the area that both images show, by the likelihood of white noise within each ring
of spatial frequency, the brightness being free. F and R are the transforms of the frame and of the moved reference,
N(k) is the power that the reference leaves unexplained:

    L(δ) = ½ (Σ Re F R* exp(2πi k·δ) / N)² / Σ |R|² / N.

Phase correlation proper (``normalization="phase"``) weighs the many frequencies that hold nothing but noise like those
that hold the specimen; here a ring counts by what stands above the noise in both images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import maximum_filter
from scipy.signal.windows import tukey

from bravaismap.conventions import Floats

__all__ = ["Match", "match_frame", "prior", "shifted"]


_TAPER = 0.5  # share of a side over which a frame fades in and out
_LOWEST = 2.5  # cycles per frame below which is shading, not specimen
_RINGS = 64
_CLIP = 3.0  # a Bragg spot counts at most this many times its ring when what does not repeat is looked for
_HEIGHT = 0.3  # of the highest peak, below which a peak is no candidate
_ENOUGH = 6  # candidates whose scatter can be measured
_FREEDOM = 12.0  # of the t-test at most: the scatter has heavier tails than a normal distribution
_RANGE = 20.0  # standard deviations by which the right candidate may stand out, evenly
_TOP = 400  # Fourier coefficients that decide the sub-pixel position
_STEPS = 15
_STRAY = 1.5  # px that a candidate may move when it is fitted
_HEAVY = 1.0  # degrees of freedom of the scatter about the expected shift: jumps happen
#: Log likelihood from which a frame is recognised. Noise reaches the log of the number of places searched, about 10.
_RECOGNISED = 25.0


@dataclass(frozen=True)
class Match:
    """Where a frame lies against a reference.

    Attributes
    ----------
    shift : array, shape (2,)
        Displacement (y, x) of the content of the frame from that of the reference, in px.
    std : float
        σ of each component within the peak chosen, in px.
    spread : float
        Root mean square distance per component to the other candidates, weighted by their probability, in px.
    quality : float
        Probability of the candidate chosen; 0 when the frame was not recognised.
    """

    shift: Floats
    std: float
    spread: float
    quality: float


def prior(distance_squared: Floats, scale: float) -> Floats:
    """Return the log density of a shift at a distance (px², squared) from what is expected, but for a constant."""
    return np.asarray(-(_HEAVY + 2) / 2 * np.log1p(distance_squared / (_HEAVY * scale**2)))


def shifted(image: Floats, shift: Floats) -> Floats:
    """Return an image (y, x) with its content moved by a part of a pixel, by its Fourier transform."""
    ky, kx = _frequencies(*image.shape)
    phase = np.exp(np.complex64(-2j * np.pi) * (ky * np.float32(shift[0]) + kx * np.float32(shift[1])))
    moved: Floats = irfft2(rfft2(image) * phase, s=image.shape)
    return moved


def match_frame(frame: Floats, reference: Floats, expected: Floats, scale: float, bound: float) -> Match:
    """Register a frame against a reference.

    Parameters
    ----------
    frame, reference : array float32, shape (y, x)
        Of mean about 0.
    expected : array, shape (2,)
        Shift (y, x) that is expected, in px.
    scale : float
        How far shifts scatter about the expected one, in px; larger departures are rare, not impossible.
    bound : float
        Largest departure from the expected shift along either axis, in px.

    Returns
    -------
    Match
    """
    whole = np.rint(expected).astype(int)
    places, evidence = _candidates(frame, _moved(reference, whole), bound)
    places += whole
    useful = (np.abs(places) <= 3 * np.array(frame.shape) // 8).all(axis=1)
    places, evidence = places[useful], evidence[useful]
    if len(places) == 0:
        return _lost(expected, scale)
    chance = evidence + prior(((places - expected) ** 2).sum(axis=1), scale)
    share = np.exp(chance - chance.max())
    share /= share.sum()
    best = places[share.argmax()]
    fit = _fit(frame, reference, best)
    if fit.likelihood < _RECOGNISED:
        return _lost(expected, scale)
    spread = np.sqrt((share * ((places - best) ** 2).sum(axis=1)).sum() / 2)
    return Match(best + fit.shift, fit.std, float(spread), float(share.max()))


def _evidence(values: Floats) -> Floats:
    """Return the log evidence that each candidate is the right one, from how it stands out among the others.

    Apart from noise, candidates differ by what has changed in the specimen and by what is left of its periodicity. How
    they scatter for all these reasons is seen in the others themselves.
    """
    others = len(values) - 1
    if others + 1 < _ENOUGH:
        return np.asarray(values**2 / 2)
    mean = (values.sum() - values) / others
    variance = np.maximum(((values**2).sum() - values**2) / others - mean**2, 0) * others / (others - 1)
    t = np.maximum(values - mean, 0) / np.sqrt(np.maximum(variance, 1.0) * (1 + 1 / others))
    freedom = min(others - 1, _FREEDOM)
    log_ratio = (freedom + 1) / 2 * np.log1p(t**2 / freedom) + np.log(np.sqrt(2 * np.pi) / _RANGE)
    return np.asarray(np.logaddexp(0, log_ratio))


def _lost(expected: Floats, scale: float) -> Match:
    return Match(np.asarray(expected, float), scale, 0.0, 0.0)


def _moved(image: Floats, shift: NDArray[np.integer]) -> Floats:
    """Return an image with its content moved by whole pixels, 0 where nothing is known."""
    moved = np.zeros_like(image)
    height, width = image.shape
    y, x = int(shift[0]), int(shift[1])
    if abs(y) < height and abs(x) < width:
        moved[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = image[
            max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
        ]
    return moved


def _candidates(frame: Floats, reference: Floats, bound: float) -> tuple[NDArray[np.intp], Floats]:
    """Return shifts in whole pixels (n, 2) at which the images may coincide, and the log evidence of each."""
    taper = _taper(*frame.shape)
    one, other = rfft2(frame * taper), rfft2(reference * taper)
    both = one * other.conj()
    rings, count = _rings(*frame.shape)
    power = [_ring_medians(np.abs(f) ** 2, rings, count) for f in (one, other)]
    known: Any = 1.0  # coherence that the aperiodic part can have: what stands above white noise, in both
    for ring in power:
        noise = np.median(ring[3 * _RINGS // 4 : _RINGS])
        known = known * np.maximum(1 - noise / np.maximum(ring, 1e-30), 1e-3)
    size = np.abs(both)
    median = np.append(np.maximum(_ring_medians(size, rings, count), 1e-30), np.inf)[rings]
    flat = both / median * np.append(known, 0)[rings]
    wide = max(bound, min(frame.shape) / 4)  # candidates too far away tell how the others scatter
    everything = _near(irfft2(flat, s=frame.shape), wide)
    coarse = _near(irfft2(flat / np.maximum(size / median / _CLIP, 1), s=frame.shape), wide)
    top = (everything == maximum_filter(everything, 3)) & (everything > _HEIGHT * everything.max())
    noise = 1.4826 * np.median(np.abs(coarse - np.median(coarse))) + 1e-30
    places = np.argwhere(top) - np.array(everything.shape) // 2
    within = (np.abs(places) <= bound).all(axis=1)
    return places[within], _evidence(maximum_filter(coarse, 3)[top] / noise)[within]


def _near(correlation: Floats, bound: float) -> Floats:
    """Return the part of a correlation within the bound of no shift, no shift in the middle."""
    y, x = (min(int(bound), side // 2 - 1) for side in correlation.shape)
    rows, columns = np.arange(-y, y + 1), np.arange(-x, x + 1)
    return np.asarray(correlation[np.ix_(rows, columns)])


@dataclass(frozen=True)
class _Fit:
    shift: Floats  # px, beyond the candidate
    std: float
    likelihood: float


def _fit(frame: Floats, reference: Floats, place: NDArray[np.integer]) -> _Fit:
    """Fit the reference, moved to a place, to the area of the frame that it covers."""
    size = (np.array(frame.shape) - 2 * np.abs(place)) // 2 * 2
    size = np.where(size > 64, size // 16 * 16, size)  # lengths whose transform is fast
    start = (np.array(frame.shape) - size) // 2
    taper = _taper(*size)
    rings, count = _rings(*size)
    seen = rfft2(_cut(frame, start, size) * taper)
    model = rfft2(_cut(reference, start - place, size) * taper)
    half = np.where(rings == count, 0, _half_plane(*size))
    shift, gain, _, _ = _uphill(seen, model, half)
    rest = np.abs(seen - gain * model * _phase(size, shift)) ** 2
    noise = _ring_medians(rest, rings, count) / np.log(2)  # of an exponential distribution
    noise = np.append(np.maximum(noise, 1e-6 * np.median(noise) + 1e-30), np.inf)[rings]
    independent = (taper**2).sum() ** 2 / (taper.size * (taper**4).sum())
    shift, gain, likelihood, curvature = _uphill(seen, model, half * independent / noise)
    information = gain * curvature
    return _Fit(shift, float(min(1 / np.sqrt(information), 1.0)) if information > 0 else 1.0, likelihood)


def _uphill(seen: Any, model: Any, weight: Floats) -> tuple[Floats, float, float, float]:
    """Return the shift at which a model fits best, its brightness, log likelihood, and the least curvature."""
    both = seen * model.conj() * weight
    size = (len(both), 2 * (both.shape[1] - 1))
    top = np.argpartition(np.abs(both).ravel(), -min(_TOP, both.size))[-_TOP:]
    ky, kx = (np.broadcast_to(k, both.shape).ravel()[top] for k in _frequencies(*size))
    k, strong = 2 * np.pi * np.stack([ky, kx]).astype(float), both.ravel()[top]
    shift, most = np.zeros(2), np.linalg.inv((k * np.abs(strong)) @ k.T)  # of the curvature, were all in phase
    for _ in range(_STEPS):
        move = -most @ (k @ (strong * np.exp(1j * (shift @ k))).imag)
        shift = np.clip(shift + move, -_STRAY, _STRAY)
        if np.abs(move).max() < 1e-3:
            break
    curvature = np.linalg.eigvalsh((k * (strong * np.exp(1j * (shift @ k))).real) @ k.T)[0]
    common = max(float((both * _phase(size, shift).conj()).real.sum()), 0.0)
    own = float((np.abs(model) ** 2 * weight).sum())
    return (shift, common / own, 0.5 * common**2 / own, float(curvature)) if own > 0 else (shift, 0.0, 0.0, 0.0)


def _cut(image: Floats, start: NDArray[np.integer], size: NDArray[np.integer]) -> Floats:
    part = image[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
    return np.asarray(part - part.mean(), np.float32)


def _phase(size: Any, shift: Floats) -> Any:
    ky, kx = _frequencies(*size)
    wave = np.complex64(-2j * np.pi)
    return np.exp(wave * ky * np.float32(shift[0])) * np.exp(wave * kx * np.float32(shift[1]))


def _ring_medians(power: Floats, rings: NDArray[np.integer], count: int) -> Floats:
    order, ends = _ring_order(rings.shape, count, rings.tobytes())
    ordered = power.ravel()[order]
    return np.array([np.median(part) if part.size else 0.0 for part in np.split(ordered, ends)[:count]])


@lru_cache(maxsize=4)
def _ring_order(shape: tuple[int, ...], count: int, rings: bytes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    numbers = np.frombuffer(rings, np.int16)
    return numbers.argsort(kind="stable"), np.cumsum(np.bincount(numbers, minlength=count + 1))[:-1]


@lru_cache(maxsize=8)
def _frequencies(height: int, width: int) -> tuple[Floats, Floats]:
    return np.fft.fftfreq(height).astype(np.float32)[:, None], np.fft.rfftfreq(width).astype(np.float32)[None]


@lru_cache(maxsize=8)
def _rings(height: int, width: int) -> tuple[NDArray[np.int16], int]:
    """Return the ring of |k| that each coefficient is in, and how many there are; what is too low is in one more."""
    ky, kx = _frequencies(height, width)
    radius = np.hypot(ky, kx)
    rings = np.minimum(radius / 0.5 * _RINGS, _RINGS).astype(np.int16)  # the corners are one ring
    count = _RINGS + 1
    return np.where(np.hypot(ky * height, kx * width) < _LOWEST, count, rings).astype(np.int16), count


@lru_cache(maxsize=8)
def _half_plane(height: int, width: int) -> Floats:
    """Return how many coefficients of the whole plane each of the half plane stands for."""
    half = np.full((height, width // 2 + 1), 2.0, np.float32)
    half[:, 0] = 1
    if width % 2 == 0:
        half[:, -1] = 1
    return half


@lru_cache(maxsize=8)
def _taper(height: int, width: int) -> Floats:
    return np.outer(tukey(height, _TAPER), tukey(width, _TAPER)).astype(np.float32)

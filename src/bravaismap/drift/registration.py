"""Registration of one frame against a reference: the shift between two images of a crystal, and its error.

The correlation of a crystal with itself has a peak at every lattice vector, all of nearly the same height, and the
overlap of two frames favours the smallest shift. So its peaks are only candidates. Aperiodic features (dopants,
vacancies, voids, contamination) decide between them, in a second correlation in which no Bragg spot counts more than a
few times its surroundings: Student's t-test tells how far a candidate stands out there among the others, and the prior
is the density of the shift about the expected one.

The candidate chosen is then fitted over the area that both images show, by the likelihood of white noise within each
ring of spatial frequency, with a free brightness. F and R are the transforms of the frame and of the moved reference,
N(k) is the power that the reference does not explain:

    L(δ) = ½ (Σ Re F R* exp(2πi k·δ) / N)² / Σ |R|² / N.

Ordinary phase correlation (``normalization="phase"``) gives the many frequencies that hold only noise the same weight
as those of the specimen; here a ring counts by its power above the noise in both images.
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
_LOWEST = 2.5  # cycles per frame, below which there is shading, not specimen
_RINGS = 64  # rings of |k| up to the Nyquist frequency
_CLIP = 3.0  # largest height of a Bragg spot over its ring in the correlation of aperiodic features
_HEIGHT = 0.3  # height of a candidate over the highest peak, at least
_FEWEST = 6  # candidates whose scatter can be estimated
_LARGEST_FREEDOM = 12.0  # of the t-test: the scatter has heavier tails than a normal distribution
_RANGE = 20.0  # standard deviations by which the right candidate may stand out, with a uniform prior
_STRONGEST = 400  # Fourier coefficients by which the sub-pixel shift is fitted
_STEPS = 15  # largest number of Newton steps
_LARGEST_MOVE = 1.5  # px that a candidate may move when it is fitted
_PRIOR_FREEDOM = 1.0  # degrees of freedom of the scatter about the expected shift: jumps happen
#: Log likelihood from which a frame is recognised. Noise reaches the log of the number of shifts searched, about 10.
_RECOGNISED = 25.0


@dataclass(frozen=True)
class Match:
    """The shift of a frame against a reference, with its uncertainty.

    Attributes
    ----------
    shift : array, shape (2,)
        Displacement (y, x) of the content of the frame from that of the reference, in px.
    std : float
        σ of each component of the shift, given the candidate, in px.
    spread : float
        Root mean square distance, per component, to the other candidates by their probability, in px.
    quality : float
        Probability of the candidate chosen; 0 if the frame was not recognised.
    """

    shift: Floats
    std: float
    spread: float
    quality: float


def prior(distance_squared: Floats, scale: float) -> Floats:
    """Return the log density, up to a constant, of shifts at squared distances (px²) from the expected one."""
    return np.asarray(-(_PRIOR_FREEDOM + 2) / 2 * np.log1p(distance_squared / (_PRIOR_FREEDOM * scale**2)))


def shifted(image: Floats, shift: Floats) -> Floats:
    """Return an image (y, x) with its content moved by a fraction of a pixel, by its Fourier transform."""
    ky, kx = _frequencies(*image.shape)
    phase = np.exp(np.complex64(-2j * np.pi) * (ky * np.float32(shift[0]) + kx * np.float32(shift[1])))
    moved: Floats = irfft2(rfft2(image) * phase, s=image.shape)
    return moved


def match_frame(frame: Floats, reference: Floats, expected: Floats, scale: float, bound: float) -> Match:
    """Return the shift of a frame against a reference.

    Parameters
    ----------
    frame, reference : array float32, shape (y, x)
        Images of a mean of about 0.
    expected : array, shape (2,)
        Expected shift (y, x), in px.
    scale : float
        Scatter of shifts about the expected one, in px; larger departures are rare, not impossible.
    bound : float
        Largest departure from the expected shift along either axis, in px.

    Returns
    -------
    Match
    """
    whole = np.rint(expected).astype(int)
    candidates = _candidates(frame, _moved(reference, whole), bound)
    shifts = candidates.shifts + whole
    overlapping = (np.abs(shifts) <= 3 * np.array(frame.shape) // 8).all(axis=1)
    shifts, evidence = shifts[overlapping], candidates.evidence[overlapping]
    if len(shifts) == 0:
        return _unrecognised(expected, scale)
    log_posterior = evidence + prior(((shifts - expected) ** 2).sum(axis=1), scale)
    probability = np.exp(log_posterior - log_posterior.max())
    probability /= probability.sum()
    best = shifts[probability.argmax()]
    fit = _fit(frame, reference, best)
    if fit.likelihood < _RECOGNISED:
        return _unrecognised(expected, scale)
    spread = np.sqrt((probability * ((shifts - best) ** 2).sum(axis=1)).sum() / 2)
    return Match(best + fit.shift, fit.std, float(spread), float(probability.max()))


def _evidence(values: Floats) -> Floats:
    """Return the log evidence that each candidate is the right one, from how far it stands out among the others.

    Apart from noise, candidates differ by changes of the specimen and by a remainder of its periodicity. The scatter of
    the other candidates measures all of these together.
    """
    others = len(values) - 1
    if others + 1 < _FEWEST:
        return np.asarray(values**2 / 2)
    mean = (values.sum() - values) / others
    variance = np.maximum(((values**2).sum() - values**2) / others - mean**2, 0) * others / (others - 1)
    t = np.maximum(values - mean, 0) / np.sqrt(np.maximum(variance, 1.0) * (1 + 1 / others))
    freedom = min(others - 1, _LARGEST_FREEDOM)
    log_ratio = (freedom + 1) / 2 * np.log1p(t**2 / freedom) + np.log(np.sqrt(2 * np.pi) / _RANGE)
    return np.asarray(np.logaddexp(0, log_ratio))


def _unrecognised(expected: Floats, scale: float) -> Match:
    return Match(np.asarray(expected, float), scale, 0.0, 0.0)


def _moved(image: Floats, shift: NDArray[np.integer]) -> Floats:
    """Return an image with its content moved by whole pixels, 0 where it moved in from outside."""
    moved = np.zeros_like(image)
    height, width = image.shape
    y, x = int(shift[0]), int(shift[1])
    if abs(y) < height and abs(x) < width:
        moved[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = image[
            max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
        ]
    return moved


@dataclass(frozen=True)
class _Candidates:
    """Shifts in whole pixels (n, 2) at which two images may coincide, and the log evidence of each."""

    shifts: NDArray[np.intp]
    evidence: Floats


def _candidates(frame: Floats, reference: Floats, bound: float) -> _Candidates:
    """Return the peaks of the correlation of two images within the bound."""
    taper = _taper(*frame.shape)
    spectra = rfft2(frame * taper), rfft2(reference * taper)
    cross_spectrum = spectra[0] * spectra[1].conj()
    rings, count = _rings(*frame.shape)
    coherence: Any = 1.0  # that the aperiodic part can have: the share of power above white noise, in both images
    for spectrum in spectra:
        power = _ring_medians(np.abs(spectrum) ** 2, rings, count)
        noise = np.median(power[3 * _RINGS // 4 : _RINGS])
        coherence = coherence * np.maximum(1 - noise / np.maximum(power, 1e-30), 1e-3)
    size = np.abs(cross_spectrum)
    median = np.append(np.maximum(_ring_medians(size, rings, count), 1e-30), np.inf)[rings]
    flat = cross_spectrum / median * np.append(coherence, 0)[rings]
    wide = max(bound, min(frame.shape) / 4)  # candidates beyond the bound show the scatter, too
    correlation = _centre(irfft2(flat, s=frame.shape), wide)
    aperiodic = _centre(irfft2(flat / np.maximum(size / median / _CLIP, 1), s=frame.shape), wide)
    peaks = (correlation == maximum_filter(correlation, 3)) & (correlation > _HEIGHT * correlation.max())
    noise = 1.4826 * np.median(np.abs(aperiodic - np.median(aperiodic))) + 1e-30
    shifts = np.argwhere(peaks) - np.array(correlation.shape) // 2
    within = (np.abs(shifts) <= bound).all(axis=1)
    return _Candidates(shifts[within], _evidence(maximum_filter(aperiodic, 3)[peaks] / noise)[within])


def _centre(correlation: Floats, bound: float) -> Floats:
    """Return the part of a correlation within the bound, with the shift 0 in the middle."""
    y, x = (min(int(bound), side // 2 - 1) for side in correlation.shape)
    rows, columns = np.arange(-y, y + 1), np.arange(-x, x + 1)
    return np.asarray(correlation[np.ix_(rows, columns)])


@dataclass(frozen=True)
class _Fit:
    """The shift (px) beyond a candidate at which the likelihood is largest, its σ, and the log likelihood there."""

    shift: Floats
    std: float
    likelihood: float


@dataclass(frozen=True)
class _Maximum:
    """The shift at which a model fits best, its brightness, the log likelihood, and the smallest curvature."""

    shift: Floats
    brightness: float
    likelihood: float
    curvature: float


def _fit(frame: Floats, reference: Floats, place: NDArray[np.integer]) -> _Fit:
    """Return the fit of the reference, moved by a candidate shift, to the area of the frame that it covers."""
    size = (np.array(frame.shape) - 2 * np.abs(place)) // 2 * 2
    size = np.where(size > 64, size // 16 * 16, size)  # lengths whose transform is fast
    start = (np.array(frame.shape) - size) // 2
    taper = _taper(*size)
    rings, count = _rings(*size)
    data = rfft2(_cut(frame, start, size) * taper)
    model = rfft2(_cut(reference, start - place, size) * taper)
    half = np.where(rings == count, 0, _half_plane(*size))
    first = _uphill(data, model, half)
    residual = np.abs(data - first.brightness * model * _phase(size, first.shift)) ** 2
    noise = _ring_medians(residual, rings, count) / np.log(2)  # of an exponential distribution
    noise = np.append(np.maximum(noise, 1e-6 * np.median(noise) + 1e-30), np.inf)[rings]
    independent = (taper**2).sum() ** 2 / (taper.size * (taper**4).sum())
    best = _uphill(data, model, half * independent / noise)
    information = best.brightness * best.curvature
    std = float(min(1 / np.sqrt(information), 1.0)) if information > 0 else 1.0
    return _Fit(best.shift, std, best.likelihood)


def _uphill(data: Any, model: Any, weight: Floats) -> _Maximum:
    """Return the maximum of the likelihood that Newton steps reach from no shift."""
    both = data * model.conj() * weight
    size = (len(both), 2 * (both.shape[1] - 1))
    strongest = np.argpartition(np.abs(both).ravel(), -min(_STRONGEST, both.size))[-_STRONGEST:]
    ky, kx = (np.broadcast_to(k, both.shape).ravel()[strongest] for k in _frequencies(*size))
    k, strong = 2 * np.pi * np.stack([ky, kx]).astype(float), both.ravel()[strongest]
    # the inverse of the curvature if all coefficients were in phase: steps are never too long
    shift, inverse = np.zeros(2), np.linalg.inv((k * np.abs(strong)) @ k.T)
    for _ in range(_STEPS):
        move = -inverse @ (k @ (strong * np.exp(1j * (shift @ k))).imag)
        shift = np.clip(shift + move, -_LARGEST_MOVE, _LARGEST_MOVE)
        if np.abs(move).max() < 1e-3:
            break
    curvature = np.linalg.eigvalsh((k * (strong * np.exp(1j * (shift @ k))).real) @ k.T)[0]
    common = max(float((both * _phase(size, shift).conj()).real.sum()), 0.0)
    own = float((np.abs(model) ** 2 * weight).sum())
    if own <= 0:
        return _Maximum(shift, 0.0, 0.0, 0.0)
    return _Maximum(shift, common / own, 0.5 * common**2 / own, float(curvature))


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
    """Return the ring of |k| of each coefficient, and the number of rings; too low frequencies are in one more."""
    ky, kx = _frequencies(height, width)
    radius = np.hypot(ky, kx)
    rings = np.minimum(radius / 0.5 * _RINGS, _RINGS).astype(np.int16)  # the corners are one ring
    count = _RINGS + 1
    return np.where(np.hypot(ky * height, kx * width) < _LOWEST, count, rings).astype(np.int16), count


@lru_cache(maxsize=8)
def _half_plane(height: int, width: int) -> Floats:
    """Return how many coefficients of the whole plane each coefficient of the half plane represents."""
    half = np.full((height, width // 2 + 1), 2.0, np.float32)
    half[:, 0] = 1
    if width % 2 == 0:
        half[:, -1] = 1
    return half


@lru_cache(maxsize=8)
def _taper(height: int, width: int) -> Floats:
    return np.outer(tukey(height, _TAPER), tukey(width, _TAPER)).astype(np.float32)

"""Effects of the instrument and the specimen on an image: tilt, probe, drift, flyback, line noise, amorphous matter.

Each function draws from the generator it is given. An effect that a recipe does not ask for draws no random number, so
that a recipe gives the same windows whatever effects are added to the package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

__all__ = [
    "BEND_PERIOD",
    "DRIFT_HARMONICS",
    "DRIFT_POINTS",
    "FLYBACK_REACH",
    "PROBE_MARGIN",
    "RING_WIDTH",
    "SMOOTHEST",
    "STREAKED",
    "STREAK_HEIGHT",
    "bend",
    "displace",
    "line_noise",
    "probe",
    "repeated",
    "speckle",
    "strength",
]

PROBE_MARGIN = 8  # px around the window, so that the blur of the probe does not wrap around
FLYBACK_REACH = 0.15  # of the width of the frame, over which the displacement after the flyback decays
RING_WIDTH = 0.25  # standard deviation of the ring of amorphous matter over its radius
BEND_PERIOD = (1.0, 3.0)  # of the modulation of a bent specimen, over the longer side of the frame
DRIFT_HARMONICS = 3  # of which the displacement of a drifting scan consists
DRIFT_POINTS = 65  # along y, between which it is interpolated
STREAKED, STREAK_HEIGHT = 0.1, 3.0  # share of the scan lines with a streak; its height over that of the offsets
SMOOTHEST = 0.02  # 1/px: width of the band when the ring has no radius


def strength(limits: tuple[float, float], presence: float, rng: np.random.Generator) -> float:
    """Draw the strength of an effect: 0 where it is absent, else uniform between the limits."""
    if limits[1] <= 0 or (presence < 1 and rng.random() >= presence):
        return 0.0
    return float(rng.uniform(*limits))


def bend(
    position: NDArray[np.floating], shape: tuple[int, int], depth: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the factor (n,) by which a tilted or bent specimen lowers its atoms, between 1 − `depth` and 1.

    Parameters
    ----------
    position : array, shape (n, 2)
        (y, x) in px.
    shape : (int, int)
        Of the frame; the period of the modulation is one to three times its longer side.
    depth : float
        Between 0 and 1.
    rng : numpy.random.Generator
    """
    period, angle, phase = rng.uniform(*BEND_PERIOD) * max(shape), *rng.uniform(0, 2 * np.pi, 2)
    along = position @ np.array([np.sin(angle), np.cos(angle)])
    return np.asarray(1 - depth * (1 + np.cos(2 * np.pi * along / period + phase)) / 2)


def displace(
    position: NDArray[np.floating], shape: tuple[int, int], drift: float, flyback: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the positions of atoms in the image of a drifting scan.

    Parameters
    ----------
    position : array, shape (n, 2)
        (y, x) in px; y is the slow direction of the scan.
    shape : (int, int)
        Of the frame.
    drift : float
        Standard deviation over the frame, in px, of a smooth displacement along x, and of half as much along y, that
        depends on y. It has no mean and no slope, so the mean lattice vectors are unchanged.
    flyback : float
        Displacement along x at the beginning of the lines, in px; it decays over 15 % of a line.
    rng : numpy.random.Generator
    """
    moved = np.array(position, float)
    if drift > 0:
        axis, order = np.linspace(-1, 1, DRIFT_POINTS), np.arange(1, DRIFT_HARMONICS + 1)
        line = 2 * position[:, 0] / (shape[0] - 1) - 1
        for component, size in ((1, drift), (0, drift / 2)):
            curve = rng.normal(0, 1, DRIFT_HARMONICS) / order @ np.cos(np.outer(order, np.pi * (axis + rng.random())))
            curve -= np.polyval(np.polyfit(axis, curve, 1), axis)
            moved[:, component] += np.interp(line, axis, curve * (size / max(curve.std(), 1e-9)))
    if flyback > 0:
        moved[:, 1] += flyback * np.exp(-np.maximum(position[:, 1], 0) / (FLYBACK_REACH * shape[1]))
    return moved


def probe(
    image: NDArray[np.float32], tilt: float, astigmatism: float, tail: float, reach: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Blur an image by the tilt of the specimen, and by the astigmatism and the broad tail of the probe.

    Parameters
    ----------
    image : float32 array, shape (height, width)
        With a margin of :data:`PROBE_MARGIN` px on each side.
    tilt, astigmatism : float
        Standard deviations, in px, of two blurs, each along a random direction.
    tail : float
        Share of the probe in its tail, between 0 and 1.
    reach : float
        Standard deviation of the tail in px.
    rng : numpy.random.Generator
        Draws the two directions.
    """
    ky = fftfreq(image.shape[0]).astype(np.float32)[:, None]
    kx = rfftfreq(image.shape[1]).astype(np.float32)
    exponent = np.zeros((image.shape[0], len(kx)), np.float32)
    for width, angle in zip((tilt, astigmatism), rng.uniform(0, np.pi, 2), strict=True):
        exponent += np.float32(width**2) * (np.float32(np.sin(angle)) * ky + np.float32(np.cos(angle)) * kx) ** 2
    transfer = np.exp(np.float32(-2 * np.pi**2) * exponent)
    if tail > 0:
        broad = np.exp(np.float32(-2 * np.pi**2 * reach**2) * (ky**2 + kx**2))
        transfer = np.float32(1 - tail) * transfer + np.float32(tail) * broad
    return np.asarray(irfft2(rfft2(image) * transfer, s=image.shape))


def speckle(size: int, height: float, ring: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the image of amorphous matter: noise whose power lies in a ring of the spectrum, or around its centre.

    Parameters
    ----------
    size : int
        Side in px.
    height : float
        Standard deviation.
    ring : pair
        Radius of the ring in 1/px, uniform.
    rng : numpy.random.Generator
    """
    radius = rng.uniform(*ring)
    k = np.hypot(fftfreq(size)[:, None], rfftfreq(size)).astype(np.float32)
    band = np.exp(-0.5 * ((k - np.float32(radius)) / np.float32(max(RING_WIDTH * radius, SMOOTHEST))) ** 2)
    field = irfft2(rfft2(rng.standard_normal((size, size), np.float32)) * band, s=(size, size))
    return np.asarray(field * np.float32(height / max(float(field.std()), 1e-9)))


def line_noise(image: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add an offset to each scan line, and to a tenth of the lines a streak, three times as high, from a random px on.

    Parameters
    ----------
    image : float32 array, shape (height, width)
    level : float
        Standard deviation of the offsets, over that of the image.
    rng : numpy.random.Generator
    """
    height, width = image.shape
    size = level * float(image.std())
    offset = np.repeat(rng.normal(0, size, (height, 1)), width, axis=1)
    starts = rng.integers(0, width, (height, 1))
    streaks = np.where(rng.random(height) < STREAKED, rng.normal(0, STREAK_HEIGHT * size, height), 0.0)
    offset += streaks[:, None] * (np.arange(width) >= starts)
    return image + offset.astype(np.float32)


def repeated(image: NDArray[np.float32], factor: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return part of a coarser scan that is shown enlarged: the first pixel of every block of `factor` px in all of it.

    Parameters
    ----------
    image : float32 array, shape (height, width)
    factor : int
        At least 2.
    rng : numpy.random.Generator
        Draws where in a block the image begins, along y and x.
    """
    rows, columns = (
        np.maximum((np.arange(size) + begin) // factor * factor - begin, 0)
        for size, begin in zip(image.shape, rng.integers(0, factor, 2), strict=True)
    )
    return np.asarray(image[rows[:, None], columns])

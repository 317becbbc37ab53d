"""Simulated voids in a film: their nucleation, healing and runaway growth, and their outlines at any time.

Vacancies gather into voids. Those that stay below a critical radius heal; a few run away, and their area grows as
exp(ρ t). The void fraction is then A(t) = A₀ exp(ρ t) + C, the law that R. K. Vasudevan et al. found for Mo-doped WS₂
under a 100 kV beam, npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.errors import InputError

__all__ = ["PAPER_KINETICS", "Outlines", "VoidHistory", "VoidKinetics", "check_number"]


_GROWTH: Final = 0.042 * 202.5  # growth rate of the paper (1/s) times the duration of its movie (s)
_LIVES: Final = 5.0  # mean lifetimes of a healing void in a movie, when no lifetime is given
_LIFE_RANGE: Final = (0.5, 1.5)  # of a healing void, over the mean lifetime
_PEAK_RANGE: Final = (0.25, 0.95)  # largest area of a healing void, over the critical area
_HARMONICS: Final = np.arange(2, 6)  # of an outline; the first would only move its centre
_TURN: Final = 1.5  # rad; largest change of the phase of a harmonic of an outline within a movie
_MOST_VOIDS: Final = 1e6  # for memory
_CANDIDATES: Final = 256  # for the place of a runaway void


def check_number(owner: Any, name: str, low: float, high: float) -> None:
    """Raise `InputError` unless a parameter is a number between two limits (None where that is its default)."""
    value = getattr(owner, name)
    field = next(f for f in fields(owner) if f.name == name)
    if value is None and field.default is None:
        return
    whole = isinstance(low, int)
    number = isinstance(value, int | np.integer if whole else int | float | np.number) and not isinstance(value, bool)
    if not (number and low <= value <= high):
        kind = "a whole number" if whole else "a number"
        raise InputError(f"{name} = {value!r}; expected {kind} between {low:g} and {high:g}")


@dataclass(frozen=True)
class VoidKinetics:
    """Kinetics of voids: nucleation, healing and runaway growth.

    Attributes
    ----------
    growth_rate : float, optional
        Growth rate ρ of the area of the runaway voids, in 1/s. When not given, ρ times the duration of the movie is
        that of the paper, so that movies of any duration show the whole growth: 0.042/s for 90 frames of 2.25 s.
    final_fraction : float
        Share of the frame that the runaway voids cover in the last frame.
    runaway : int
        Number of runaway voids.
    baseline : float
        Mean share of the frame that healing voids cover, the constant C.
    lifetime : float, optional
        Mean lifetime of a healing void in s; a fifth of the movie when not given.
    critical_radius : float
        Radius in nm that healing voids stay below.
    roughness : float
        Roughness of outlines: standard deviation of their first harmonic (of the others less), over the radius.
    """

    growth_rate: float | None = None
    final_fraction: float = 0.34
    runaway: int = 2
    baseline: float = 0.025
    lifetime: float | None = None
    critical_radius: float = 0.7
    roughness: float = 0.16

    def __post_init__(self) -> None:
        check_number(self, "growth_rate", 0.0, 1e3)
        check_number(self, "final_fraction", 1e-6, 0.6)
        check_number(self, "runaway", 0, 20)
        check_number(self, "baseline", 0.0, 0.3)
        check_number(self, "lifetime", 1e-6, 1e9)
        check_number(self, "critical_radius", 1e-3, 1e3)
        check_number(self, "roughness", 0.0, 0.25)


#: The kinetics that the paper measured: A₀ = 1.85e-5, ρ = 0.042/s and C = 0.059, over 90 frames of 2.25 s.
PAPER_KINETICS: Final = VoidKinetics(
    growth_rate=0.042, final_fraction=1.85e-5 * float(np.exp(0.042 * 89 * 2.25)), runaway=1, baseline=0.059
)


@dataclass(frozen=True)
class _Voids:
    """Voids of one kind; lengths in px, times in s."""

    centre: Floats  # (n, 2)
    area: Floats  # (n,): the largest
    amplitude: Floats  # (n, harmonic) over the radius
    phase: Floats  # (n, harmonic)
    spin: Floats  # (n, harmonic) 1/s
    start: Floats  # (n,) when healing voids nucleate
    life: Floats  # (n,) time from nucleation to healing


@dataclass(frozen=True)
class Outlines:
    """Outlines of the voids at one moment; each encloses exactly the area of its void.

    Attributes
    ----------
    centre : array, shape (n, 2)
        (y, x) in px.
    radius : array, shape (n,)
        Mean radius in px.
    amplitude, phase : arrays, shape (n, harmonics)
        Of the harmonics of the radius, the amplitude over the mean radius.
    runaway : int
        Number of runaway voids; they come first.
    """

    centre: Floats
    radius: Floats
    amplitude: Floats
    phase: Floats
    runaway: int

    def clearance(self, number: int, y: Floats, x: Floats) -> Floats:
        """Return the distance of points from an outline along the ray from its centre; negative inside."""
        dy, dx = y - self.centre[number, 0], x - self.centre[number, 1]
        angle = np.arctan2(dy, dx)
        bulge = np.ones_like(angle)
        for k, amplitude, phase in zip(_HARMONICS, self.amplitude[number], self.phase[number], strict=True):
            bulge += amplitude * np.cos(k * angle + phase)
        return np.asarray(np.hypot(dy, dx) - self.radius[number] * bulge)

    def mask(self, size: int, numbers: range) -> NDArray[np.bool_]:
        """Return which pixels lie within any of the outlines of these numbers."""
        inside = np.zeros((size, size), bool)
        reach = self.radius * (1 + np.abs(self.amplitude).sum(axis=1)) + 1
        for n in numbers:
            low = np.clip(np.floor(self.centre[n] - reach[n]).astype(int), 0, size)
            high = np.clip(np.ceil(self.centre[n] + reach[n]).astype(int) + 1, 0, size)
            y, x = np.arange(low[0], high[0], dtype=float)[:, None], np.arange(low[1], high[1], dtype=float)
            inside[low[0] : high[0], low[1] : high[1]] |= self.clearance(n, y, x) < 0
        return inside


@dataclass(frozen=True)
class VoidHistory:
    """History of all voids of a movie, drawn from the seed.

    Attributes
    ----------
    kinetics : VoidKinetics
    seed : int
    size : int
        Side of a frame in px.
    pixel_size : float
        Side of a pixel in nm.
    duration : float
        Duration of the movie in s.
    smallest : float
        Area in px² of one missing cell, the smallest void.
    drift : array, shape (time, 2)
        Displacement (y, x) of the specimen in px.
    """

    kinetics: VoidKinetics
    seed: int
    size: int
    pixel_size: float
    duration: float
    smallest: float
    drift: Floats

    @property
    def growth_rate(self) -> float:
        """Growth rate of the runaway voids in 1/s."""
        given = self.kinetics.growth_rate
        return _GROWTH / self.duration if given is None else given

    @property
    def lifetime(self) -> float:
        """Mean lifetime of a healing void in s."""
        return self.kinetics.lifetime or self.duration / _LIVES

    @property
    def nucleation_rate(self) -> float:
        """Nucleation rate of healing voids per nm² and s; their area follows sin², half of its peak on average."""
        critical = np.pi * self.kinetics.critical_radius**2
        # Mean of area × lifetime over voids, whose lifetime and peak area are independent.
        return float(self.kinetics.baseline / (critical * np.mean(_PEAK_RANGE) / 2 * self.lifetime))

    @cached_property
    def _runaway(self) -> _Voids:
        rng, count = np.random.default_rng([self.seed, 0, 5]), self.kinetics.runaway
        share = rng.uniform(0.7, 1.3, count)
        area = np.sort(share / share.sum() * self.kinetics.final_fraction * self.size**2)[::-1]
        centre = np.empty((count, 2))
        for n, radius in enumerate(np.sqrt(area / np.pi)):
            # A place where this void, at its final size, is clear of the others and of the edge of the frame.
            places = rng.uniform(0, self.size, (_CANDIDATES, 2))
            edge = np.minimum(places, self.size - places).min(axis=1) - 1.15 * radius
            others = np.linalg.norm(places[:, None] - centre[:n], axis=-1) - np.sqrt(area[:n] / np.pi) - radius
            room = np.minimum(edge, others.min(axis=1, initial=np.inf))
            suitable = np.flatnonzero(room >= 0)
            centre[n] = places[suitable[0] if suitable.size else int(room.argmax())]
        centre -= self.drift[-1]
        return self._draw(rng, centre, area, np.zeros(count), np.full(count, np.inf))

    @cached_property
    def _healing(self) -> _Voids:
        rng = np.random.default_rng([self.seed, 0, 6])
        critical = np.pi * (self.kinetics.critical_radius / self.pixel_size) ** 2
        margin = 1.5 * np.sqrt(critical / np.pi)
        low, high = -self.drift.max(axis=0) - margin, self.size - self.drift.min(axis=0) + margin
        before = _LIFE_RANGE[1] * self.lifetime
        expected = self.nucleation_rate * self.pixel_size**2 * (high - low).prod() * (self.duration + before)
        if expected > _MOST_VOIDS:
            raise InputError(
                f"the baseline needs {expected:.2g} healing voids of {self.lifetime:g} s; expected at most "
                f"{_MOST_VOIDS:.0e}: give a longer lifetime or a larger critical_radius"
            )
        count = int(rng.poisson(expected))
        return self._draw(
            rng,
            rng.uniform(low, high, (count, 2)),
            rng.uniform(*_PEAK_RANGE, count) * critical,
            rng.uniform(-before, self.duration, count),
            rng.uniform(*_LIFE_RANGE, count) * self.lifetime,
        )

    def _draw(self, rng: np.random.Generator, centre: Floats, area: Floats, start: Floats, life: Floats) -> _Voids:
        """Return voids with random outlines."""
        shape = (len(centre), len(_HARMONICS))
        limit = self.kinetics.roughness * 2 / _HARMONICS
        amplitude = np.clip(rng.standard_normal(shape), -1.5, 1.5) * limit
        spin = rng.uniform(-_TURN, _TURN, shape) / self.duration
        return _Voids(centre, area, amplitude, rng.uniform(0, 2 * np.pi, shape), spin, start, life)

    def outlines(self, frame: int) -> Outlines:
        """Return the outlines of the voids in a frame, the runaway ones first."""
        time = frame * self.duration / len(self.drift)
        last = self.duration * (1 - 1 / len(self.drift))
        runaway, healing = self._runaway, self._healing
        runaway_area = runaway.area * np.exp(self.growth_rate * (time - last))
        age = np.clip((time - healing.start) / healing.life, 0, 1)
        healing_area = healing.area * np.sin(np.pi * age) ** 2
        parts = []
        for voids, area in ((runaway, runaway_area), (healing, healing_area)):
            visible = area >= self.smallest
            amplitude = voids.amplitude[visible]
            radius = np.sqrt(area[visible] / (np.pi * (1 + (amplitude**2).sum(axis=1) / 2)))
            phase = voids.phase[visible] + voids.spin[visible] * time
            parts.append((voids.centre[visible] + self.drift[frame], radius, amplitude, phase))
        centre, radius, amplitude, phase = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        return Outlines(centre, radius, amplitude, phase, runaway=len(parts[0][1]))

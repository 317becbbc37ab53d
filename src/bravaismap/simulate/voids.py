"""Simulated voids in a film: how they nucleate, heal and run away, and their outlines at any time.

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


_GROWTH: Final = 0.042 * 202.5  # growth rate of the paper times the duration of its movie
_LIVES: Final = 5.0  # lifetimes of a healing void in a movie, when none is given
_LIFE_RANGE: Final = (0.5, 1.5)  # of a healing void, over the mean lifetime
_PEAK_RANGE: Final = (0.25, 0.95)  # largest area of a healing void, over the critical area
_HARMONICS: Final = np.arange(2, 6)  # of an outline; the first would only move its centre
_TURN: Final = 1.5  # radians by which a harmonic of an outline turns within a movie, at most
_MOST_VOIDS: Final = 1e6
_PLACES: Final = 256  # candidates for the place of a runaway void


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
    """How voids nucleate, heal and run away.

    Attributes
    ----------
    growth_rate : float, optional
        Rate ρ in 1/s at which the area of the runaway voids grows. When not given it follows from the duration of the
        movie so that every movie tells the whole story: 0.042/s, that of the paper, for its 90 frames of 2.25 s.
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
        How far outlines are from a circle: standard deviation of the first harmonic (the others less), over the radius.
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
    start: Floats  # (n,) healing voids: when they nucleate
    life: Floats  # (n,) healing voids: when they have healed, after that


@dataclass(frozen=True)
class Outlines:
    """The voids that exist at one moment: each encloses its area exactly, whatever its outline."""

    centre: Floats
    radius: Floats
    amplitude: Floats
    phase: Floats

    def clearance(self, which: int, y: Floats, x: Floats) -> Floats:
        """Return how far points lie outside an outline, along the ray from its centre; negative inside."""
        dy, dx = y - self.centre[which, 0], x - self.centre[which, 1]
        angle = np.arctan2(dy, dx)
        bulge = np.ones_like(angle)
        for k, amplitude, phase in zip(_HARMONICS, self.amplitude[which], self.phase[which], strict=True):
            bulge += amplitude * np.cos(k * angle + phase)
        return np.asarray(np.hypot(dy, dx) - self.radius[which] * bulge)

    def mask(self, size: int, which: range) -> NDArray[np.bool_]:
        """Return the pixels within any of some outlines."""
        found = np.zeros((size, size), bool)
        reach = self.radius * (1 + np.abs(self.amplitude).sum(axis=1)) + 1
        for n in which:
            low = np.clip(np.floor(self.centre[n] - reach[n]).astype(int), 0, size)
            high = np.clip(np.ceil(self.centre[n] + reach[n]).astype(int) + 1, 0, size)
            y, x = np.arange(low[0], high[0], dtype=float)[:, None], np.arange(low[1], high[1], dtype=float)
            found[low[0] : high[0], low[1] : high[1]] |= self.clearance(n, y, x) < 0
        return found


@dataclass(frozen=True)
class VoidHistory:
    """All voids of a movie, drawn from the seed.

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
        Area in px² of one missing cell; a smaller void is none.
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
        """Healing voids that nucleate per nm² and s; their area follows sin², half of its peak on average."""
        critical = np.pi * self.kinetics.critical_radius**2
        # The mean over lifetimes of area × life; life and peak area are independent.
        return float(self.kinetics.baseline / (critical * np.mean(_PEAK_RANGE) / 2 * self.lifetime))

    @cached_property
    def _runaway(self) -> _Voids:
        rng, count = np.random.default_rng([self.seed, 0, 5]), self.kinetics.runaway
        share = rng.uniform(0.7, 1.3, count)
        area = np.sort(share / share.sum() * self.kinetics.final_fraction * self.size**2)[::-1]
        centre = np.empty((count, 2))
        for n, radius in enumerate(np.sqrt(area / np.pi)):
            # The place that keeps this void, as it is in the end, clear of the others and of the frame's edge.
            places = rng.uniform(0, self.size, (_PLACES, 2))
            edge = np.minimum(places, self.size - places).min(axis=1) - 1.15 * radius
            others = np.linalg.norm(places[:, None] - centre[:n], axis=-1) - np.sqrt(area[:n] / np.pi) - radius
            room = np.minimum(edge, others.min(axis=1, initial=np.inf))
            wide = np.flatnonzero(room >= 0)
            centre[n] = places[wide[0] if wide.size else int(room.argmax())]
        centre -= self.drift[-1]
        return self._drawn(rng, centre, area, np.zeros(count), np.full(count, np.inf))

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
        return self._drawn(
            rng,
            rng.uniform(low, high, (count, 2)),
            rng.uniform(*_PEAK_RANGE, count) * critical,
            rng.uniform(-before, self.duration, count),
            rng.uniform(*_LIFE_RANGE, count) * self.lifetime,
        )

    def _drawn(self, rng: np.random.Generator, centre: Floats, area: Floats, start: Floats, life: Floats) -> _Voids:
        """Return voids with outlines drawn at random."""
        shape = (len(centre), len(_HARMONICS))
        limit = self.kinetics.roughness * 2 / _HARMONICS
        amplitude = np.clip(rng.standard_normal(shape), -1.5, 1.5) * limit
        spin = rng.uniform(-_TURN, _TURN, shape) / self.duration
        return _Voids(centre, area, amplitude, rng.uniform(0, 2 * np.pi, shape), spin, start, life)

    def outlines(self, frame: int) -> tuple[Outlines, int]:
        """Return the voids in a frame, the runaway ones first, and how many those are."""
        time = frame * self.duration / len(self.drift)
        last = self.duration * (1 - 1 / len(self.drift))
        run, heal = self._runaway, self._healing
        grown = run.area * np.exp(self.growth_rate * (time - last))
        age = np.clip((time - heal.start) / heal.life, 0, 1)
        passing = heal.area * np.sin(np.pi * age) ** 2
        parts = []
        for voids, area in ((run, grown), (heal, passing)):
            there = area >= self.smallest
            amplitude = voids.amplitude[there]
            radius = np.sqrt(area[there] / (np.pi * (1 + (amplitude**2).sum(axis=1) / 2)))
            phase = voids.phase[there] + voids.spin[there] * time
            parts.append((voids.centre[there] + self.drift[frame], radius, amplitude, phase))
        centre, radius, amplitude, phase = (np.concatenate(pair) for pair in zip(*parts, strict=True))
        return Outlines(centre, radius, amplitude, phase), len(parts[0][1])

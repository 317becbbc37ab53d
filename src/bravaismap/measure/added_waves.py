"""Added waves: a few waves of any shape, each of one period, that are all that repeats in an image.

Fringes, hum of several frequencies and gratings over one another are sums, each of a function of one phase, which is
linear in the place but for a slow wander. That function is the mean of the image over places of equal phase, so that
all harmonics are in it, those that are folded back at the sampling, too. Waves and phases are fitted in turn, each to
what the others leave. Waves too near one another to be resolved are told apart by their harmonics.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.measure import settings
from bravaismap.measure.nodes import level_at, node_power
from bravaismap.measure.scanlines import leveled
from bravaismap.measure.spots import Spots, find_spots, standardize, whitened_power

__all__ = ["AddedWave", "ClearSpots", "added_waves", "clear_spots", "folded_distance", "fundamentals", "sum_of"]

#: Values of a wave over one period while its phase is found, few first: a phase that is far off tells no more.
_STEPS: Final = (8, 16, 64)
#: Values of a wave over one period in the end, and pixels to each of them at least.
_FINEST, _PIXELS_PER_STEP = 256, 64
#: Rounds in which each wave is fitted to what the others leave: with their phases held, and free.
_ROUNDS: Final = (2, 4)
#: Pixels that the phases are fitted to at most, drawn at random.
_MOST_PIXELS: Final = 2**14
#: Largest change of a phase in one step of its fit, in periods.
_LARGEST_STEP: Final = 0.15


@dataclass(frozen=True)
class AddedWave:
    """A wave of any shape.

    Attributes
    ----------
    phase : array, shape (6,)
        In periods, from the middle of the image to its edges: along y and x, and the squares and cubes of both.
    profile : array, shape (steps,)
        Its values over one period.
    """

    phase: Floats
    profile: Floats

    @property
    def bins(self) -> Floats:
        """Wave vector in cycles per image, (2,)."""
        return self.phase[:2] * 2

    @property
    def strength(self) -> float:
        """Amplitude of the strongest of the fundamental and its harmonics."""
        return float(self._amplitudes.max())

    @property
    def strongest(self) -> Floats:
        """Wave vector of that one in cycles per image, (2,)."""
        return self.bins * (int(self._amplitudes.argmax()) + 1)

    @property
    def _amplitudes(self) -> Floats:
        return np.asarray(np.abs(np.fft.rfft(self.profile)[1:]) * 2 / len(self.profile))

    def at(self, powers: Floats) -> Floats:
        """Return its values at places of which (n, 6) is what a phase is linear in."""
        return np.asarray(self.profile[_step(powers @ self.phase, len(self.profile))])


@dataclass(frozen=True)
class ClearSpots:
    """The spots of an image that have to be explained, strongest first.

    Attributes
    ----------
    position : array, shape (n, 2)
        In bins.
    power : array, shape (n,)
    every : Spots
        With those of which it is not clear that they are any.
    """

    position: Floats
    power: Floats
    every: Spots


def clear_spots(image: Tensor) -> ClearSpots:
    """Return the spots of an image (y, x) that have to be explained; offsets of its lines are none of it."""
    limits = settings.SETTINGS.pickup
    level = leveled(standardize(image[None]))
    spectrum = whitened_power(standardize(level))
    spots = find_spots(spectrum, count=limits.spots, lowest=limits.lowest_frequency)
    power = (node_power(spectrum, spots.position)[0] * level_at(spectrum, spots.position))[0]
    clear = (spots.weight[0] > limits.clear_evidence) & (power > limits.least_power * power.max())
    chosen = torch.nonzero(clear).squeeze(1)
    chosen = chosen[power[chosen].argsort(descending=True, stable=True)]
    scale = float(image.double().var() * level.double().var())
    position, height = (values[chosen].double().cpu().numpy() for values in (spots.position[0], power))
    return ClearSpots(position, scale * height, spots)


def fundamentals(spots: Floats, power: Floats, size: NDArray[np.intp]) -> list[Floats]:
    """Return the waves, in bins, whose harmonics all spots are; none if they are too many, or have sums.

    Parameters
    ----------
    spots : array, shape (n, 2)
        In bins, strongest first.
    power : array, shape (n,)
    size : int array, shape (2,)
        Height and width of the image in px.
    """
    limits = settings.SETTINGS.pickup
    waves: list[Floats] = []
    strength: list[float] = []
    for count, spot in enumerate(spots):
        ratios = np.array(strength) / np.sqrt(power[count])
        if any(_is_multiple(spot, wave, size, _highest(ratio)) for wave, ratio in zip(waves, ratios, strict=True)):
            continue
        if _is_skirt(spot, spots, count, waves, size):
            continue
        place = _unresolved(spot, waves)
        if place is None:
            waves.append(spot)
            strength.append(np.sqrt(power[count]))
            continue
        number, order = place
        if any(_is_multiple(other, waves[number], size, limits.harmonics, lowest=2) for other in spots):
            waves.append(spot / order)
            strength.append(strength[number])
        else:
            waves[number] = spot / order
    return [] if len(waves) > limits.most_waves or _have_sums(spots, waves, size) else waves


def sum_of(waves: Sequence[AddedWave], shape: tuple[int, ...]) -> Floats:
    """Return the sum of waves in an image of a shape (y, x)."""
    powers = _powers(shape)
    return np.asarray(sum(wave.at(powers) for wave in waves)).reshape(shape)


def added_waves(image: Tensor, starts: Sequence[Floats], most: float) -> list[AddedWave]:
    """Return the waves that are all that repeats in an image, the strongest first; none if they are not.

    Parameters
    ----------
    image : tensor, shape (y, x)
    starts : sequence of arrays, shape (2,)
        About where their fundamentals are, in bins; others are found in what these leave.
    most : float
        Power of the strongest of the :func:`clear_spots` of the image.
    """
    limits, size = settings.SETTINGS.pickup, np.array(image.shape)
    powers = _powers(tuple(image.shape))
    pixels = image.double().cpu().numpy().ravel()
    pixels = pixels - pixels.mean()
    waves = [_start(bins) for bins in starts]
    for _ in range(2 * limits.most_waves):
        waves = _fitted(pixels, powers, waves)
        if len(distinct := _distinct(waves, size)) < len(waves):
            waves = _fitted(pixels, powers, distinct)
        rest = pixels - sum(wave.at(powers) for wave in waves)
        spots = clear_spots(torch.from_numpy(rest.reshape(image.shape)).to(image))
        left, power = spots.position, spots.power
        left = left[(power > limits.least_power * most) & ~_are_skirts(left, power / most, waves)]
        if len(left) == 0:
            faintest = np.sqrt(limits.least_power) * max(wave.strength for wave in waves)
            return sorted((wave for wave in waves if wave.strength > faintest), key=lambda wave: -wave.strength)
        waves = [wave for wave in waves if not _is_multiple(wave.bins, left[0], size, limits.harmonics, lowest=2)]
        if len(waves) == limits.most_waves:
            return []
        waves.append(_start(left[0]))
    return []


def _are_skirts(spots: Floats, power: Floats, waves: Sequence[AddedWave]) -> NDArray[np.bool_]:
    """Which spots are what an imperfect fit leaves beside a wave, from their power over that of the strongest spot."""
    limits, skirts = settings.SETTINGS.pickup, np.zeros(len(spots), bool)
    most = max(wave.strength for wave in waves)
    for wave in waves:
        near = np.linalg.norm(spots - wave.strongest, axis=1) < limits.same_wave
        skirts |= near & (power < limits.skirt_power * (wave.strength / most) ** 2)
    return skirts


def _distinct(waves: list[AddedWave], size: NDArray[np.intp]) -> list[AddedWave]:
    """The waves without those that are harmonics of stronger ones."""
    kept: list[AddedWave] = []
    for wave in sorted(waves, key=lambda wave: -wave.strength):
        ratios = [stronger.strength / max(wave.strength, 1e-30) for stronger in kept]
        if not any(
            _is_multiple(wave.bins, stronger.bins, size, _highest(ratio))
            for stronger, ratio in zip(kept, ratios, strict=True)
        ):
            kept.append(wave)
    return kept


def _is_skirt(spot: Floats, spots: Floats, count: int, waves: list[Floats], size: NDArray[np.intp]) -> bool:
    """Whether a spot is beside one of those, so many, that are stronger, and has no harmonics of its own."""
    limits = settings.SETTINGS.pickup
    if count == 0 or folded_distance(spots[:count] - spot, size).min() >= limits.same_wave:
        return False
    return not any(
        _is_multiple(other, spot, size, limits.unresolved_orders, lowest=2)
        and not any(_is_multiple(other, wave, size, limits.unresolved_orders) for wave in waves)
        for other in spots
    )


def _highest(ratio: float) -> int:
    """Highest order of a harmonic whose fundamental is so many times as strong."""
    limits = settings.SETTINGS.pickup
    return int(min(limits.highest_harmonic, max(1.0, limits.harmonic_ratio * ratio)))


def _is_multiple(spot: Floats, wave: Floats, size: NDArray[np.intp], highest: int, lowest: int = 1) -> bool:
    """Whether a spot is a harmonic of a wave, both in bins, (2,), folded back or not, of one of the orders."""
    limits = settings.SETTINGS.pickup
    order = np.arange(lowest, highest + 1)
    both = np.concatenate([order, -order])
    slack = limits.multiple_slack + limits.slack_per_order * np.abs(both)
    return bool((folded_distance(both[:, None] * wave - spot, size) < slack).any())


def folded_distance(bins: Floats, size: NDArray[np.intp]) -> Floats:
    """Return how far differences (..., 2) of waves are from 0, in bins, folded back at the sampling of an image.

    Parameters
    ----------
    bins : array, shape (..., 2)
    size : int array, shape (2,)
        Height and width of the image in px.
    """
    return np.asarray(np.linalg.norm(bins - np.rint(bins / size) * size, axis=-1))


def _unresolved(spot: Floats, waves: list[Floats]) -> tuple[int, int] | None:
    """Return the number of a wave from which a spot's wave is not resolved, and the order of the spot."""
    limits = settings.SETTINGS.pickup
    for number, wave in enumerate(waves):
        for order in range(2, limits.unresolved_orders + 1):
            if np.linalg.norm(spot / order - wave) < limits.lowest_frequency:
                return number, order
    return None


def _have_sums(spots: Floats, waves: list[Floats], size: NDArray[np.intp]) -> bool:
    """Whether a sum or a difference of two waves is among the spots."""
    limits = settings.SETTINGS.pickup
    others = [spot for spot in spots if not any(_is_multiple(spot, wave, size, limits.harmonics) for wave in waves)]
    others += waves
    return any(
        folded_distance(first + sign * second - spot, size) < limits.multiple_slack
        or folded_distance(first + sign * second + spot, size) < limits.multiple_slack
        for first, second in itertools.combinations(waves, 2)
        for sign in (1, -1)
        for spot in others
    )


def _powers(shape: tuple[int, ...]) -> Floats:
    """What a phase is linear in at the pixels of an image, (pixels, 6)."""
    lines = [(np.arange(side) - (side - 1) / 2) / (side / 2) for side in shape]
    places = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.concatenate([places, places**2, places**3], axis=1)


def _start(bins: Floats) -> AddedWave:
    return AddedWave(np.concatenate([bins / 2, np.zeros(4)]), np.zeros(_STEPS[0]))


def _step(phase: Floats, steps: int) -> NDArray[np.intp]:
    """Number of the step of a period at phases in periods."""
    return np.minimum(((phase % 1.0) * steps).astype(np.intp), steps - 1)


def _fitted(pixels: Floats, powers: Floats, waves: Sequence[AddedWave]) -> list[AddedWave]:
    """Waves fitted to an image in turn, each to what the others leave: its phase to some of the pixels, then its shape.

    Parameters
    ----------
    pixels : array, shape (n,)
    powers : array, shape (n, 6)
        What a phase is linear in there.
    waves : sequence of AddedWave
    """
    waves, drawn = list(waves), np.arange(len(pixels))
    if len(drawn) > _MOST_PIXELS:
        drawn = np.sort(np.random.default_rng(0).choice(len(drawn), _MOST_PIXELS, replace=False))
    own, places = pixels[drawn], powers[drawn]
    alone = len(waves) == 1
    rounds = [True] if alone else [False] * _ROUNDS[0] + [True] * _ROUNDS[1]
    values = [wave.at(places) for wave in waves]
    for free in rounds:
        for turn, wave in enumerate(waves):
            rest = own - sum(other for number, other in enumerate(values) if number != turn)
            waves[turn] = _phased(rest, places, wave) if free else _shaped(rest, places, wave, _STEPS[-1])
            values[turn] = waves[turn].at(places)
    steps = int(min(_FINEST, max(_STEPS[0], len(pixels) // _PIXELS_PER_STEP)))
    values = [wave.at(powers) for wave in waves]
    for turn, wave in enumerate(waves):
        rest = pixels - sum(other for number, other in enumerate(values) if number != turn)
        waves[turn] = _shaped(rest, powers, wave, steps)
        values[turn] = waves[turn].at(powers)
    return waves


def _shaped(pixels: Floats, powers: Floats, wave: AddedWave, steps: int) -> AddedWave:
    """The wave with the mean of the pixels over places of equal phase for its values."""
    return replace(wave, profile=_profile(pixels, _step(powers @ wave.phase, steps), steps))


def _profile(pixels: Floats, step: NDArray[np.intp], steps: int) -> Floats:
    """Mean of the pixels over each step of a period, without that of all steps."""
    count = np.bincount(step, minlength=steps)
    profile = np.bincount(step, pixels, steps) / np.maximum(count, 1)
    return np.where(count > 0, profile - profile.mean(), 0.0)


def _phased(pixels: Floats, powers: Floats, wave: AddedWave) -> AddedWave:
    """The wave with the phase that explains most of the pixels near its own, by Gauss–Newton steps."""
    phase = wave.phase
    for steps in _STEPS:
        step = _step(powers @ phase, steps)
        profile = _profile(pixels, step, steps)
        slope = (np.roll(profile, -1) - np.roll(profile, 1)) * (steps / 2)
        design = slope[step][:, None] * powers
        normal = design.T @ design
        ridge = 1e-6 * np.trace(normal) / 6 + 1e-300
        change = np.linalg.solve(normal + ridge * np.eye(6), design.T @ (pixels - profile[step]))
        phase = phase + change * min(1.0, _LARGEST_STEP / max(float(np.abs(change).sum()), 1e-30))
    return _shaped(pixels, powers, replace(wave, phase=phase), _STEPS[-1])

"""Turns: lattices by the pixels that they hold, and pixels by the lattices, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.compute.together import Length, number, numbers_of, together
from bravaismap.local.amplitude import (
    LocalFit,
    Noise,
    amplitude_std,
    displaced_variance,
    fit_amplitude,
    frame_noise,
    row_offsets,
)
from bravaismap.local.demodulation import demodulate
from bravaismap.local.displacement import Locked, lock, locked_basis, predicted
from bravaismap.local.flattening import FINE, FlatFrame, SoughtLattice, without_rows
from bravaismap.local.held_sites import HeldSites, SeenCrystal, held_sites
from bravaismap.local.neighbourhood import nearby, without_gaps, without_vacancies
from bravaismap.local.phases import KnownCrystals, log_likelihood, phase_probability
from bravaismap.local.pixels import Crystal
from bravaismap.local.populations import FEWEST_SITES
from bravaismap.local.scale import FAINT, INSIDE, usual_amplitude
from bravaismap.local.smoothing import at_every_pixel, smoothed

__all__ = ["Told", "Turn", "at_points_of", "in_each", "levelled", "refined", "turned", "with_shares"]

Answer = TypeVar("Answer")

#: Correlation of the noise that is assumed until it has been measured.
_FIRST_CORRELATION = 4.0
#: Share that a lattice must have in the neighbourhood of some place, if another one has an inside: a pattern of noise
#: explains a void as well as emptiness does, and would be given half of it.
_SOMEWHERE = 0.6
#: Share of none from which on a frame is mostly without a lattice; the turn before sees less of it than there is.
_MOSTLY = 0.4
#: What a pixel without a lattice counts for when the noise is measured: amorphous matter is no noise.
_OUTSIDE_COUNTS = 0.05
#: Nodes whose structure factor is at least this part of the strongest span the band of the noise.
_IN_BAND = 0.2
#: Standard deviation of the Gaussian of the amplitude in cells where an amplitude errs by more than _NOISY.
_FINE_IN_NOISE, _NOISY = 0.5, 0.3


@dataclass(frozen=True)
class _Fitted:
    """The patterns of the lattices of a frame and what was fitted with them.

    Attributes
    ----------
    locked : tuple of Locked
    patterns : tensor, shape (lattices, y, x)
    fit : LocalFit
    std : tensor, shape (lattices, rows, columns)
        Of the amplitudes.
    near : tensor, shape (lattices + 1, rows, columns)
        Share of each phase nearby, as the turn before found it.
    variance : tensor, shape (rows, columns)
        Of the noise.
    freedom : float, or tensor of shape ()
        Independent values of the noise in the Gaussian of the fit.
    """

    locked: tuple[Locked, ...]
    patterns: Tensor
    fit: LocalFit
    std: Tensor
    near: Tensor
    variance: Tensor
    freedom: float | Tensor


@dataclass(frozen=True)
class Told:
    """What one turn says of a frame.

    Attributes
    ----------
    locked, patterns, fit, std
        The patterns of its lattices, (lattices, y, x), and what was fitted with them, (lattices, rows, columns).
    probability : tensor, shape (lattices + 1, rows, columns)
        Of each lattice, and of none last.
    crystals : tuple of Crystal
        Empty after the first turn.
    """

    locked: tuple[Locked, ...]
    patterns: Tensor
    fit: LocalFit
    std: Tensor
    probability: Tensor
    crystals: tuple[Crystal, ...]


@dataclass(frozen=True)
class Turn(Told):
    """What one turn says of a frame, with what the next turn goes by.

    Attributes
    ----------
    shares : tensor, shape (lattices, y, x)
        Probability of each lattice at every pixel, 0 where masked.
    noise : Noise
        What the patterns leave over by these shares.
    """

    shares: Tensor
    noise: Noise


def in_each(function: Callable[..., Answer], *columns: Sequence[Sequence[Any]]) -> list[tuple[Answer, ...]]:
    """Apply a function to each crystal of each frame, with arguments that are given frame by frame."""
    answers = iter(together(function, *([value for own in column for value in own] for column in columns)))
    return [tuple(next(answers) for _ in own) for own in columns[0]]


def refined(lattice: SoughtLattice, locked: Locked) -> SoughtLattice:
    """Return a lattice as its crystal has it."""
    return replace(lattice, basis=locked_basis(locked))


def levelled(frame: FlatFrame, turn: Turn) -> FlatFrame:
    """Return a frame without the offsets of its rows, and with the Gaussian of the amplitude that suits its noise."""
    mixed = (turn.shares * turn.patterns).sum(0)
    rows = row_offsets(frame.flat - mixed, frame.valid, turn.noise.variance(frame.background))
    return without_rows(replace(frame, fine=_suited(frame, turn, mixed)), rows)


def _suited(frame: FlatFrame, turn: Turn, mixed: Tensor) -> Length:
    """Width in px of the Gaussian of the amplitude that suits the noise; `mixed` are the patterns by their shares."""
    if frame.settings.fine is not None:
        return frame.fine
    variance = turn.noise.variance(frame.level + mixed)
    std = amplitude_std(turn.fit, turn.patterns, frame.valid, variance, turn.noise.correlation)
    inside = turn.probability[:-1] > INSIDE
    usual = _median(std, inside)
    noisy = (inside.sum() >= FEWEST_SITES) & (usual * number(turn.fit.sigma) > _NOISY * FINE * frame.cell.value)
    if isinstance(frame.cell.value, float):
        return frame.cell * (_FINE_IN_NOISE if bool(noisy) else FINE)
    width = torch.where(noisy, _FINE_IN_NOISE, FINE) * frame.cell.value
    return Length(width, max(FINE, _FINE_IN_NOISE) * frame.cell.most)


def _median(values: Tensor, chosen: Tensor) -> Tensor:
    """Median of the chosen values, the lower of two; NaN if there are none."""
    return lower_nanmedian(torch.where(chosen, values, torch.nan).flatten())


def at_points_of(frame: FlatFrame, turn: Turn) -> Turn:
    """Return a turn whose probabilities are those at the points of a frame, which lie among its own or on them."""
    points = [-(-length // frame.step) for length in frame.image.shape]
    between = at_every_pixel(turn.probability, turn.fit.step // frame.step, points)
    return replace(turn, probability=between.clamp(0.0, 1.0))


def turned(
    frames: Sequence[FlatFrame], sought: Sequence[tuple[SoughtLattice, ...]], before: Sequence[Turn | None]
) -> list[Told]:
    """Return one more turn of frames: lattices by the pixels that the turn before gave them, and pixels by these.

    Parameters
    ----------
    frames : sequence of FlatFrame
    sought : sequence of tuple of SoughtLattice
        The lattices of each frame.
    before : sequence of Turn or None
        None for the first turn of all frames.
    """
    shares = [
        tuple((frame.valid / len(own)) for _ in own) if turn is None else turn.shares.unbind()
        for frame, own, turn in zip(frames, sought, before, strict=True)
    ]

    def of_frame(values: Iterable[Any]) -> list[tuple[Any, ...]]:
        return [(value,) * len(own) for value, own in zip(values, sought, strict=True)]

    earlier = [(None,) * len(own) if turn is None else turn.locked for own, turn in zip(sought, before, strict=True)]
    noise = of_frame(None if turn is None else turn.noise for turn in before)
    planes = of_frame((frame.flat, frame.background) for frame in frames)
    locked = in_each(_locked, planes, shares, sought, noise, earlier)
    counts = iter(numbers_of([(crystal.structure != 0).sum() for own in locked for crystal in own]))
    nodes = [tuple(int(next(counts)) for _ in own) for own in locked]
    if len(frames) > 1:
        nodes = of_frame([max(map(max, nodes))] * len(frames))
    patterns = in_each(predicted, locked, of_frame(tuple(frame.image.shape) for frame in frames), nodes)
    fitted = together(_fitted, frames, locked, patterns, before)
    if before[0] is None:
        return together(_first_turn, frames, fitted)
    crystals = _crystals(frames, fitted, [turn.noise for turn in before if turn is not None])
    return together(_next_turn, frames, fitted, crystals)


def _locked(
    planes: tuple[Tensor, Tensor], share: Tensor, lattice: SoughtLattice, noise: Noise | None, near: Locked | None
) -> Locked:
    flat, background = planes
    waves = demodulate(flat, share, lattice.basis, lattice.order, lattice.sigma, lattice.step)
    if noise is None:
        return lock(waves, highest=lattice.highest)
    level = (background * share).sum() / share.sum().clamp_min(1e-6)
    density = noise.correlation * noise.variance(level)
    return lock(waves, density.expand(len(lattice.order)), near, lattice.highest)


def _fitted(frame: FlatFrame, locked: tuple[Locked, ...], patterns: tuple[Tensor, ...], before: Turn | None) -> _Fitted:
    """The amplitudes of the patterns, and the noise that they have."""
    every = torch.stack(patterns)
    fit = fit_amplitude(frame.flat, every, frame.valid, frame.fine, frame.step)
    independent = 4 * torch.pi * frame.fine.value**2
    if before is None:
        variance = torch.minimum(fit.energy, fit.residual(1.0).amin(0))
        variance = lower_nanmedian(variance.flatten()).clamp_min(1e-30).expand_as(fit.energy)
        blank = torch.zeros_like(fit.product)
        return _Fitted(locked, every, fit, blank, blank, variance, independent / _FIRST_CORRELATION)
    near = nearby(before.probability, fit.seen, frame.cell / frame.step)
    noise = before.noise
    mixed = frame.level + (before.shares * every).sum(0)
    std = amplitude_std(fit, every, frame.valid, noise.variance(mixed), noise.correlation)
    scale = usual_amplitude(fit, std, before.probability[:-1], near[:-1])
    every, fit, std = every * scale, fit.scaled(scale), std / scale
    locked = tuple(replace(own, structure=own.structure * f) for own, f in zip(locked, scale.flatten(), strict=True))
    rows, columns = fit.energy.shape
    variance = smoothed(noise.variance(frame.level) * frame.valid, frame.fine, frame.step)[:rows, :columns]
    variance = (variance / fit.seen.clamp_min(1e-6)).clamp_min(1e-30)
    return _Fitted(locked, every, fit, std, near, variance, independent / noise.correlation)


def with_shares(frame: FlatFrame, told: Told) -> Turn:
    """Return a turn with the shares of the lattices in all pixels, and the noise that these leave over."""
    shares = _at_pixels(frame, told.probability[:-1])
    mixed = (shares * told.patterns).sum(0)
    counted = (shares.sum(0) + _OUTSIDE_COUNTS) * frame.valid
    residual = (frame.flat + frame.background - frame.level - mixed) * frame.valid
    noise = frame_noise(residual, frame.level + mixed, counted, _band(told.locked))
    return Turn(told.locked, told.patterns, told.fit, told.std, told.probability, told.crystals, shares, noise)


def _first_turn(frame: FlatFrame, fitted: _Fitted) -> Told:
    logarithm = log_likelihood(fitted.fit, fitted.variance, fitted.freedom)
    return _told(frame, fitted, logarithm, torch.zeros_like(fitted.fit.product), ())


def _next_turn(frame: FlatFrame, fitted: _Fitted, held: tuple[HeldSites, ...]) -> Told:
    fit, variance, freedom = fitted.fit, fitted.variance, fitted.freedom
    excess = []
    for k, own in enumerate(held):
        # the error that amplitudes have, over the one that even noise of this variance would give them
        excess.append((fitted.std[k] ** 2 + own.spread**2) * freedom * fit.contrast[k] / variance)
    inside = fitted.near[:-1] > INSIDE
    inflation = _median(torch.stack(excess), inside)
    variance = variance * torch.where(inside.sum() >= FEWEST_SITES, inflation, 1.0)
    displaced = displaced_variance(frame.flat, fitted.patterns, frame.valid, fit, variance / freedom, frame.cell)
    # over a frame that is mostly disordered the median is that of disorder; where noise chooses the inside, of chance
    clear = _median(fitted.std, inside) < FAINT[0]
    of_crystals = KnownCrystals(
        level=torch.stack([own.level for own in held]),
        substituted=torch.stack([own.substituted for own in held]),
        displaced=displaced,
        somewhere=_somewhere(fitted.near[:-1]),
        telling=inside.any(0) & (fitted.near[-1].mean() > _MOSTLY) & clear,
    )
    logarithm = log_likelihood(fit, variance, freedom, of_crystals)
    pairs = zip(fitted.locked, held, strict=True)
    crystals = tuple(Crystal(locked, own.origins, own.populations, own.tells_vacancies) for locked, own in pairs)
    return _told(frame, fitted, logarithm, torch.stack([own.vacant for own in held]), crystals)


def _somewhere(near: Tensor) -> Tensor:
    """Which lattices are clearly somewhere, (lattices,), by their shares nearby; all of them if none has an inside."""
    most = near.flatten(1).amax(1)
    return (most > _SOMEWHERE) | (most.amax() <= INSIDE)


def _told(frame: FlatFrame, fitted: _Fitted, logarithm: Tensor, vacant: Tensor, crystals: tuple[Crystal, ...]) -> Told:
    """Pixels by the log likelihoods of the phases."""
    fit = fitted.fit
    independent = frame.cell.value**2 / (4 * torch.pi * frame.fine.value**2)
    probability = phase_probability(logarithm, fit.seen, frame.cell / frame.step, independent, frame.grid.pitches)
    none = probability[-2:].sum(0, keepdim=True)  # empty or disordered
    probability = torch.cat([probability[:-2], none])
    near = nearby(probability, fit.seen, frame.cell / frame.step)
    probability = without_gaps(without_vacancies(probability, near, vacant), near)
    return Told(fitted.locked, fitted.patterns, fit, fitted.std, probability, crystals)


def _crystals(
    frames: Sequence[FlatFrame], fitted: Sequence[_Fitted], noises: Sequence[Noise]
) -> list[tuple[HeldSites, ...]]:
    """What the sites of each crystal of each frame hold."""
    seen = [
        [
            SeenCrystal(locked, amplitude, std, own, f.near[-1], f.fit.seen, frame.step, f.fit.sigma, noise, level)
            for locked, amplitude, std, own, level in zip(
                f.locked, f.fit.amplitude, f.std, f.near[:-1], _brightness(frame, f.near[:-1]), strict=True
            )
        ]
        for frame, f, noise in zip(frames, fitted, noises, strict=True)
    ]
    held = iter(held_sites([crystal for own in seen for crystal in own], frames[0].settings.dark))
    return [tuple(next(held) for _ in own) for own in seen]


def _brightness(frame: FlatFrame, own: Tensor) -> Tensor:
    """Mean brightness of a frame where each crystal is, (lattices,), by their shares (lattices, rows, columns)."""
    level = frame.level[:: frame.step, :: frame.step]
    return (level * own).sum((1, 2)) / own.sum((1, 2)).clamp_min(1e-6)


def _at_pixels(frame: FlatFrame, probability: Tensor) -> Tensor:
    """Probabilities on the grid, (phases, rows, columns), at all pixels, 0 where masked."""
    return at_every_pixel(probability, frame.step, frame.image.shape).clamp(0.0, 1.0) * frame.valid


def _band(locked: tuple[Locked, ...]) -> tuple[Tensor, Tensor]:
    """Lowest and highest frequency of the nodes that matter."""
    lengths = torch.cat([torch.linalg.vector_norm(own.waves.frequency, dim=-1) for own in locked])
    strengths = [own.structure.abs() for own in locked]
    matters = torch.cat([strength >= _IN_BAND * strength.max() for strength in strengths])
    lowest, highest = (torch.where(matters, lengths, other) for other in (torch.inf, -torch.inf))
    return 0.9 * lowest.amin(), 1.1 * highest.amax()

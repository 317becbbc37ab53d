"""Area in noise: the share of a frame that each phase covers where atoms are as faint as the noise, with its error.

There some crystal is taken for none, and more of it than none for crystal: the crystal is the brighter and so the
noisier of the two, and there is more of it. How much that is, is found by asking a simulated frame, whose truth is the
map, with the noise that the frame has.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.local.area import AreaFraction, area_fraction, points_together
from bravaismap.local.neighbourhood import nearby
from bravaismap.local.phases import phase_probability
from bravaismap.local.pixels import PixelPhases
from bravaismap.local.scale import ramp
from bravaismap.local.smoothing import smoothed

__all__ = ["area_in_noise"]

#: Error of an amplitude up to which noise makes nothing of a crystal none, nor the other way round.
_QUIET = 0.1
#: Errors of an amplitude up to which the single vacancies that noise hides make up for what it adds inside crystals,
#: and from which on half of that is too much; measured on films of 3 to 0.15 counts, with single vacancies and without.
_MADE_UP = (0.25, 0.4)
#: Shares of none nearby between which a place is inside a crystal and at an edge of it.
_AT_EDGE = (0.1, 0.3)
#: Smallest error of an amplitude in a simulated frame.
_LEAST_ERROR = 0.05
#: Standard deviation of the amplitude of a crystal before its pixels are looked at, over that amplitude.
_UNKNOWN_AMPLITUDE = 0.5
#: Variance of a share of which nothing is known.
_UNKNOWN_SHARE = 1 / 12
#: Log likelihood of a lattice that the frame does not show.
_NOWHERE = -60.0
#: Seed of the noise of the simulated frame: the same frame has the same area whenever it is asked.
_SEED = 0


@dataclass(frozen=True)
class _Grid:
    """Points of a frame that count, (rows, columns), their number, and how many of them err together."""

    counted: Tensor
    total: Tensor
    together: float

    @classmethod
    def of(cls, pixels: PixelPhases) -> _Grid:
        counted = (pixels.seen > 0).to(pixels.probability)
        return cls(counted, counted.sum(), points_together(pixels.cell, pixels.fine, pixels.step))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the points, of values (..., rows, columns)."""
        mean: Tensor = (values * self.counted).sum((-2, -1)) / self.total
        return mean


def area_in_noise(pixels: PixelPhases, label: Tensor, classes: int) -> AreaFraction:
    """Return the share of a frame that each class covers, less what noise adds to it.

    Parameters
    ----------
    pixels : PixelPhases
    label : tensor, shape (lattices + 1,)
        Class of each lattice, and of none last.
    classes : int

    Returns
    -------
    AreaFraction
        That of :func:`bravaismap.local.area.area_fraction` where amplitudes err by less than a tenth, or no pixel shows
        a lattice.

    Raises
    ------
    InputError
        If no point is valid.

    Notes
    -----
    At the edges of crystals all of what noise adds is taken off, and inside them where single vacancies are told. Else
    the simulated frame lacks the vacancies and small voids that its noise hides, which the true one has, as many as
    nobody knows. What noise adds there on
    balance is between nothing and what it adds to the simulated frame: half of it where amplitudes err by more than two
    fifths, less where they err by less. It is known as well as all of it is large. Besides, the amplitude of the
    crystal and the share of none are found together, and where single amplitudes err by as much as they are, one stands
    for the other: the variance
    of the share is gᵀ I⁻¹ g with I the information on the logit of the share and on the amplitude that independent
    points give beside what is known beforehand, and g how the mean probability depends on both. With q the probability
    of none and pₖ, sₖ, σₖ of the lattices, the scores of a point are ``q − q̄`` and ``Σ pₖ (sₖ − 1) / σₖ²``; what they
    say of a pixel that is decided counts for nothing, since ``∂q = q (1 − q)`` (T. A. Louis, J. R. Stat. Soc. B 44, 226
    (1982), doi:10.1111/j.2517-6161.1982.tb01203.x).
    """
    plain = area_fraction(pixels.probability, pixels.seen, label, classes, pixels.cell, pixels.fine, pixels.step)
    present = _present(pixels)
    error = pixels.amplitude_std[present].median().nan_to_num(0.0)
    if float(error) < _QUIET:
        return plain
    grid = _Grid.of(pixels)
    told = torch.tensor([crystal.tells_vacancies for crystal in pixels.crystals], device=error.device)
    at_edges, inside = _added(pixels, grid)
    part = torch.where(told, 1.0, ramp(error, _MADE_UP) / 2)
    lost = part * inside[:-1]
    taken = at_edges + torch.cat([lost, -lost.sum()[None]])
    taken, added = (torch.zeros_like(plain.fraction).index_add_(0, label, own) for own in (taken, at_edges + inside))
    fraction = (plain.fraction - taken).clamp_min(0)
    # what none gains the crystals lose, each by its share
    none = torch.arange(classes, device=label.device) == label[-1]
    crystal = torch.where(none, 0.0, plain.fraction)
    lost = torch.where(none, 1.0, crystal / crystal.sum().clamp_min(1e-6))
    exchanged = lost**2 * _exchanged(pixels, grid)
    return AreaFraction(fraction / fraction.sum(), (plain.fraction_std**2 + added**2 + exchanged).sqrt())


def _present(pixels: PixelPhases) -> Tensor:
    """Which lattices some pixel belongs to, (lattices,)."""
    number = torch.arange(len(pixels.amplitude), device=pixels.phase.device)
    return (pixels.probability.max(0).indices == number[:, None, None]).flatten(1).any(1)


def _added(pixels: PixelPhases, grid: _Grid) -> tuple[Tensor, Tensor]:
    """What noise adds to the mean probability of each lattice, and of none, at edges and inside, (lattices + 1,)."""
    lattices = len(pixels.amplitude)
    true = torch.nn.functional.one_hot(pixels.probability.max(0).indices, lattices + 1).movedim(-1, 0)
    width = pixels.fine / pixels.step
    around = smoothed(grid.counted, width).clamp_min(1e-6)
    amplitude = smoothed(true[:-1] * grid.counted, width) / around
    generator = torch.Generator().manual_seed(_SEED)
    white = torch.randn(amplitude.shape, generator=generator).to(amplitude)
    noise = smoothed(white, width) * (2 * torch.pi**0.5 * width)  # of variance 1
    error = pixels.amplitude_std.clamp_min(_LEAST_ERROR)
    quiet = _asked(pixels, amplitude, error.clamp_max(_QUIET))
    added = _asked(pixels, amplitude + error * noise, error) - quiet
    edge = ramp(nearby(pixels.probability, pixels.seen, pixels.cell / pixels.step)[-1], _AT_EDGE)
    return grid.mean(added * edge), grid.mean(added * (1 - edge))


def _asked(pixels: PixelPhases, amplitude: Tensor, error: Tensor) -> Tensor:
    """Probability of each lattice, and of none, if amplitudes were these, with these errors."""
    logarithm = (2 * amplitude - 1) / (2 * error**2)
    logarithm = torch.where(_present(pixels)[:, None, None], logarithm, _NOWHERE)
    nothing = torch.zeros_like(logarithm[:1])  # empty, and disordered
    logarithm = torch.cat([logarithm, nothing, nothing])
    independent = pixels.cell**2 / (4 * torch.pi * pixels.fine**2)
    probability = phase_probability(logarithm, pixels.seen, pixels.cell / pixels.step, independent)
    return torch.cat([probability[:-2], probability[-2:].sum(0, keepdim=True)])


def _exchanged(pixels: PixelPhases, grid: _Grid) -> Tensor:
    """Variance of the share of none, since the amplitude of the crystals is known only beside it."""
    none, variance = pixels.probability[-1], pixels.amplitude_std.clamp_min(_LEAST_ERROR) ** 2
    mean = grid.mean(none)
    fainter = (pixels.probability[:-1] * (pixels.amplitude - 1) / variance).sum(0)
    score = torch.stack([none - mean, fainter])
    independent = grid.total / grid.together
    information = independent * grid.mean(score[:, None] * score)
    beforehand = torch.stack([2 * mean * (1 - mean), torch.full_like(mean, _UNKNOWN_AMPLITUDE**-2)])
    undecided = none * (1 - none)
    slope = grid.mean(torch.stack([undecided, -none * fainter]))
    precision = information + torch.diag(beforehand.clamp_min(1e-6))
    exchanged: Tensor = slope @ torch.linalg.solve(precision, slope)
    return exchanged.clamp(0.0, _UNKNOWN_SHARE)

"""Phases: to which lattice each pixel belongs, or to none, as calibrated probabilities.

Each lattice says what the neighbourhood of a pixel should look like; where there is none, it is even, as a void is, or
disordered, as amorphous matter is. What is left over, in a Gaussian of less than half a cell, is compared with the
noise. A misfit beyond what is usual in the frame counts by its logarithm only: nobody knows the variance of what is not
noise, be it a distorted cell or amorphous matter.

How probable a lattice is beforehand is the mixture of phases nearby, which the evidence itself determines
(variational Bayes in a Gaussian of one and a half cells, with the mixture of the whole frame as the mean of a Dirichlet
prior). Counts are few there, so that the mixture of most evidence would hold some of every phase in noise; the mean
logarithm of a share, ψ of its count, does not: most neighbourhoods are of one phase (H. Attias, Adv. Neural Inf.
Process. Syst. 12, 209 (2000)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.compute.together import Length
from bravaismap.local.amplitude import LocalFit
from bravaismap.local.smoothing import at_every_pixel, smoothed, smoothed_shares

__all__ = ["NEIGHBOURHOOD", "KnownCrystals", "Pitches", "log_likelihood", "phase_probability"]

#: Independent values that describe what is no noise in the Gaussian of a fit: the place, height and width of an atom.
_MISFIT_FREEDOM = 4.0
#: By how much more a misfit counts against a lattice than against disorder: what departs from it is rare in a crystal.
#: With this the areas of grains beside amorphous matter are unbiased. A void departs from evenness as rarely: its edge
#: then lies half way between the last atoms and the first missing ones.
_MISFIT_IN_CRYSTAL = 1.0
#: Variance that disordered matter has at least, over that of the pattern of a crystal.
_DISORDER = 0.5
#: Scatter of what is left over, in standard deviations, that is usual.
_USUAL = 1.0
#: Median absolute deviation of a normal variable over its standard deviation.
_MAD = 0.6745
#: Share of points whose evidence misleads: none says more than the odds of this.
_MISLEADING = 0.003
#: Standard deviation, in cells, of the neighbourhood whose mixture is the prior of a pixel.
NEIGHBOURHOOD = 1.5
#: Standard deviation, in cells, with which a boundary is placed between two atoms.
_BOUNDARY = 0.15
#: What the mixture of the whole frame counts for against the neighbourhood, in independent points.
_FRAME_COUNTS = 1.0
#: Points along the side of a cell from which the mixture nearby is determined, in the first rounds and in the last,
#: evidence being that smooth; and how many rounds these are.
_POINTS_PER_CELL, _ROUNDS = (2, 3), (4, 4)
#: Points that must be left in a frame for rounds with fewer of them: they stand for the others by their number.
_ENOUGH = 2**14
#: Smallest count of a phase nearby, so that none is ruled out: a phase that is not seen nearby has a prior of a few
#: thousandths, about the share of single vacancies.
_LEAST_COUNTS = 0.35
#: From what a count is shifted by, the asymptotic series of ψ holds to single precision.
_SHIFTED = 6.0
#: The exponential of less is nothing, and a subnormal, with which processors are slow.
_SMALLEST_EXPONENT = -60.0


@dataclass(frozen=True)
class Pitches:
    """Where the mixture of phases nearby is determined, which is smoother than what it is determined from.

    Attributes
    ----------
    evidence : int
        Distance of the points whose evidence is taken, in points of the grid.
    mixture : int
        Distance of those at which the mixture is determined, in such points.
    """

    evidence: int
    mixture: int

    @classmethod
    def of(cls, cell: float) -> tuple[Pitches, Pitches]:
        """Return those of the first rounds and of the last ones, for a cell of a side in points of the grid."""
        pitches = []
        for points in _POINTS_PER_CELL:
            evidence = max(1, int(cell / points))
            # what a Gaussian has smoothed is known from a point every half of its standard deviation
            pitches.append(cls(evidence, max(1, int(NEIGHBOURHOOD * cell / evidence / 2))))
        return pitches[0], pitches[1]


@dataclass(frozen=True)
class KnownCrystals:
    """What is known of the crystals of a frame before its points are asked.

    Attributes
    ----------
    level, substituted : tensors, shape (lattices, rows, columns)
        Amplitude of another atom, and the probability that the site nearby holds one.
    displaced : tensor, shape (lattices, rows, columns)
        Variance that is not left over once atoms may lie beside their sites, as of
        :func:`bravaismap.local.amplitude.displaced_variance`.
    somewhere : bool tensor, shape (lattices,)
        False for lattices that are nowhere in the frame.
    telling : bool tensor, shape (rows, columns)
        Points that say what is usual to be left over; all do where none is True.
    """

    level: Tensor
    substituted: Tensor
    displaced: Tensor
    somewhere: Tensor
    telling: Tensor


def log_likelihood(
    fit: LocalFit, variance: Tensor, freedom: float | Tensor, crystals: KnownCrystals | None = None
) -> Tensor:
    """Return the log likelihood of each lattice, then of emptiness and of disorder, at every point of a grid.

    Parameters
    ----------
    fit : LocalFit
    variance : tensor, shape (rows, columns)
        Of the noise.
    freedom : float or tensor
        Independent values of the noise in the Gaussian of the fit.
    crystals : KnownCrystals, optional
        When not given, all atoms are the usual ones on their sites, and each lattice may be anywhere.

    Returns
    -------
    tensor, shape (lattices + 2, rows, columns)
        ``−½ [ν min(x, u) + ν′ ln(1 + (x − u)₊ ν / ν′)]`` with x what is left over, in units of the noise's variance, u
        what is usual in the frame, ν the freedom of the noise and ν′ that of what is no noise.
    """
    left = fit.residual(1.0)
    ratio = (left if crystals is None else (left - crystals.displaced).clamp_min(0)) / variance
    even = fit.energy / variance
    least = torch.minimum(even, ratio.amin(0))
    if crystals is not None:
        least = torch.where(crystals.telling | ~crystals.telling.any(), least, torch.nan)
    middle = lower_nanmedian(least.flatten())
    usual = middle + _USUAL / _MAD * lower_nanmedian((least - middle).abs().flatten())
    patterned = _DISORDER * fit.contrast.amax(0) / variance
    empty = _penalty(even, usual, freedom, _MISFIT_FREEDOM + _MISFIT_IN_CRYSTAL)
    disorder = _penalty(torch.maximum(even, patterned), usual, freedom, _MISFIT_FREEDOM)
    crystal = _penalty(ratio, usual, freedom, _MISFIT_FREEDOM + _MISFIT_IN_CRYSTAL)
    # a lattice of which no wave was found says of every place what emptiness says of it
    present = fit.contrast.flatten(1).amax(1) > 0
    if crystals is not None:
        other = fit.residual(crystals.level) / variance
        other = _penalty(other, usual, freedom, _MISFIT_FREEDOM + _MISFIT_IN_CRYSTAL)
        share = crystals.substituted.clamp(1e-6, 1 - 1e-6)
        crystal = torch.logaddexp(crystal + torch.log1p(-share), other + share.log())
        present = present & crystals.somewhere
    crystal = torch.where(present[:, None, None], crystal, empty + _SMALLEST_EXPONENT)
    return torch.cat([crystal, empty[None], disorder[None]])


def _penalty(ratio: Tensor, usual: Tensor, freedom: float | Tensor, misfit: float) -> Tensor:
    beyond = torch.log1p((ratio - usual).clamp_min(0) * (freedom / misfit))
    return -0.5 * (freedom * torch.minimum(ratio, usual) + misfit * beyond)


def phase_probability(
    logarithm: Tensor,
    seen: Tensor,
    cell: float | Length,
    independent: float | Tensor,
    pitches: tuple[Pitches, Pitches] | None = None,
) -> Tensor:
    """Return the probability of each phase at every point of a grid.

    Parameters
    ----------
    logarithm : tensor, shape (phases, rows, columns)
        Log likelihoods.
    seen : tensor, shape (rows, columns)
        How much of each point's neighbourhood is valid, 0 to 1.
    cell : float or Length
        Side of a cell in points of the grid.
    independent : float or tensor
        Independent points per cell.
    pitches : tuple of Pitches, optional
        Those for the cell, if it is a float, when not given.

    Returns
    -------
    tensor, shape (phases, rows, columns)
    """
    phases = len(logarithm)
    relative = _normalised((logarithm - logarithm.amax(0)).clamp_min(_SMALLEST_EXPONENT).exp())
    relative = relative + _MISLEADING / phases
    if pitches is None:
        pitches = Pitches.of(cell.most if isinstance(cell, Length) else cell)
    prior = _neighbourhood_prior(relative, seen, cell, independent, pitches)
    probability = _normalised(relative * prior)
    return _normalised(smoothed(probability * seen, _BOUNDARY * cell).clamp_min(0))


def _neighbourhood_prior(
    relative: Tensor,
    seen: Tensor,
    cell: float | Length,
    independent: float | Tensor,
    pitches: tuple[Pitches, Pitches],
) -> Tensor:
    """Probability of each phase before a point is looked at: the mixture that the evidence nearby makes most likely."""
    gathered = 4 * torch.pi * NEIGHBOURHOOD**2 * independent
    prior = relative.new_full((len(relative), 1, 1), 1 / len(relative))
    if seen.numel() < _ENOUGH * pitches[0].evidence ** 2:
        pitches = pitches[1], pitches[1]
    for pitch, rounds in zip(pitches, _ROUNDS, strict=True):
        every, step = pitch.evidence, pitch.mixture
        evidence, counted = relative[:, ::every, ::every].contiguous(), seen[::every, ::every]
        wide = NEIGHBOURHOOD * cell / every
        total = smoothed(counted, wide, step)
        weight = total.clamp_min(1e-6)
        prior = prior[:, ::every, ::every]
        for number in range(rounds):
            joint = evidence * prior
            probability = joint * (counted / joint.sum(0).clamp_min(1e-30))
            frame = probability.sum((1, 2), keepdim=True) / counted.sum().clamp_min(1e-6)
            nearby = (smoothed_shares(probability, total, wide, step) / weight).clamp_min(0)
            counts = gathered * nearby + _FRAME_COUNTS * frame
            mixture = _normalised(_mean_share(counts.clamp_min(_LEAST_COUNTS)))
            last = number == rounds - 1
            wanted = (step * every, seen.shape) if last else (step, counted.shape)
            prior = at_every_pixel(mixture, *wanted).clamp_min(0)
    return prior


def _mean_share(counts: Tensor) -> Tensor:
    """The exponential of ψ of counts, of the mean logarithm of a share: three times as fast as by PyTorch.

    ψ(x) = ψ(x + 6) − Σ 1 / (x + k), k = 0 … 5, and ψ by its asymptotic series, M. Abramowitz, I. A. Stegun, Handbook of
    Mathematical Functions, 6.3.6 and 6.3.18. With p = x (x + 5), of two terms 1 / (x + k) + 1 / (x + 5 − k) the
    denominator is p, p + 4 or p + 6, and the numerator 2 x + 5.
    """
    large = counts + _SHIFTED
    inverse = large.reciprocal()
    square = inverse * inverse
    series = 0.5 * inverse + square * (1 / 12 - square * (1 / 120 - square / 252))
    product = counts * (counts + 5)
    pairs = (product * (3 * product + 20) + 24) / (product * (product + 4) * (product + 6))
    return large * (-(series + (2 * counts + 5) * pairs)).exp()


def _normalised(values: Tensor) -> Tensor:
    return values * values.sum(0, keepdim=True).clamp_min(1e-30).reciprocal()

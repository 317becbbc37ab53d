"""Populations of sites: the usual atom, none, and perhaps another atom, as the amplitudes of all sites have them.

In a counted image the noise of a site grows with the atom it holds, and its distribution leans to the brighter side.
Both are taken into account by comparing amplitudes where their noise is even, as one takes the root of counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from bravaismap.compute.together import numbers_of, together

__all__ = [
    "FEWEST_SITES",
    "OCCUPIED",
    "SUBSTITUTED",
    "VACANT",
    "FittedPopulations",
    "SitePopulations",
    "Sites",
    "fit_populations",
    "usual_populations",
]

#: Places of the populations along an axis.
VACANT, OCCUPIED, SUBSTITUTED = 0, 1, 2
#: Sites of a sublattice that are needed to tell what sites hold.
FEWEST_SITES = 30
#: Amplitudes that another atom may have: too close to 0 or 1 it would be one of these. They are tried one by one, since
#: an amplitude that is fitted wanders to the flank of the usual atom, whose distribution is not quite the assumed one.
_OTHER_ATOMS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.25, 1.4, 1.6, 1.9, 2.3, 2.8, 3.5)
#: Parameters of another atom: its amplitude, its spread, its share.
_PARAMETERS = 3.0
#: How many of these amplitudes are followed to the end: those that are likeliest after the first rounds.
_FOLLOWED = 3
#: Spread of the amplitudes of vacancies beyond their errors, and smallest spread.
_VACANT_SPREAD, _LEAST_SPREAD = 0.04, 0.02
#: Largest spread of another atom over that of the usual one: a wide population would take all that is strange.
_WIDEST = 1.5
#: Where the mean amplitude of the usual atom may lie.
_USUAL = (0.8, 1.2)
_LEAST_SHARE = 1e-5
#: Spread of atoms, and share of vacancies, where there are too few sites to tell.
_ASSUMED_SPREAD, _ASSUMED_VACANT = 0.15, 0.02
_ROUNDS = 40
#: After every so many rounds it ends if no log likelihood has risen by more than this, which moves a parameter by a
#: tenth of its error, and than a tenth of what it lacks to the highest one.
_CHECKED, _SETTLED = 5, 0.005
#: Variance of an amplitude over that of a vacancy, at least.
_LEAST_VARIANCE = 0.1


@dataclass(frozen=True)
class Sites:
    """The sites of a sublattice.

    Attributes
    ----------
    amplitude : tensor, shape (...)
        1 for the usual atom, 0 for none.
    vacant_std, occupied_std : tensors, shape (...)
        Its σ if there is no atom, and if there is the usual one; the variance is linear between.
    weight : tensor, shape (...), or float
        How much each site counts, 0 to 1.
    """

    amplitude: Tensor
    vacant_std: Tensor
    occupied_std: Tensor
    weight: Tensor | float = 1.0

    def variance(self, level: Tensor) -> Tensor:
        """Return the variance of the amplitudes at levels that they may have."""
        even, usual = self.vacant_std**2, self.occupied_std**2
        return torch.maximum(even + level * (usual - even), _LEAST_VARIANCE * even)


@dataclass(frozen=True)
class SitePopulations:
    """Populations in the order vacant, occupied, substituted.

    Attributes
    ----------
    amplitude : tensor, shape (..., 3)
        Mean of each; that of `substituted` is NaN if there is no other atom.
    spread : tensor, shape (..., 3)
        Standard deviation of each beyond the errors of the sites.
    share : tensor, shape (..., 3)
    """

    amplitude: Tensor
    spread: Tensor
    share: Tensor

    def log_density(self, sites: Sites) -> Tensor:
        """Return the log density of the amplitudes of sites in each population, (..., sites, 3).

        Notes
        -----
        With variance V(s) = α + βs, ``2 (s − m) / (√V(s) + √V(m))`` is the difference of the roots whose noise is even,
        (2 / β) [√V(s) − √V(m)], and stays true where β is 0.
        """
        mean = torch.nan_to_num(self.amplitude, nan=0.5).movedim(-1, 0)[..., None]
        spread = self.spread.movedim(-1, 0)[..., None] ** 2
        return _log_density(sites, mean, spread, sites.variance(mean)).movedim(0, -1)

    def probability(self, sites: Sites, vacant: Tensor) -> Tensor:
        """Return the probability of each population for sites, (sites, 3).

        Parameters
        ----------
        sites : Sites
        vacant : tensor, shape (sites,)
            Share of vacancies in the neighbourhood of each.
        """
        gone = vacant.clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)[..., None]
        others = self.share[..., 1:] / self.share[..., 1:].sum(-1, keepdim=True)
        share = torch.cat([gone, (1 - gone) * others], -1)
        return _softmax(share.clamp_min(1e-30).log() + self.log_density(sites))


@dataclass(frozen=True)
class FittedPopulations:
    """The populations of a sublattice, by how much evidence another atom needs.

    Attributes
    ----------
    evident : SitePopulations
        With another atom if that raises the Bayesian information criterion (G. Schwarz, Ann. Stat. 6, 461 (1978)).
    possible : SitePopulations
        With another atom if that raises the information criterion of H. Akaike, IEEE Trans. Autom. Control 19, 716
        (1974): faint atoms that nobody could name are not counted as vacancies.
    """

    evident: SitePopulations
    possible: SitePopulations


def fit_populations(sublattices: Sequence[Sites]) -> list[FittedPopulations]:
    """Fit the populations of the sites of each of several sublattices.

    Parameters
    ----------
    sublattices : sequence of Sites
        Each of `FEWEST_SITES` or more, shape (sites,).

    Returns
    -------
    list of FittedPopulations
    """
    states = together(_begun, sublattices)
    fitted: list[FittedPopulations | None] = [None] * len(states)
    going = list(range(len(states)))
    for number in range(0, _ROUNDS + 1, _CHECKED):
        sites, before = [sublattices[i] for i in going], [states[i] for i in going]
        if number == _CHECKED:
            before = together(_likeliest, sites, before)
        gained = together(_gained, sites, before)
        settled = numbers_of([state.settled for state in gained])
        last = number == _ROUNDS
        ended = [i for i, answer in enumerate(settled) if answer or last]
        for i, populations in zip(ended, together(_best, *_chosen(ended, sites, gained)), strict=True):
            fitted[going[i]] = populations
        left = [i for i in range(len(going)) if i not in ended]
        for i, state in zip(left, together(_maximised, *_chosen(left, sites, gained)), strict=True):
            states[going[i]] = state
        going = [going[i] for i in left]
        if not going:
            break
    return cast("list[FittedPopulations]", fitted)


def usual_populations(like: Tensor) -> SitePopulations:
    """Return what is usual, for too few sites to tell, of the device and the type of a tensor."""
    return SitePopulations(
        like.new_tensor([0.0, 1.0, torch.nan]),
        like.new_tensor([_VACANT_SPREAD, _ASSUMED_SPREAD, _LEAST_SPREAD]),
        like.new_tensor([_ASSUMED_VACANT, 1 - _ASSUMED_VACANT, 0.0]),
    )


def _chosen(index: list[int], *columns: Sequence[Any]) -> list[list[Any]]:
    """The chosen items of several sequences."""
    return [[column[i] for i in index] for column in columns]


@dataclass(frozen=True)
class _State:
    """Populations with other atoms of several amplitudes, the first without one: tensors of shape (trials, 3).

    Attributes
    ----------
    populations : SitePopulations
    gain : tensor, shape (trials,)
        Log likelihoods, when they were last looked at.
    settled : tensor, shape ()
        Whether they had risen by nothing that matters then.
    """

    populations: SitePopulations
    gain: Tensor
    settled: Tensor


def _begun(sites: Sites) -> _State:
    """Populations as the search begins."""
    other = sites.amplitude.new_tensor([torch.nan, *_OTHER_ATOMS])
    middle = torch.stack([torch.zeros_like(other), torch.ones_like(other), other], -1)
    spread = other.new_tensor([_VACANT_SPREAD, 0.1, 0.1]).repeat(len(other), 1)
    both, alone = other.new_tensor([0.02, 0.9, 0.08]), other.new_tensor([0.05, 0.95, 0.0])
    share = torch.where(torch.isfinite(other)[:, None], both, alone)
    populations = SitePopulations(middle, spread, share)
    return _State(populations, torch.full_like(other, -torch.inf), torch.zeros_like(other[0]))


def _gained(sites: Sites, state: _State) -> _State:
    """Populations after a look at whether they have settled."""
    gain = _likelihood(sites, state.populations)
    settled = (gain - state.gain < _SETTLED + (gain.max() - gain) / 10).all()
    return replace(state, gain=gain, settled=settled)


def _likelihood(sites: Sites, populations: SitePopulations) -> Tensor:
    """Log likelihood of the sites in each trial, (trials,)."""
    return (torch.logsumexp(_terms(sites, populations), -1) * sites.weight).sum(-1)


def _likeliest(sites: Sites, state: _State) -> _State:
    """The trial without another atom, and those with one that are likeliest now."""
    gain = _likelihood(sites, state.populations)
    first = torch.cat([torch.zeros_like(gain[:1], dtype=torch.long), 1 + gain[1:].topk(_FOLLOWED).indices])
    return _State(_taken(state.populations, first), state.gain.index_select(0, first), state.settled)


def _best(sites: Sites, state: _State) -> FittedPopulations:
    """The populations for which the evidence is strongest."""
    count = (sites.amplitude.new_ones(()) * sites.weight).expand_as(sites.amplitude).sum()
    other = torch.arange(len(state.gain), device=count.device) > 0
    tolls = (_PARAMETERS / 2 * count.clamp_min(2.0).log(), _PARAMETERS)
    best = [_taken(state.populations, (state.gain - toll * other).argmax()[None]) for toll in tolls]
    return FittedPopulations(*(SitePopulations(own.amplitude[0], own.spread[0], own.share[0]) for own in best))


def _taken(populations: SitePopulations, index: Tensor) -> SitePopulations:
    return SitePopulations(
        *(table.index_select(0, index) for table in (populations.amplitude, populations.spread, populations.share))
    )


def _maximised(sites: Sites, state: _State) -> _State:
    """Populations after some rounds of expectation and maximisation."""
    amplitude, now = sites.amplitude, state.populations
    # the populations first, (populations, trials): they are few, and sites that lie apart in memory are slow
    spread, share = now.spread.mT[OCCUPIED:], now.share.mT
    filled = torch.nan_to_num(now.amplitude, nan=0.5).mT[OCCUPIED:]
    there = share > 0
    nothing = torch.zeros_like(amplitude[:1])
    vacant = _log_density(sites, nothing, nothing + _VACANT_SPREAD**2, sites.variance(nothing))  # in all trials
    vacant = vacant.expand(1, share.shape[1], -1)
    for _ in range(_CHECKED):
        chance = sites.variance(filled[..., None])
        density = torch.cat([vacant, _log_density(sites, filled[..., None], spread[..., None] ** 2, chance)])
        probability = torch.softmax(share[..., None].clamp_min(1e-30).log() + density, 0) * sites.weight
        total = probability.sum(-1)
        share = torch.where(there, (total / total.sum(0).clamp_min(1e-30)).clamp_min(_LEAST_SHARE), 0.0)
        share = share / share.sum(0)
        # the spread whose expected squared deviation is met, of all but the vacancies: one step of Fisher scoring
        variance = chance + spread[..., None] ** 2
        precision = probability[OCCUPIED:] / variance
        worth = precision / variance
        excess = (worth * ((amplitude - filled[..., None]) ** 2 - chance)).sum(-1) / worth.sum(-1).clamp_min(1e-30)
        wide, other = excess.clamp_min(_LEAST_SPREAD**2).sqrt().unbind()
        usual = ((precision[0] * amplitude).sum(-1) / precision[0].sum(-1).clamp_min(1e-30)).clamp(*_USUAL)
        spread = torch.stack([wide, torch.minimum(other, _WIDEST * wide)])
        filled = torch.stack([usual, filled[1]])
    middle = torch.stack([torch.zeros_like(usual), usual, now.amplitude[:, SUBSTITUTED]], -1)
    spread = torch.cat([torch.full_like(spread[:1], _VACANT_SPREAD), spread])
    return replace(state, populations=SitePopulations(middle, spread.mT, share.mT))


def _log_density(sites: Sites, mean: Tensor, spread: Tensor, chance: Tensor) -> Tensor:
    """Log density of sites (sites,) in populations (..., 1) with a variance beyond that by chance, (..., sites)."""
    there = sites.variance(sites.amplitude) + spread
    distance = 2 * (sites.amplitude - mean) / (there.sqrt() + (chance + spread).sqrt())
    return -0.5 * (distance**2 + (2 * torch.pi * there).log())


def _terms(sites: Sites, populations: SitePopulations) -> Tensor:
    """Log of share times density of each population for sites (n,) in several trials (m, 3): (m, n, 3)."""
    return populations.share[:, None].clamp_min(1e-30).log() + populations.log_density(sites)


def _softmax(logarithm: Tensor) -> Tensor:
    """Softmax over the last axis, the few populations, which is far faster where they lie apart in memory."""
    return torch.softmax(logarithm.movedim(-1, 0).contiguous(), 0).movedim(0, -1)

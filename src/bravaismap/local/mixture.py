"""Mixture: which amplitudes the sites of a crystal have, the frame itself says: the usual atom, another one, none.

The measured amplitudes of the sites are a mixture of normal distributions: about 0 for vacancies, about 1 for the usual
atom, about an amplitude that is fitted for another atom if there is evidence for one. Each site brings its own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from bravaismap.compute.together import numbers_of, together

__all__ = ["OCCUPIED", "SUBSTITUTED", "VACANT", "SiteMixture", "Sites", "fit_mixture", "fit_mixtures"]

#: Columns of what :meth:`SiteMixture.probability` returns.
VACANT, OCCUPIED, SUBSTITUTED = 0, 1, 2

#: Where the amplitude of another atom may lie: too close to 0 or 1 it would be one of these.
_RANGES = ((0.25, 0.8), (1.25, 4.0))
_STARTS = (0.35, 0.6, 1.5)
_ROUNDS = 40
#: After every so many rounds it ends if no log likelihood has risen by more than this, which moves a parameter by a
#: tenth of its error, and than a tenth of what it lacks to the highest one.
_CHECKED, _SETTLED = 5, 0.005
#: Spread of the amplitude of vacancies beyond its error: neighbours reach into the Gaussian of the fit.
_VACANT_SPREAD = 0.08
_LEAST_SPREAD = 0.02
#: Largest spread of another atom over that of the usual one: a wide class would take all that is strange.
_WIDEST = 1.5
_LEAST_SHARE = 1e-5


@dataclass(frozen=True)
class SiteMixture:
    """Classes of the sites of a sublattice, in the order vacant, occupied, substituted.

    Attributes
    ----------
    amplitude : tensor, shape (3,)
        Mean of each class; that of `substituted` is NaN if the frame shows no other atom.
    spread : tensor, shape (3,)
        Standard deviation of each class beyond the errors of the sites.
    share : tensor, shape (3,)
    """

    amplitude: Tensor
    spread: Tensor
    share: Tensor

    @property
    def substitutes(self) -> bool:
        """Whether the frame shows another atom."""
        return bool(self.share[SUBSTITUTED] > 0)

    def probability(self, amplitude: Tensor, std: Tensor, vacant: Tensor | None = None) -> Tensor:
        """Return the probability of each class for sites of given amplitudes, (..., 3).

        Parameters
        ----------
        amplitude, std : tensors, shape (...)
        vacant : tensor, shape (...), optional
            Share of vacancies in the neighbourhood; that of the frame when not given.
        """
        share = self.share.expand(*amplitude.shape, 3)
        if vacant is not None:
            gone = vacant.clamp(_LEAST_SHARE, 1 - _LEAST_SHARE)[..., None]
            others = share[..., 1:] / share[..., 1:].sum(-1, keepdim=True)
            share = torch.cat([gone, (1 - gone) * others], -1)
        return _softmax(share.clamp_min(1e-30).log() + self.density(amplitude, std))

    def density(self, amplitude: Tensor, std: Tensor) -> Tensor:
        """Return the log density of given amplitudes in each class, (..., 3)."""
        return _log_density(amplitude, std, self.amplitude, self.spread)


@dataclass(frozen=True)
class Sites:
    """The sites of a sublattice.

    Attributes
    ----------
    amplitude, std : tensors, shape (sites,)
    weight : tensor, shape (sites,)
        How much each site counts, 0 to 1.
    """

    amplitude: Tensor
    std: Tensor
    weight: Tensor


def fit_mixture(amplitude: Tensor, std: Tensor, weight: Tensor) -> SiteMixture:
    """Fit the mixture of the sites of a sublattice.

    Parameters
    ----------
    amplitude, std : tensors, shape (sites,)
    weight : tensor, shape (sites,)
        How much each site counts, 0 to 1.

    Returns
    -------
    SiteMixture
        With another atom if that raises the Bayesian information criterion (G. Schwarz, Ann. Stat. 6, 461 (1978)).
    """
    return fit_mixtures([Sites(amplitude, std, weight)])[0]


def fit_mixtures(sublattices: Sequence[Sites]) -> list[SiteMixture]:
    """Fit the mixture of each of several sublattices, as :func:`fit_mixture` does."""
    states = together(_begun, sublattices)
    fitted: list[SiteMixture | None] = [None] * len(states)
    going = list(range(len(states)))
    for number in range(0, _ROUNDS + 1, _CHECKED):
        sites, before = [sublattices[i] for i in going], [states[i] for i in going]
        gained = together(_gained, sites, before)
        settled = numbers_of([state.settled for state in gained])
        last = number == _ROUNDS
        ended = [i for i, answer in enumerate(settled) if answer or last]
        for i, mixture in zip(ended, together(_best, *_chosen(ended, sites, gained)), strict=True):
            fitted[going[i]] = mixture
        left = [i for i in range(len(going)) if i not in ended]
        for i, state in zip(left, together(_maximised, *_chosen(left, sites, gained)), strict=True):
            states[going[i]] = state
        going = [going[i] for i in left]
        if not going:
            break
    return cast("list[SiteMixture]", fitted)


def _chosen(index: list[int], *columns: Sequence[Any]) -> list[list[Any]]:
    """The chosen items of several sequences."""
    return [[column[i] for i in index] for column in columns]


@dataclass(frozen=True)
class _State:
    """Mixtures from several starts of the amplitude of another atom, the first without one.

    Attributes
    ----------
    middle, spread, share : tensors, shape (starts, 3)
        Amplitude, spread and share of each class.
    gain : tensor, shape (starts,)
        Log likelihoods, when they were last looked at.
    settled : tensor, shape ()
        Whether they had risen by nothing that matters then.
    """

    middle: Tensor
    spread: Tensor
    share: Tensor
    gain: Tensor
    settled: Tensor


def _begun(sites: Sites) -> _State:
    """Mixtures as the search begins."""
    starts = sites.amplitude.new_tensor([torch.nan, *_STARTS])
    other = torch.isfinite(starts)
    middle = torch.stack([torch.zeros_like(starts), torch.ones_like(starts), starts], -1)
    spread = starts.new_tensor([_VACANT_SPREAD, 0.1, 0.1]).repeat(len(starts), 1)
    both, alone = starts.new_tensor([0.02, 0.9, 0.08]), starts.new_tensor([0.05, 0.95, 0.0])
    share = torch.where(other[:, None], both, alone)
    return _State(middle, spread, share, torch.full_like(starts, -torch.inf), torch.zeros_like(other[0]))


def _gained(sites: Sites, state: _State) -> _State:
    """Mixtures after a look at whether they have settled."""
    terms = _terms(sites.amplitude, sites.std, state.middle, state.spread, state.share)
    gain = (torch.logsumexp(terms, -1) * sites.weight).sum(-1)
    settled = (gain - state.gain < _SETTLED + (gain.max() - gain) / 10).all()
    return replace(state, gain=gain, settled=settled)


def _best(sites: Sites, state: _State) -> SiteMixture:
    """The mixture for which the evidence is strongest."""
    toll = 1.5 * sites.weight.sum().clamp_min(2.0).log()  # its amplitude, its spread, its share
    best = (state.gain - toll * (torch.arange(len(state.gain), device=toll.device) > 0)).argmax()[None]
    return SiteMixture(*(table.index_select(0, best)[0] for table in (state.middle, state.spread, state.share)))


def _maximised(sites: Sites, state: _State) -> _State:
    """Mixtures after some rounds of expectation and maximisation."""
    amplitude, std, weight = sites.amplitude, sites.std, sites.weight
    middle, spread, share = state.middle, state.spread, state.share
    limits = [next((r for r in _RANGES if r[0] <= start <= r[1]), _RANGES[0]) for start in (torch.nan, *_STARTS)]
    low, high = amplitude.new_tensor(limits).unbind(-1)
    other = torch.isfinite(amplitude.new_tensor([torch.nan, *_STARTS]))
    for _ in range(_CHECKED):
        probability = _softmax(_terms(amplitude, std, middle, spread, share)) * weight[:, None]
        total = probability.sum(1)
        share = (total / total.sum(-1, keepdim=True).clamp_min(1e-30)).clamp_min(_LEAST_SHARE)
        share = torch.cat([share[:, :SUBSTITUTED], (share[:, SUBSTITUTED] * other)[:, None]], -1)
        share = share / share.sum(-1, keepdim=True)
        precision = 1 / (std[:, None] ** 2 + spread[:, None] ** 2)
        worth = probability * precision
        mean = (worth * amplitude[:, None]).sum(1) / worth.sum(1).clamp_min(1e-30)
        usual, another = mean[:, OCCUPIED].clamp(0.8, 1.2), torch.clamp(mean[:, SUBSTITUTED], low, high)
        middle = torch.stack([torch.zeros_like(usual), usual, torch.where(other, another, torch.nan)], -1)
        # the spread whose expected squared deviation is met: one step of Fisher scoring
        centred = (amplitude[:, None] - torch.nan_to_num(middle, nan=0.5)[:, None]) ** 2 - std[:, None] ** 2
        worth = worth * precision
        wide = (worth * centred).sum(1) / worth.sum(1).clamp_min(1e-30)
        wide = wide.clamp_min(_LEAST_SPREAD**2).sqrt()
        narrow = torch.minimum(wide[:, SUBSTITUTED], _WIDEST * wide[:, OCCUPIED])
        spread = torch.stack([torch.full_like(narrow, _VACANT_SPREAD), wide[:, OCCUPIED], narrow], -1)
    return replace(state, middle=middle, spread=spread, share=share)


def _terms(amplitude: Tensor, std: Tensor, middle: Tensor, spread: Tensor, share: Tensor) -> Tensor:
    """Log of share times density of each class for sites (n,) by several mixtures (m, 3): (m, n, 3)."""
    density = _log_density(amplitude, std, middle[:, None], spread[:, None])
    return share[:, None].clamp_min(1e-30).log() + density


def _softmax(logarithm: Tensor) -> Tensor:
    """Softmax over the last axis, the few classes, which is far faster where they lie apart in memory."""
    return torch.softmax(logarithm.movedim(-1, 0).contiguous(), 0).movedim(0, -1)


def _log_density(amplitude: Tensor, std: Tensor, middle: Tensor, spread: Tensor) -> Tensor:
    """Log density of amplitudes (...) in each class of a mixture, (..., 3)."""
    variance = std[..., None] ** 2 + spread**2
    return -0.5 * (amplitude[..., None] - torch.nan_to_num(middle, nan=0.5)) ** 2 / variance - 0.5 * variance.log()

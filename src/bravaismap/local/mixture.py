"""Mixture: which amplitudes the sites of a crystal have, the frame itself says: the usual atom, another one, none.

The measured amplitudes of the sites are a mixture of normal distributions: about 0 for vacancies, about 1 for the usual
atom, about an amplitude that is fitted for another atom if there is evidence for one. Each site brings its own error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["OCCUPIED", "SUBSTITUTED", "VACANT", "SiteMixture", "fit_mixture"]

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
    starts = amplitude.new_tensor([torch.nan, *_STARTS])
    middle, spread, share, gain = _expectation_maximisation(amplitude, std, weight, starts)
    toll = 1.5 * float(weight.sum().clamp_min(2.0).log())  # its amplitude, its spread, its share
    gain[1:] -= toll
    best = int(gain.argmax())
    return SiteMixture(middle[best], spread[best], share[best])


def _expectation_maximisation(
    amplitude: Tensor, std: Tensor, weight: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit a mixture from each start of the amplitude of another atom, NaN for none; all of them at once.

    Returns amplitude, spread and share of the classes of each mixture, (starts, 3), and its log likelihood, (starts,).
    """
    other = torch.isfinite(starts)
    limits = [next((r for r in _RANGES if r[0] <= start <= r[1]), _RANGES[0]) for start in starts.tolist()]
    low, high = amplitude.new_tensor(limits).unbind(-1)
    middle = torch.stack([torch.zeros_like(starts), torch.ones_like(starts), starts], -1)
    spread = amplitude.new_tensor([_VACANT_SPREAD, 0.1, 0.1]).repeat(len(starts), 1)
    both, alone = amplitude.new_tensor([0.02, 0.9, 0.08]), amplitude.new_tensor([0.05, 0.95, 0.0])
    share = torch.where(other[:, None], both, alone)
    before = torch.full_like(starts, -torch.inf)
    for number in range(_ROUNDS):
        terms = _terms(amplitude, std, middle, spread, share)
        if number % _CHECKED == 0:
            gain = (torch.logsumexp(terms, -1) * weight).sum(-1)
            if bool((gain - before < _SETTLED + (gain.max() - gain) / 10).all()):
                break
            before = gain
        probability = _softmax(terms) * weight[:, None]
        total = probability.sum(1)
        share = (total / total.sum(-1, keepdim=True).clamp_min(1e-30)).clamp_min(_LEAST_SHARE)
        share[:, SUBSTITUTED] *= other
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
    logarithm = torch.logsumexp(_terms(amplitude, std, middle, spread, share), -1)
    return middle, spread, share, (logarithm * weight).sum(-1)


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

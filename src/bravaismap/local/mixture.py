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
        return torch.softmax(share.clamp_min(1e-30).log() + self.density(amplitude, std), -1)

    def density(self, amplitude: Tensor, std: Tensor) -> Tensor:
        """Return the log density of given amplitudes in each class, (..., 3)."""
        variance = std[..., None] ** 2 + self.spread**2
        mean = torch.nan_to_num(self.amplitude, nan=0.5)
        return -0.5 * (amplitude[..., None] - mean) ** 2 / variance - 0.5 * variance.log()


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
    plain, best = _expectation_maximisation(amplitude, std, weight, None)
    fitted = plain
    toll = 1.5 * float(weight.sum().clamp_min(2.0).log())  # its amplitude, its spread, its share
    for start in _STARTS:
        candidate, gain = _expectation_maximisation(amplitude, std, weight, start)
        if gain - toll > best:
            fitted, best = candidate, gain - toll
    return fitted


def _expectation_maximisation(
    amplitude: Tensor, std: Tensor, weight: Tensor, start: float | None
) -> tuple[SiteMixture, float]:
    other = start is not None
    middle = amplitude.new_tensor([0.0, 1.0, start if start is not None else torch.nan])
    spread = amplitude.new_tensor([_VACANT_SPREAD, 0.1, 0.1])
    share = amplitude.new_tensor([0.02, 0.9, 0.08] if other else [0.05, 0.95, 0.0])
    low, high = next((r for r in _RANGES if other and r[0] <= float(middle[2]) <= r[1]), _RANGES[0])
    mixture = SiteMixture(middle, spread, share)
    for _ in range(_ROUNDS):
        probability = mixture.probability(amplitude, std) * weight[:, None]
        total = probability.sum(0)
        share = (total / total.sum().clamp_min(1e-30)).clamp_min(_LEAST_SHARE)
        share[SUBSTITUTED] *= float(other)
        share = share / share.sum()
        variance = std[:, None] ** 2 + mixture.spread**2
        precision = probability / variance
        mean = (precision * amplitude[:, None]).sum(0) / precision.sum(0).clamp_min(1e-30)
        middle = torch.stack([mean.new_zeros(()), mean[1].clamp(0.8, 1.2), mean[2].clamp(low, high)])
        # the spread whose expected squared deviation is met: one step of Fisher scoring
        centred = (amplitude[:, None] - middle) ** 2 - std[:, None] ** 2
        wide = (probability / variance**2 * centred).sum(0) / (probability / variance**2).sum(0).clamp_min(1e-30)
        wide = wide.clamp_min(_LEAST_SPREAD**2).sqrt()
        spread = torch.stack([wide.new_tensor(_VACANT_SPREAD), wide[1], torch.minimum(wide[2], _WIDEST * wide[1])])
        if not other:
            middle[SUBSTITUTED] = torch.nan
        mixture = SiteMixture(middle, spread, share)
    logarithm = share.clamp_min(1e-30).log() + mixture.density(amplitude, std)
    return mixture, float((torch.logsumexp(logarithm, -1) * weight).sum())

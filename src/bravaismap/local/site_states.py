"""States of sites: vacant, occupied or substituted, as the mixture of all sites and the frames before and after say.

The amplitudes of the sites of a sublattice, in all frames together, are a mixture of the usual atom, none, and perhaps
another atom. A site keeps what it holds from frame to frame but for a rate, which the movie itself gives: a hidden
Markov chain for each track (L. R. Rabiner, Proc. IEEE 77, 257 (1989), doi:10.1109/5.18626), so that noise in one frame
is no vacancy that opens and heals. Vacancies beside others are as frequent as the movie shows them to be.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bravaismap.local.populations import FEWEST_SITES, Sites, fit_populations, usual_populations
from bravaismap.local.site_table import SiteTable

__all__ = ["chain_probabilities", "judged_sites"]

Floats = NDArray[np.float64]

#: Sites of which populations are fitted, at most: enough for shares of 0.1 %.
_MOST_SITES = 20_000
#: Rates of change per frame before anything is seen, and what that counts for, in changes of sites.
_RATE, _RATE_COUNTS = 1e-3, 2.0
_ROUNDS = 6
#: Neighbours of a site whose vacancies say how probable one is there, and bounds of their share between groups.
_NEIGHBOURS = 6
_GROUPS = (0.15, 0.5)
#: Smallest share of a state.
_LEAST = 1e-4
_SMALLEST = 1e-30


def judged_sites(sites: SiteTable) -> SiteTable:
    """Return a table of sites with the probabilities of their states.

    Parameters
    ----------
    sites : SiteTable
        Of one frame, or of a movie and followed.
    """
    if len(sites) == 0:
        return sites
    likelihood = np.zeros((len(sites), 3))
    share = np.zeros((len(sites), 3))
    kinds, kind = np.unique(np.stack([sites.lattice, sites.sublattice]), axis=1, return_inverse=True)
    for number in range(kinds.shape[1]):
        rows = np.flatnonzero(kind.ravel() == number)
        columns = (sites.amplitude, sites.vacant_std, sites.occupied_std)
        own = [torch.from_numpy(np.asarray(column[rows], float)) for column in columns]
        every = -(-len(rows) // _MOST_SITES)
        if len(rows) < FEWEST_SITES:
            populations = usual_populations(own[0])
        else:
            populations = fit_populations([Sites(*(column[::every] for column in own))])[0].evident
        likelihood[rows] = populations.log_density(Sites(*own)).numpy()
        share[rows] = populations.share.numpy()
    share = np.maximum(share, [_LEAST, _LEAST, 0.0])
    likelihood -= likelihood.max(1, keepdims=True)
    with np.errstate(divide="ignore"):
        weight = np.exp(likelihood) * share
    state = weight / weight.sum(1, keepdims=True)
    neighbours = _neighbours(sites)
    for _ in range(2):
        beside = _beside(state[:, 0], neighbours, share[:, 0])
        prior = np.column_stack([beside, (1 - beside)[:, None] * share[:, 1:] / share[:, 1:].sum(1, keepdims=True)])
        state = _in_time(sites, np.exp(likelihood), prior, share)
    vacant, occupied, substituted = state.T
    return replace(sites, vacant=vacant, occupied=occupied, substituted=substituted)


def _neighbours(sites: SiteTable) -> NDArray[np.int64]:
    """Rows of the nearest sites of the same frame, (sites, neighbours); −1 where there are fewer."""
    near = np.full((len(sites), _NEIGHBOURS), -1)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        count = min(_NEIGHBOURS, len(rows) - 1)
        if count > 0:
            _, index = cKDTree(sites.position[rows]).query(sites.position[rows], count + 1)
            near[rows, :count] = rows[index[:, 1:]]
    return near


def _beside(vacant: Floats, neighbours: NDArray[np.int64], share: Floats) -> Floats:
    """Probability of a vacancy as the neighbours of a site have it: its frequency among sites with such neighbours."""
    held = np.where(neighbours >= 0, vacant[neighbours], np.nan)
    held = np.where(np.isnan(held).all(1, keepdims=True), share[:, None], held)
    group = np.digitize(np.nanmean(held, axis=1), _GROUPS)
    prior = np.empty(len(vacant))
    for number in range(len(_GROUPS) + 1):
        rows = group == number
        if rows.any():
            prior[rows] = np.clip(vacant[rows].mean(), _LEAST, 1 - _LEAST)
    return prior


def _in_time(sites: SiteTable, likelihood: Floats, prior: Floats, share: Floats) -> Floats:
    """Probability of the states by forward and backward recursion along each track, with rates that the movie gives."""
    frames, time = np.unique(sites.frame, return_inverse=True)
    own = likelihood * prior
    if len(frames) == 1 or (sites.track < 0).any():
        return np.asarray(own / own.sum(1, keepdims=True))
    tracks, track = np.unique(sites.track, return_inverse=True)
    seen = np.ones((len(frames), len(tracks), 3))
    # in the stationary chain the share is the prior of each frame; what neighbours say beyond it is evidence
    seen[time, track] = likelihood * prior / np.maximum(share, _LEAST)
    begin = np.ones((len(tracks), 3))
    begin[track] = np.maximum(share, _SMALLEST)
    begin /= begin.sum(1, keepdims=True)
    mean = np.maximum(share.mean(0), _SMALLEST)
    change = _changes(mean, np.full(3, _RATE))
    for _ in range(_ROUNDS):
        state, moved = chain_probabilities(seen, begin, change)
        left = moved.sum(1) - np.diag(moved)
        rate = (left + _RATE_COUNTS * _RATE) / (moved.sum(1) + _RATE_COUNTS)
        change = _changes(mean, np.minimum(rate, 0.5))
    return np.asarray(state[time, track])


def _changes(share: Floats, rate: Floats) -> Floats:
    """Probability of each state after each, (3, 3): a site is left at its rate, for the others by their shares."""
    change = np.empty((3, 3))
    for i in range(3):
        others = np.where(np.arange(3) == i, 0.0, share)
        change[i] = rate[i] * others / others.sum()
        change[i, i] = 1 - rate[i]
    return change


def chain_probabilities(seen: Floats, begin: Floats, change: Floats) -> tuple[Floats, Floats]:
    """Probabilities of the states (frames, tracks, 3), and the expected number of changes between them (3, 3)."""
    forward, backward = np.empty_like(seen), np.ones_like(seen)
    for i, now in enumerate(seen):
        step = now * (begin if i == 0 else forward[i - 1] @ change)
        forward[i] = step / np.maximum(step.sum(1, keepdims=True), _SMALLEST)
    moved = np.zeros((3, 3))
    for i in range(len(seen) - 2, -1, -1):
        after = seen[i + 1] * backward[i + 1]
        step = after @ change.T
        both = forward[i][:, :, None] * change * after[:, None, :]
        moved += (both / np.maximum(both.sum((1, 2), keepdims=True), _SMALLEST)).sum(0)
        backward[i] = step / np.maximum(step.sum(1, keepdims=True), _SMALLEST)
    state = forward * backward
    return state / np.maximum(state.sum(2, keepdims=True), _SMALLEST), moved

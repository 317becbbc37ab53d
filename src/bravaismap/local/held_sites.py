"""Held sites: what the sites of crystals hold, the usual atom, another one or none, and what that means for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.compute.together import numbers_of, together
from bravaismap.local.demodulation import Locked
from bravaismap.local.mixture import OCCUPIED, SUBSTITUTED, VACANT, SiteMixture, Sites, fit_mixtures
from bravaismap.local.sites import MotifPeaks, at_places, motif_peaks, peak_places, to_nearest_site

__all__ = ["FEWEST_SITES", "HeldSites", "SeenCrystal", "held_sites"]

#: Sites of a sublattice that are needed to tell what sites hold.
FEWEST_SITES = 30
#: Standard errors between an atom and none from which a single site without one is told: one false in 30 000 sites.
_CLEAR = 8.0
#: Share of the crystal in the neighbourhood of a site, and of valid pixels in its Gaussian, from which it counts.
_INSIDE, _SEEN = 0.6, 0.5


@dataclass(frozen=True)
class SeenCrystal:
    """A crystal as the amplitudes around the points of a grid show it.

    Attributes
    ----------
    locked : Locked
    amplitude, std : tensors, shape (rows, columns)
    own, none : tensors, shape (rows, columns)
        Share of the crystal, and of none, in the neighbourhood.
    seen : tensor, shape (rows, columns)
        Share of valid pixels.
    step : int
        Pitch of the grid in px.
    """

    locked: Locked
    amplitude: Tensor
    std: Tensor
    own: Tensor
    none: Tensor
    seen: Tensor
    step: int


@dataclass(frozen=True)
class HeldSites:
    """What the sites of a crystal hold, and what the one nearest to each point does.

    Attributes
    ----------
    origins : tensor, shape (sublattices, 2)
        Where atoms sit in the averaged cell, in fractions of its vectors.
    mixtures : tuple of SiteMixture or None
        Of each sublattice; None where there are too few sites.
    level, substituted, vacant : tensors, shape (rows, columns)
        Amplitude of another atom, probability that the nearest site holds it, and that it is vacant, where that is told
        for sure.
    """

    origins: Tensor
    mixtures: tuple[SiteMixture | None, ...]
    level: Tensor
    substituted: Tensor
    vacant: Tensor


@dataclass(frozen=True)
class _Ways:
    """The way from each point to the nearest site, of which sublattice that is, and which points are nearest to one."""

    origins: Tensor
    way: Tensor
    which: Tensor
    chosen: Tensor


@dataclass(frozen=True)
class _Told:
    """A mixture, with what is known of it beside."""

    mixture: SiteMixture
    substitutes: bool
    clear: bool


def held_sites(crystals: Sequence[SeenCrystal], dark: bool) -> list[HeldSites]:
    """Return what the sites of crystals hold.

    Parameters
    ----------
    crystals : sequence of SeenCrystal
    dark : bool
        Whether atoms are darker than what is between them.
    """
    peaks = together(motif_peaks, [one.locked for one in crystals], [dark] * len(crystals))
    counts = [int(count) for count in numbers_of([one.count for one in peaks])]
    ways = together(_ways, crystals, peaks, counts)
    points = [(i, k) for i, count in enumerate(counts) for k in range(count)]
    sites = [int(n) for n in numbers_of([ways[i].chosen[k].sum() for i, k in points])]
    enough = [n >= FEWEST_SITES for n in sites]
    points = [point for point, told in zip(points, enough, strict=True) if told]
    most = max(sites, default=0)
    chosen = together(
        _sites, [crystals[i] for i, _ in points], [ways[i].chosen[k] for i, k in points],
        [most if len(crystals) > 1 else n for n, told in zip(sites, enough, strict=True) if told],
    )  # fmt: skip
    mixtures = fit_mixtures(chosen)
    shares = numbers_of([mixture.share[SUBSTITUTED] for mixture in mixtures])
    errors = numbers_of(together(_error, chosen, mixtures))
    told: dict[tuple[int, int], _Told] = {
        point: _Told(mixture, share > 0, error * _CLEAR < 1)
        for point, mixture, share, error in zip(points, mixtures, shares, errors, strict=True)
    }
    each = [tuple(told.get((i, k)) for k in range(count)) for i, count in enumerate(counts)]
    return together(_held, crystals, ways, each)


def _ways(crystal: SeenCrystal, peaks: MotifPeaks, count: int) -> _Ways:
    origins = peak_places(peaks, count)
    amplitude = crystal.amplitude
    if count == 0:
        nothing = torch.zeros_like(amplitude, dtype=torch.long)
        return _Ways(origins, torch.stack([amplitude, amplitude], -1), nothing, nothing[None][:0].bool())
    rows, columns = (
        crystal.step * torch.arange(n, device=amplitude.device).to(amplitude.dtype) for n in amplitude.shape
    )
    way, which = to_nearest_site(crystal.locked, origins, rows, columns)
    inside = (crystal.own > _INSIDE) & (crystal.seen > _SEEN)
    on = (way.abs() <= crystal.step / 2).all(-1) & inside
    return _Ways(origins, way, which, torch.stack([on & (which == k) for k in range(count)]))


def _sites(crystal: SeenCrystal, chosen: Tensor, count: int) -> Sites:
    """The chosen points as sites; what is beyond them, if `count` is more, has no weight."""
    rank = chosen.flatten().long().cumsum(0)
    wanted = torch.arange(1, count + 1, device=rank.device)
    index = torch.searchsorted(rank, torch.minimum(wanted, rank[-1:]))
    amplitude, std, own = (field.flatten()[index] for field in (crystal.amplitude, crystal.std, crystal.own))
    return Sites(amplitude, std, own * (wanted <= rank[-1:]))


def _error(sites: Sites, mixture: SiteMixture) -> Tensor:
    """Standard deviation of the amplitude of the usual atom."""
    usual = torch.where(sites.weight > 0, sites.std**2, torch.nan).nanmedian(0)[0]
    return (usual + mixture.spread[OCCUPIED] ** 2).sqrt()


def _held(crystal: SeenCrystal, ways: _Ways, told: tuple[_Told | None, ...]) -> HeldSites:
    amplitude, std = crystal.amplitude, crystal.std
    level, share = torch.full_like(amplitude, 0.5), torch.zeros_like(amplitude)
    vacant = torch.zeros_like(amplitude)
    rows, columns = (
        crystal.step * torch.arange(n, device=amplitude.device).to(amplitude.dtype) for n in amplitude.shape
    )
    for k, own in enumerate(told):
        sure = own is not None and own.clear and len(told) == 1
        if own is None or not (own.substitutes or sure):
            continue
        here = ways.which == k
        field = own.mixture.probability(amplitude, std, crystal.none)
        places = torch.stack([rows[:, None] + ways.way[..., 0], columns + ways.way[..., 1]], -1) / crystal.step
        if own.substitutes:
            share = torch.where(here, at_places(field[..., SUBSTITUTED], places), share)
            level = torch.where(here, own.mixture.amplitude[SUBSTITUTED], level)
        if sure:
            vacant = at_places(field[..., VACANT], places)
    return HeldSites(ways.origins, tuple(None if own is None else own.mixture for own in told), level, share, vacant)

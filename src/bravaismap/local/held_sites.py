"""Held sites: what the sites of crystals hold, the usual atom, another one or none, and what that means for pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.compute.together import Length, numbers_of, together
from bravaismap.local.amplitude import Noise
from bravaismap.local.displacement import Locked
from bravaismap.local.neighbourhood import ALONE
from bravaismap.local.populations import (
    FEWEST_SITES,
    OCCUPIED,
    SUBSTITUTED,
    VACANT,
    SitePopulations,
    Sites,
    fit_populations,
)
from bravaismap.local.scale import ramp
from bravaismap.local.sites import MotifPeaks, at_places, motif_peaks, peak_places, to_nearest_site
from bravaismap.local.vacancy import VacantSite, vacant_site

__all__ = ["HeldSites", "SeenCrystal", "held_sites"]

#: Standard errors between an atom and none from which the share of vacancies is told from the flank of the atoms.
_CLEAR = 3.0
#: Standard errors between them from which a vacancy is told beside a void, too, where atoms lie beside their sites and
#: are the fainter for it: one false in 30 000 sites. With fewer it is told less and less between these shares of none
#: nearby.
_SURE, _INSIDE_ONLY = 8.0, (0.1, ALONE)
#: Error of what the fit is said to see around a vacancy, as simulated vacancies have it.
_VACANCY_ERROR = 0.03
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
    sigma : float or Length
        Standard deviation of the Gaussian of the amplitude in px.
    noise : Noise
    level : tensor, shape ()
        Mean brightness of the crystal.
    """

    locked: Locked
    amplitude: Tensor
    std: Tensor
    own: Tensor
    none: Tensor
    seen: Tensor
    step: int
    sigma: float | Length
    noise: Noise
    level: Tensor


@dataclass(frozen=True)
class HeldSites:
    """What the sites of a crystal hold, and what the one nearest to each point does.

    Attributes
    ----------
    origins : tensor, shape (sublattices, 2)
        Where atoms sit in the averaged cell, in fractions of its vectors.
    populations : tuple of SitePopulations or None
        Of each sublattice; None where there are too few sites.
    spread : tensor, shape ()
        Largest spread of the amplitudes around the usual atoms of a sublattice beyond their errors.
    level, substituted, vacant : tensors, shape (rows, columns)
        Amplitude of another atom, probability that the nearest site holds it, and that it is vacant: 0 where that is
        not to be told.
    tells_vacancies : bool
        Whether it is.
    """

    origins: Tensor
    populations: tuple[SitePopulations | None, ...]
    spread: Tensor
    level: Tensor
    substituted: Tensor
    vacant: Tensor
    tells_vacancies: bool


@dataclass(frozen=True)
class _Ways:
    """The way from each point to the nearest site, of which sublattice that is, and which points are nearest to one."""

    origins: Tensor
    way: Tensor
    which: Tensor
    chosen: Tensor


@dataclass(frozen=True)
class _Told:
    """The populations of a sublattice, with what is known of it beside."""

    populations: SitePopulations
    vacancy: VacantSite
    substitutes: bool
    clear: bool
    sure: bool


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
    vacancies = together(
        _vacancy, [crystals[i] for i, _ in points], [ways[i].origins for i, _ in points],
        [k for _, k in points], [dark] * len(points),
    )  # fmt: skip
    chosen = together(
        _sites, [crystals[i] for i, _ in points], [ways[i].chosen[k] for i, k in points], vacancies,
        [most if len(crystals) > 1 else n for n, told in zip(sites, enough, strict=True) if told],
    )  # fmt: skip
    fitted = fit_populations(chosen)
    errors = numbers_of(together(_error, chosen, [own.evident for own in fitted]))
    clear, certain = ([error * least < 1 for error in errors] for least in (_CLEAR, _SURE))
    # where vacancies are told, faint atoms that nobody could name are none of them
    populations = [own.possible if tells else own.evident for own, tells in zip(fitted, clear, strict=True)]
    shares = numbers_of([own.share[SUBSTITUTED] for own in populations])
    told: dict[tuple[int, int], _Told] = {
        point: _Told(own, vacancy, share > 0, tells, sure)
        for point, own, vacancy, share, tells, sure in zip(
            points, populations, vacancies, shares, clear, certain, strict=True
        )
    }
    each = [tuple(told.get((i, k)) for k in range(count)) for i, count in enumerate(counts)]
    return together(_held, crystals, ways, each)


def _vacancy(crystal: SeenCrystal, origins: Tensor, which: int, dark: bool) -> VacantSite:
    return vacant_site(crystal.locked, origins, which, crystal.sigma, crystal.noise, crystal.level, dark)


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


def _sites(crystal: SeenCrystal, chosen: Tensor, vacancy: VacantSite, count: int) -> Sites:
    """The chosen points as sites; what is beyond them, if `count` is more, has no weight."""
    rank = chosen.flatten().long().cumsum(0)
    wanted = torch.arange(1, count + 1, device=rank.device)
    index = torch.searchsorted(rank, torch.minimum(wanted, rank[-1:]))
    amplitude, std, own = (field.flatten()[index] for field in (crystal.amplitude, crystal.std, crystal.own))
    return replace(_between(amplitude, std, vacancy), weight=own * (wanted <= rank[-1:]))


def _between(amplitude: Tensor, std: Tensor, vacancy: VacantSite) -> Sites:
    """Amplitudes of the fit as those of atoms: 0 for what it sees around a vacancy, 1 around the usual atom."""
    height = 1 - vacancy.amplitude
    empty = torch.hypot(vacancy.noise * std, std.new_tensor(_VACANCY_ERROR))
    return Sites((amplitude - vacancy.amplitude) / height, empty / height, std / height)


def _error(sites: Sites, populations: SitePopulations) -> Tensor:
    """Standard deviation of the amplitude of the usual atom."""
    usual = lower_nanmedian(torch.where(torch.as_tensor(sites.weight > 0), sites.occupied_std**2, torch.nan))
    return (usual + populations.spread[OCCUPIED] ** 2).sqrt()


def _held(crystal: SeenCrystal, ways: _Ways, told: tuple[_Told | None, ...]) -> HeldSites:
    amplitude = crystal.amplitude
    level, share = torch.full_like(amplitude, 0.5), torch.zeros_like(amplitude)
    vacant, spread = torch.zeros_like(amplitude), amplitude.new_zeros(())
    rows, columns = (
        crystal.step * torch.arange(n, device=amplitude.device).to(amplitude.dtype) for n in amplitude.shape
    )
    # where the cell holds several atoms, one that is missing is no void
    tells = len(told) == 1 and told[0] is not None and told[0].clear
    for k, own in enumerate(told):
        if own is None:
            continue
        empty, populations = own.vacancy.amplitude, own.populations
        spread = torch.maximum(spread, populations.spread[OCCUPIED] * (1 - empty))
        places = torch.stack([rows[:, None] + ways.way[..., 0], columns + ways.way[..., 1]], -1) / crystal.step
        populated = _probability(crystal, own) if own.substitutes or tells else None
        if own.substitutes and populated is not None:
            nearest = ways.which == k
            share = torch.where(nearest, at_places(populated[..., SUBSTITUTED], places), share)
            level = torch.where(nearest, empty + (1 - empty) * populations.amplitude[SUBSTITUTED], level)
        if tells and populated is not None:
            inside = 1.0 if own.sure else 1 - ramp(crystal.none, _INSIDE_ONLY)
            vacant = at_places(inside * populated[..., VACANT], places)
    every = tuple(None if own is None else own.populations for own in told)
    return HeldSites(ways.origins, every, spread, level, share, vacant, tells)


def _probability(crystal: SeenCrystal, told: _Told) -> Tensor:
    """Probability of each population at every point, (rows, columns, populations)."""
    # inside a crystal a place with less of an atom makes a share of none nearby of its own
    beforehand = torch.where(crystal.none < ALONE, told.populations.share[VACANT], crystal.none)
    sites = _between(crystal.amplitude.flatten(), crystal.std.flatten(), told.vacancy)
    every = told.populations.probability(sites, beforehand.flatten())
    return every.reshape(*crystal.amplitude.shape, every.shape[-1])

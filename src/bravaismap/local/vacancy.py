"""Vacancy: what the fit of an amplitude around a vacant site sees, which is not quite nothing.

The Gaussian of the fit reaches to the atoms beside the vacancy, which look as they should; and where atoms are bright
and counts few, a dark place is less noisy than an atom is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.compute.together import Length, number
from bravaismap.local.amplitude import Noise
from bravaismap.local.displacement import Locked
from bravaismap.local.sites import averaged_motif

__all__ = ["VacantSite", "vacant_site"]

#: Points along each side of the square in which the Gaussian is summed, and half its side in standard deviations.
_POINTS, _REACH = 21, 3.0
_MOTIF_POINTS = 32
#: Lattice vectors along each direction whose sites may be the nearest to a point in that square.
_NEIGHBOURS = 3
#: Rounding of a squared distance over the largest one.
_SAME = 1e-5
#: Largest amplitude that a vacancy may have: with more, atoms are no wider than the Gaussian can tell.
_MOST = 0.8


@dataclass(frozen=True)
class VacantSite:
    """What the fit around a vacant site sees, beside what it sees around the usual atom, whose amplitude is 1.

    Attributes
    ----------
    amplitude : tensor, shape ()
    noise : tensor, shape ()
        σ of the amplitude over that around the usual atom.
    """

    amplitude: Tensor
    noise: Tensor


def vacant_site(
    locked: Locked, origins: Tensor, which: int, sigma: float | Length, noise: Noise, level: Tensor, dark: bool
) -> VacantSite:
    """Return what the fit of the amplitude sees around a site whose atom is missing.

    Parameters
    ----------
    locked : Locked
    origins : tensor, shape (sublattices, 2)
        Where atoms sit in the averaged cell, in fractions of its vectors.
    which : int
        The sublattice that the atom is missing from.
    sigma : float or Length
        Standard deviation of the Gaussian of the fit in px.
    noise : Noise
    level : tensor, shape ()
        Mean brightness of the crystal.
    dark : bool
        Whether atoms are darker than what is between them.

    Notes
    -----
    With P the motif, h what of it is nearer to the site than to others, w the Gaussian and P̄ the mean of P in it, the
    amplitude is ``1 − Σ w (P − P̄) h / Σ w (P − P̄)²`` and its variance proportional to ``Σ w² (P − P̄)² v``, with v the
    variance of a pixel of the brightness of P − h, or of P.
    """
    width = number(sigma)
    axis = torch.linspace(-_REACH, _REACH, _POINTS, device=origins.device, dtype=origins.dtype) * width
    place = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    grid = torch.arange(_MOTIF_POINTS, device=origins.device).to(origins) / _MOTIF_POINTS
    motif = averaged_motif(locked, torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1))
    pattern = averaged_motif(locked, place @ torch.linalg.inv(locked.waves.basis) + origins[which])
    steps = torch.arange(-_NEIGHBOURS, _NEIGHBOURS + 1, device=origins.device).to(origins)
    cells = torch.cartesian_prod(steps, steps)
    sites = torch.cat([cells + origin - origins[which] for origin in origins]) @ locked.waves.basis
    nearest = (place[..., None, :] - sites).square().sum(-1).amin(-1)
    own = place.square().sum(-1) <= nearest + _SAME * nearest.amax()
    atom = (pattern - (motif.amax() if dark else motif.amin())) * own
    weight = torch.exp(-0.5 * place.square().sum(-1) / width**2)
    weight = weight / weight.sum()
    height = pattern - (weight * pattern).sum()
    lost = (weight * height * atom).sum() / (weight * height**2).sum().clamp_min(1e-30)
    power = weight**2 * height**2
    variances = [(power * noise.variance(level + seen)).sum() for seen in (pattern - atom, pattern)]
    return VacantSite((1 - lost).clamp(0.0, _MOST), (variances[0] / variances[1].clamp_min(1e-30)).sqrt())

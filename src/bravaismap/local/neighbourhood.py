"""Neighbourhood: the phases around a pixel, and what they say of vacancies and of gaps between grains."""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.compute.together import Length
from bravaismap.local.phases import NEIGHBOURHOOD
from bravaismap.local.scale import ramp
from bravaismap.local.smoothing import mean_shares

__all__ = ["ALONE", "nearby", "without_gaps", "without_vacancies"]

#: Share of none in the neighbourhood up to which a vacancy is alone in its crystal; more is a void with an edge.
ALONE = 0.25
#: Share of a second grain in the neighbourhood from which a place is beside it; shares of none between which what parts
#: two grains is no longer a gap: it is wider than half a cell, than a cell.
_BESIDE, _GAP = 0.1, (0.15, 0.3)


def nearby(probability: Tensor, seen: Tensor, cell: float | Length) -> Tensor:
    """Return the share of each phase in the neighbourhood of every point, (phases, rows, columns).

    Parameters
    ----------
    probability : tensor, shape (phases, rows, columns)
        1 in all.
    seen : tensor, shape (rows, columns)
        How much of each point's neighbourhood is valid, 0 to 1.
    cell : float or Length
        Side of a cell in points of the grid.
    """
    return mean_shares(probability, seen, NEIGHBOURHOOD * cell)


def without_vacancies(probability: Tensor, near: Tensor, vacant: Tensor) -> Tensor:
    """Return probabilities with the cells of sure single vacancies as none: what is dark beside them is crystal.

    Parameters
    ----------
    probability, near : tensors, shape (lattices + 1, rows, columns)
        Of each lattice and of none last, and their shares in the neighbourhood.
    vacant : tensor, shape (lattices, rows, columns)
        Probability that the nearest site of a lattice is vacant.

    Notes
    -----
    Between the atoms around a vacancy the image is as it should be, so the fit around a pixel there sees the crystal.
    """
    alone = (vacant * (near[:-1] > 1 - 2 * ALONE)).amax(0) * (near[-1] < ALONE)
    none = torch.maximum(probability[-1], alone)
    rest = (1 - none) / (1 - probability[-1]).clamp_min(1e-12)
    return torch.cat([probability[:-1] * rest, none[None]])


def without_gaps(probability: Tensor, near: Tensor) -> Tensor:
    """Return probabilities with gaps between two grains as theirs: less than one row of atoms is missing there.

    Parameters
    ----------
    probability, near : tensors, shape (lattices + 1, rows, columns)
        As for :func:`without_vacancies`.
    """
    if len(probability) < 3:
        return probability
    second = near[:-1].topk(2, dim=0).values[1]
    gap = ramp(second, (0.0, _BESIDE)) * (1 - ramp(near[-1], _GAP))
    none = probability[-1] * (1 - gap)
    share = probability[:-1] + _BESIDE * near[:-1]
    return torch.cat([share / share.sum(0).clamp_min(1e-12) * (1 - none), none[None]])

"""Wandering phases: the lattice of windows in which the crystal is not one wave.

Antiphase boundaries, strain and wandering scan lines split and smear the spots of a window, of which a search takes
some for a lattice and leaves others unexplained. Tiles of a half and a quarter of the window, each with phases of its
own, still show the crystal's lattice. They are asked where the one wave leaves a doubt, and believed where their
evidence is the larger: in a perfect crystal it is the smaller, because every tile has to show phases of its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.explanation import Explanation, View, explained, view_of_tiles
from bravaismap.measure.search import Searched, search
from bravaismap.measure.spots import Spots, find_spots
from bravaismap.measure.worth import worth

__all__ = ["wandering"]


def wandering(first: Searched, shown: Tensor, windows: View) -> tuple[Explanation, Tensor]:
    """Return the lattice of each window and its evidence, as one wave or, where these show more, as tiles.

    Parameters
    ----------
    first : Searched
        The lattices of the windows as one wave, and the spots.
    shown : tensor, shape (n,)
        Their evidence.
    windows : View
        Of whole windows.
    """
    limits, best = settings.SETTINGS.wandering, first.best
    doubtful = (shown < limits.doubtful_evidence) | (_unexplained(first, windows) > limits.unexplained_share)
    split = best.basis.square().sum(-1).amin(1) < limits.split_distance**2
    gain = torch.where(split, limits.split_gain, limits.gain)
    doubtful = doubtful | split
    rows = torch.nonzero(doubtful).squeeze(1)
    for groups in limits.groups:
        if len(rows) == 0 or min(windows.plain.shape[1:]) < groups * limits.smallest_tile:
            break
        tiles = view_of_tiles(windows.take(rows), groups)
        spots = find_spots(tiles.spectrum, brightest=False)
        clear = torch.nonzero(_clear(spots, tiles) > 0).squeeze(1)
        if len(clear) == 0:
            break
        rows, tiles = rows[clear], tiles.take(clear)
        searched = search(tiles, spots=spots.take(clear))
        other = searched.best
        least = (gain[rows] * shown[rows] + limits.least_gain).clamp_min(limits.least_evidence)
        evidence = worth(other, tiles, least)
        explains = _unexplained(searched, tiles) < limits.tile_unexplained_share
        won = torch.nonzero((evidence > least) & explains).squeeze(1)
        won = won[_wanders(other.take(won), evidence[won], windows.take(rows[won]), tiles.scale, split[rows[won]])]
        best = best.put(other.take(won).scaled(tiles.scale), rows[won])
        shown = shown.index_copy(0, rows[won], evidence[won])
        gain, split = gain.index_fill(0, rows[won], limits.gain), split.index_fill(0, rows[won], False)
        rows = rows[shown[rows] < limits.certain_evidence]
    return best, shown


def _wanders(tiled: Explanation, evidence: Tensor, windows: View, scale: Tensor, asked: Tensor) -> Tensor:
    """Whether the lattice of the tiles has less evidence as one wave; those not `asked` are taken to.

    Tiles are blind to the close nodes of a large cell. If the waves that they see run through the window, nothing
    wanders, and the large cell is right.
    """
    limits, wanders = settings.SETTINGS.wandering, torch.ones_like(asked)
    rows = torch.nonzero(asked).squeeze(1)
    if len(rows) == 0:
        return wanders
    own = windows.take(rows)
    as_wave = worth(explained(own, tiled.basis[rows] * scale), own)
    return wanders.index_copy(0, rows, evidence[rows] > limits.gain * as_wave + limits.least_gain)


def _unexplained(searched: Searched, view: View) -> Tensor:
    """What the spots beside the nodes of the lattice say over what those at the nodes say, (n,)."""
    spots, basis = searched.spots, searched.best.basis
    index = spots.position @ torch.linalg.inv_ex(basis)[0]
    beside = ((index - index.round()) @ basis).square().sum(-1) > settings.SETTINGS.wandering.node_radius**2
    says = _excess(spots, view).log1p()
    share: Tensor = (says * beside).sum(1) / (says * ~beside).sum(1).clamp_min(1e-3)
    return share


def _clear(spots: Spots, view: View) -> Tensor:
    """Whether a lattice can be among the spots: how far the second one stands above what chance makes, (n,)."""
    return _excess(spots, view).topk(2, dim=1).values[:, 1] - settings.SETTINGS.wandering.clear_spot


def _excess(spots: Spots, view: View) -> Tensor:
    """Evidence of each spot above that of the highest maximum of noise."""
    rows, columns = view.spectrum.power.shape[1:]
    return (spots.weight - math.log(rows * columns / 9)).clamp_min(0)

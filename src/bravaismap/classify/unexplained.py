"""Unexplained waves: the share of the power of a window in coherent waves that no candidate lattice explains.

A network answers for windows of the kinds that it learned from, and all of these hold one lattice or none. A
quasicrystal or two lattices on one another have sharp spots of which any lattice explains a part only; of such a window
the scores of a network say nothing, and are as sure as elsewhere. What tells it are waves that stand out, run through
the window with one phase, as those of a crystal do, and lie between the nodes of every candidate, in the *same* parts
of the window as the waves on its nodes: a second grain is elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bravaismap.classify.candidates import find_candidates
from bravaismap.classify.tokens import CELLS, CandidateLattices
from bravaismap.conventions import NONE
from bravaismap.measure.local_waves import local_sums
from bravaismap.measure.spots import find_spots, flatten, standardize, whitened_power

__all__ = ["Doubt", "unexplained_share"]

#: Spots of a window that are asked whether a lattice explains them.
_SPOTS: Final = 24
#: Log likelihood ratio against noise from which on a spot is a wave for certain.
_CLEAR: Final = 12.0
#: Distance in bins from an axis of the spectrum within which a wave may be one of displaced or uneven lines.
_NEAR_AXIS: Final = 1.6
#: Tiles along each side of a window, in which waves on and between nodes are sought together.
_TILES: Final = 4
#: Distance of a spot from the nearest node from which on the lattice does not explain it: as a share of the shortest
#: reciprocal vector, and in bins, the width of a spot.
_BETWEEN, _SPOT_WIDTH = 0.2, 1.0
#: Area of a reciprocal cell in bins² below which spots are too wide to lie between nodes.
_SMALLEST_CELL: Final = 6.0
#: Shares up to which nothing is doubted, and from which on all is. Of the windows that the networks learned from 1 %
#: are above the first and 0.1 % above the second, of quasicrystals of 128 px 95 and 30 % (docs/measured.md).
_USUAL, _NEVER = 0.15, 0.35


@dataclass(frozen=True)
class Doubt:
    """How far the answers of a network for windows are to be doubted.

    Attributes
    ----------
    share : Tensor, shape (n,)
        From 0 to 1, the part of what is said of the lattice that is not to be believed.
    none : int, optional
        Number of the class that stands for no lattice, if there is one: the doubt is about which lattice there is, and
        what the network takes for none stays none.
    """

    share: Tensor
    none: int | None

    @classmethod
    def about(cls, images: Tensor, lattices: CandidateLattices, classes: Sequence[str]) -> Doubt:
        """Return the doubt about answers of some classes for windows, which have these candidate lattices.

        Images and lattices are those of :func:`unexplained_share`.
        """
        share = ((unexplained_share(images, lattices) - _USUAL) / (_NEVER - _USUAL)).clamp(0, 1)
        return cls(share, classes.index(NONE) if NONE in classes else None)

    @classmethod
    def concatenate(cls, parts: Sequence[Doubt]) -> Doubt:
        """Return the doubt about several batches of windows, one batch after the other, of at least one."""
        return cls(torch.cat([part.share for part in parts]), parts[0].none)

    def __getitem__(self, windows: slice) -> Doubt:
        """Return the doubt about some of the windows."""
        return Doubt(self.share[windows], self.none)

    def flattened(self, probability: Tensor) -> Tensor:
        """Return probabilities (n, classes) or (n, passes, classes) of which the doubtful part is shared out evenly."""
        share = self.share.to(probability.dtype).reshape(-1, *[1] * (probability.ndim - 1))
        if self.none is not None:
            share = share * (1 - probability[..., self.none, None])
        result: Tensor = (1 - share) * probability + share / probability.shape[-1]
        return result


def unexplained_share(images: Tensor, lattices: CandidateLattices) -> Tensor:
    """Return the share of the power of clear waves that the best lattice leaves unexplained, from 0 to 1/2.

    In each tile t of a window, let S and L be the power of the waves between and on the nodes of a lattice, each wave
    weighed with its coherence: the power of its sum over all tiles, in phase, over the largest that this can be. The
    share is (Σ min(S, L) + max(0, Σ S − Σ L) / 2) / Σ P, with P the power of all waves without this weight, of the
    lattice for which it is least. It is 0 for a window without clear waves, and where no clear spot of the tokens lies
    between the nodes of one of the candidates.

    Parameters
    ----------
    images : Tensor, shape (n, side, side)
    lattices : CandidateLattices
        Of these. Those that the spots themselves suggest once lines are level are tried besides.
    """
    away = lattices.weight * (lattices.position.abs() > _NEAR_AXIS).all(-1)
    rows = torch.nonzero(_all_miss(lattices.basis * images.shape[-1], lattices.position, away > _CLEAR)).squeeze(1)
    share = torch.zeros(len(images), device=images.device)
    return share if len(rows) == 0 else share.index_copy(0, rows, _asked_share(images[rows], lattices.basis[rows]))


def _all_miss(basis: Tensor, position: Tensor, clear: Tensor) -> Tensor:
    """Return for which windows each of the lattices (n, candidates, 2, 2) leaves a clear spot between its nodes."""
    return (_between_nodes(basis, position) & clear[..., None]).any(1).all(1)


def _asked_share(images: Tensor, lattices: Tensor) -> Tensor:
    """Return the share, by the spots of windows (n, side, side) whose lines are level, (n,)."""
    side = images.shape[-1]
    plain = standardize(images)
    flat = flatten(plain - plain.mean(-1, keepdim=True) - plain.mean(-2, keepdim=True))
    spots = find_spots(whitened_power(flat), count=_SPOTS)
    position = spots.position
    weight = spots.weight * (position.abs() > _NEAR_AXIS).all(-1)
    order = weight.argsort(dim=1, descending=True, stable=True)
    position, weight = position.gather(1, order[..., None].expand(-1, -1, 2)), weight.gather(1, order)
    own = find_candidates(position, weight, CELLS)
    basis = torch.cat([lattices * side, own.basis * (own.score > 0)[..., None, None]], 1)
    return _least_share(flat, position, weight > _CLEAR, basis)


def _least_share(images: Tensor, position: Tensor, clear: Tensor, basis: Tensor) -> Tensor:
    """Return the share that the best of lattices (n, candidates, 2, 2) leaves of the clear waves (n, waves)."""
    power, coherence = _in_tiles(images, position)
    power = power * clear[:, None]
    coherent = power * coherence[:, None]
    between = coherent @ _between_nodes(basis, position).to(coherent.dtype)
    on = coherent.sum(-1, keepdim=True) - between
    shared = torch.minimum(between, on).sum(1) + 0.5 * (between - on).sum(1).clamp_min(0)
    share: Tensor = shared.amin(1) / power.sum((1, 2)).clamp_min(1e-12)
    return share


def _in_tiles(images: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Return the power of waves in each tile, (n, tiles, waves), and how coherent they are, (n, waves)."""
    length = images.shape[-1] // _TILES
    even, odd = local_sums(images[:, : _TILES * length, : _TILES * length], position / images.shape[-1], length, length)
    power = even.square() + odd.square()
    together = even.sum(1).square() + odd.sum(1).square()
    return power, together / (_TILES**2 * power.sum(1)).clamp_min(1e-20)


def _between_nodes(basis: Tensor, position: Tensor) -> Tensor:
    """Return which spots (n, spots, 2) lie between the nodes of lattices (n, candidates, 2, 2) in bins, as a matrix.

    All do of a lattice that is too fine to have anything between its nodes.
    """
    usable = torch.linalg.det(basis).abs() > _SMALLEST_CELL
    sound = torch.where(usable[..., None, None], basis, torch.eye(2, device=basis.device))
    index = torch.einsum("nsj,ncjk->nsck", position, torch.linalg.inv_ex(sound)[0])
    distance = torch.einsum("nsck,nckj->nscj", index - index.round(), sound).square().sum(-1).sqrt()
    shortest = sound.square().sum(-1).sqrt().amin(-1)[:, None]
    between = (distance > _BETWEEN * shortest) & (distance > _SPOT_WIDTH)
    result: Tensor = between | ~usable[:, None]
    return result

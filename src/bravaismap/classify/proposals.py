"""Proposals: the lattices that a network sees in windows where the measurement is in doubt, measured like all others.

A network of tokens says of each candidate lattice of a window how probable it is that the window shows this one, and
how probable it is that there is none. Where the measurement is clear it is not asked. In doubtful windows the lattices
that it holds probable are refined by maximum likelihood, and what it says counts as evidence beside that of the waves,
for the lattice that was measured and for those that it proposes alike. The lattice of the most evidence is the answer,
with the cell and the covariance that the refinement gives; of its class the network says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor

from bravaismap.classify import posterior_settings
from bravaismap.classify.network import DropoutNetwork
from bravaismap.classify.token_network import TokenStem
from bravaismap.classify.tokens import SMALLEST_TOKENS, tokens_and_lattices
from bravaismap.compute.device import full_precision
from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import ModelError
from bravaismap.measure.enlargement import enlarged
from bravaismap.measure.explanation import view_of_tiles
from bravaismap.measure.measurement import Measurement, leveled_view, measured_from
from bravaismap.measure.nodes import log_ratio

__all__ = ["Proposals", "Proposer", "network_evidence", "proposals", "same_lattice", "with_proposals"]

#: Smallest area of a reciprocal cell, in 1/px², of a candidate.
_SMALLEST_CELL: Final = 1e-7
#: Largest departure from whole numbers of the change of basis between two descriptions of a lattice: of spots that are
#: off by a quarter of a bin.
_SAME: Final = 0.1


@dataclass(frozen=True)
class Proposer:
    """A network that is asked about doubtful windows.

    Attributes
    ----------
    network : DropoutNetwork
        Whose stem reads tokens, in evaluation mode.
    temperature : float
        Divisor of its scores.
    weights_sha256 : str
        Hash of its weights.
    """

    network: DropoutNetwork = field(compare=False, repr=False)
    temperature: float
    weights_sha256: str


@dataclass(frozen=True)
class Proposals:
    """The lattices that a network sees in windows.

    Attributes
    ----------
    basis : Tensor, shape (n, candidates, 2, 2), float64
        Primitive vectors in px, rows, columns (y, x).
    probability : Tensor, shape (n, candidates)
        That the window shows this lattice. Candidates that are the same lattice have the probability of all of them
        together.
    none : Tensor, shape (n,)
        Probability that there is no lattice.
    """

    basis: Tensor
    probability: Tensor
    none: Tensor


def proposals(proposer: Proposer, images: Tensor) -> Proposals:
    """Return the lattices that a network sees in square windows (n, side, side).

    Raises
    ------
    ModelError
        If the network reads spectra.
    """
    stem = proposer.network.stem
    if not isinstance(stem, TokenStem):
        raise ModelError("a network that reads spectra was asked for lattices; expected one that reads tokens")
    with full_precision():
        tokens, lattices = tokens_and_lattices(images.float())
        vector, mixture = stem.read(tokens)
        scores = proposer.network.scores(vector).double() / proposer.temperature
        none = scores.softmax(-1)[:, CLASSES.index(NONE)]
        weight = mixture.logit.double().softmax(-1)[:, 1:]  # the first component is a lattice that is no candidate
    reciprocal = lattices.basis.double()
    usable = torch.linalg.det(reciprocal).abs() > _SMALLEST_CELL
    reciprocal = torch.where(usable[..., None, None], reciprocal, torch.eye(2, dtype=torch.float64).to(reciprocal))
    basis = torch.linalg.inv(reciprocal).transpose(-1, -2)
    weight = (1 - none)[:, None] * weight * usable
    return Proposals(basis, (same_lattice(basis, basis) * weight[:, None]).sum(-1) * usable, none)


def same_lattice(first: Tensor, second: Tensor) -> Tensor:
    """Return which of the bases (n, i, 2, 2) and (n, j, 2, 2) are bases of the same lattice, (n, i, j)."""
    change = first[:, :, None] @ torch.linalg.inv_ex(second)[0][:, None]
    whole = change.round()
    near = ((change - whole).abs() < _SAME).flatten(-2).all(-1)
    same: Tensor = near & (torch.linalg.det(whole).abs().round() == 1)
    return same


def network_evidence(probability: Tensor, none: Tensor, side: int) -> Tensor:
    """Return what a network says for a lattice, in units of the evidence of waves.

    Parameters
    ----------
    probability, none : Tensor
        That it gives to this lattice, and to none. Where it favours another lattice it says nothing.
    side : int
        Of the windows, in px: in small ones noise has candidates that fit as well.
    """
    limits, share = posterior_settings.SETTINGS.network, _size_share(side)
    least = limits.least_probability / share**2
    return limits.weight * share * ((probability + least) / (none + least)).log()


def with_proposals(images: Tensor, measured: Measurement, proposer: Proposer) -> Measurement:
    """Return the measurements of windows (n, y, x), doubtful ones with what a network says of them."""
    rows = _doubtful(images, measured)
    if len(rows) == 0:
        return measured
    own, kept = images[rows], measured.take(rows)
    seen = proposals(proposer, own)
    agrees = same_lattice(seen.basis, torch.nan_to_num(kept.basis)[:, None])[..., 0]
    supported = (seen.probability * agrees).amax(1)
    kept = replace(
        kept, evidence=kept.evidence + network_evidence(supported, seen.none, own.shape[-1]).to(kept.evidence)
    )
    offered = (seen.probability > posterior_settings.SETTINGS.network.least_proposed) & ~agrees
    earlier = same_lattice(seen.basis, seen.basis).tril(-1)
    offered &= ~(earlier & offered[:, None]).any(-1)
    window, candidate = torch.nonzero(offered, as_tuple=True)
    if len(window):
        tried = _tried(own, window, seen.basis[window, candidate])
        says = network_evidence(seen.probability[window, candidate], seen.none[window], own.shape[-1])
        tried = replace(tried, evidence=tried.evidence + says.to(tried.evidence))
        number = torch.zeros_like(offered, dtype=torch.long)
        number[window, candidate] = torch.arange(len(window), device=rows.device)
        most, best = torch.where(offered, tried.evidence[number], -torch.inf).max(1)
        won = torch.nonzero(most > kept.evidence).squeeze(1)
        kept = kept.put(tried.take(number[won, best[won]]), won)
    if _size_share(own.shape[-1]) == 1:
        kept = replace(kept, covariance=posterior_settings.SETTINGS.network.covariance_factor * kept.covariance)
    return measured.put(kept, rows)


def _size_share(side: int) -> float:
    """Side of windows over that of those in which doubt is of faint lattices, and not of small windows; at most 1."""
    return min(side / posterior_settings.SETTINGS.network.full_side, 1.0)


def _doubtful(images: Tensor, measured: Measurement) -> Tensor:
    """The windows of which the measurement leaves a doubt that a network can be asked about."""
    limits = posterior_settings.SETTINGS.network
    height, width = images.shape[-2:]
    if height != width or not SMALLEST_TOKENS <= height <= limits.largest_side:
        return torch.zeros(0, dtype=torch.long, device=images.device)
    waves = log_ratio(measured.signal).clamp_min(0).sum(-1)
    shows_waves = (measured.evidence > limits.least_evidence) | (waves > limits.least_waves)
    doubtful = (measured.evidence < limits.clear_evidence * _size_share(height)) & shows_waves
    rows = torch.nonzero(doubtful).squeeze(1)
    kept = torch.ones_like(rows, dtype=torch.bool)
    kept[enlarged(images[rows])] = False
    return rows[kept]


def _tried(images: Tensor, window: Tensor, basis: Tensor) -> Measurement:
    """The measurements of windows, by number, from a basis each: as one wave or, where these show more, as tiles."""
    limits = posterior_settings.SETTINGS.network
    asked, place = torch.unique(window, return_inverse=True)
    view = leveled_view(images[asked]).take(place)
    whole, tiles = measured_from(view, basis), measured_from(view_of_tiles(view, 2), basis)
    more = tiles.evidence > (limits.tile_gain * whole.evidence).clamp_min(limits.least_tile_evidence)
    rows = torch.nonzero(more).squeeze(1)
    return whole.put(tiles.take(rows), rows)

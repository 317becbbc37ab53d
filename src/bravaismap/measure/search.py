"""Search: the lattice of the most evidence in each window, from its spots.

spots (plain and flattened spectrum) → candidate bases → those with the most evidence at all their nodes, refined → rows
of nodes left out or added.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.lattice.sublattices import DIVIDED, DOUBLED
from bravaismap.measure import settings
from bravaismap.measure.explanation import Explanation, View, explained, slenderness
from bravaismap.measure.indexing import distinct, index_spots, reduce_rows
from bravaismap.measure.nodes import broad_power, evidence, log_ratio, node_orders, node_power
from bravaismap.measure.spots import Spectrum, Spots, excess, find_spots, flatten, whitened_power

__all__ = ["Searched", "search"]

#: Changes of the reciprocal basis that leave out every second row of nodes, and that add one or two between them.
_DOUBLED_BASES, _DIVIDED_BASES = (torch.from_numpy(changes).float() for changes in (DOUBLED, DIVIDED))


@dataclass(frozen=True)
class Searched:
    """The lattice that a search found in each window, and the spots that it started from."""

    best: Explanation
    spots: Spots


def search(view: View, wide: bool = False, spots: Spots | None = None) -> Searched:
    """Return the refined lattice of the most evidence.

    Parameters
    ----------
    view : View
    wide : bool
        Whether everything is tried; else only where the first lattice is doubtful.
    spots : Spots, optional
        Those to search among, without another look at doubtful windows; if not given, those that stand out most.
    """
    limits, given = settings.SETTINGS.search, spots is not None
    spots = find_spots(view.spectrum, brightest=False) if spots is None else spots
    band = _band(spots)
    indexed = index_spots(spots, limits.indexed_candidates)[0]
    if wide:
        flat = whitened_power(flatten(view.plain))
        views = [find_spots(view.spectrum), find_spots(flat, brightest=False), find_spots(flat)]
        indexed = torch.cat([indexed, *(index_spots(other, limits.indexed_candidates)[0] for other in views)], dim=1)
    count = limits.wide_ranked_candidates if wide else limits.ranked_candidates
    candidates, score = _ranked(view.spectrum, indexed, band, count)
    best = explained(view, candidates[:, 0])
    margin = limits.wide_margin if wide else limits.margin
    best = _others(best, view, candidates, score, score[:, 0], margin)
    if not wide and not given:
        best = _flattened(best, view, band, score[:, 0])
    best = _coarser(best, view)
    return Searched(_finer(best, view, band), spots)


def _flattened(best: Explanation, view: View, band: Tensor, first: Tensor) -> Explanation:
    """The best lattices once doubtful windows are searched with an even contrast, too; `first` is the score so far."""
    limits = settings.SETTINGS.search
    rows = torch.nonzero(best.evidence < limits.doubtful_evidence).squeeze(1)
    if len(rows) == 0:
        return best
    flat = whitened_power(flatten(view.plain[rows]))
    spots = find_spots(flat, brightest=False)
    clear = torch.nonzero(excess(spots, flat).topk(2, dim=1).values[:, 1] > limits.clear_flat_spot).squeeze(1)
    if len(clear) == 0:
        return best
    rows = rows[clear]
    indexed = index_spots(spots.take(clear), limits.second_look_candidates)[0]
    candidates, score = _ranked(view.spectrum.take(rows), indexed, band[rows], limits.ranked_candidates)
    return best.put(_others(best.take(rows), view, candidates, score, first[rows], limits.margin, rows), rows)


def _coarser(best: Explanation, view: View) -> Explanation:
    """The lattices without every second row of nodes, where these hold next to nothing."""
    limits = settings.SETTINGS.sublattices
    changes = _DOUBLED_BASES.to(best.basis.device)
    strange = torch.stack([_strange(best.order, change, limits.index_tolerance) for change in changes])
    gain = torch.where(best.signal > 0, log_ratio(best.signal).clamp_min(0), 0.0)
    least, which = (gain * strange).sum(-1).min(0)
    rows = torch.nonzero((least < limits.row_evidence) & (best.evidence > limits.least_evidence)).squeeze(1)
    if len(rows) == 0:
        return best
    # the nodes of a superlattice in domains are no waves through the window, but stand out in the spectrum
    power = broad_power(view.spectrum.take(rows), best.order[rows] @ best.basis[rows])[1]
    diffuse = (log_ratio(power).clamp_min(0) * strange[which[rows], rows]).sum(-1)
    rows = rows[diffuse < limits.diffuse_evidence]
    basis = reduce_rows(changes[which[rows]] @ best.basis[rows])
    if len(rows) == 0:
        return best
    return best.put(explained(view, basis, rows), rows)


def _finer(best: Explanation, view: View, band: Tensor) -> Explanation:
    """The lattices with rows of nodes between the others, where these hold waves: a motif can hide the fundamentals."""
    limits = settings.SETTINGS.sublattices
    changes = _DIVIDED_BASES.to(best.basis.device)
    parts = 1 / torch.linalg.det(changes)
    rows = torch.nonzero(best.evidence > limits.least_evidence).squeeze(1)
    for _ in range(limits.rounds):
        if len(rows) == 0:
            break
        finer, hint = _divided(best.take(rows), view.spectrum.take(rows), band[rows])
        most, which = hint.max(1)
        hinted = torch.nonzero(most > 0).squeeze(1)
        rows, which = rows[hinted], which[hinted]
        if len(rows) == 0:
            break
        tried = explained(view, finer[hinted, which], rows)
        index = tried.order @ tried.basis @ torch.linalg.inv_ex(best.basis[rows])[0]
        new = ((index - index.round()).abs() > limits.measured_index_tolerance).any(-1) & (tried.signal > 0)
        worth = (log_ratio(tried.signal).clamp_min(0) * new).sum(-1)
        won = torch.nonzero(worth > limits.row_evidence * parts[which].log2()).squeeze(1)
        rows = rows[won]
        best = best.put(tried.take(won), rows)
    return best


def _divided(best: Explanation, spectrum: Spectrum, band: Tensor) -> tuple[Tensor, Tensor]:
    """Bases with rows of nodes between the others, (n, changes, 2, 2), and whether to try them (above 0), by evidence.

    The evidence is that of the spectrum, above what the rows need to be tried.
    """
    limits = settings.SETTINGS.sublattices
    nodes = settings.SETTINGS.nodes
    changes = _DIVIDED_BASES.to(best.basis.device)
    parts = 1 / torch.linalg.det(changes)
    orders, member = _between(nodes.highest_index, limits.index_tolerance, best.basis.device)
    position = orders @ best.basis
    power, seen = node_power(spectrum, position)
    seen = seen & (position.square().sum(-1) < (nodes.ring_edges[-1] * band[:, None]).square())
    gain = torch.where(seen, log_ratio(power).clamp_min(0), 0.0)
    finer = reduce_rows(changes @ best.basis[:, None])
    distance = finer[..., 0, :].square().sum(-1).sqrt()
    shown = (gain[:, None] * member).topk(limits.trial_nodes, dim=-1).values.sum(-1)
    needed = limits.trial_evidence * (2 * parts - 3)
    hint = torch.where(distance > limits.smallest_distance, shown - needed, -1.0)
    halves = hint[:, parts == 2]
    hint[:, parts == 2] += limits.halves_advantage * (halves > 0)
    return finer, hint


def _strange(order: Tensor, change: Tensor, tolerance: float) -> Tensor:
    """Whether each node is none of the lattice of the changed basis."""
    index: Tensor = order @ torch.linalg.inv(change)
    strange: Tensor = ((index - index.round()).abs() > tolerance).any(-1)
    return strange


@functools.cache
def _between(highest: int, tolerance: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Half and third indices between those of a lattice, (nodes, 2), and which change has them, (changes, nodes)."""
    whole = node_orders(highest, device)
    changes = _DIVIDED_BASES.to(device)
    orders = torch.cat([whole @ change for change in changes])
    orders = torch.unique((orders * 6).round(), dim=0) / 6
    between = ((orders - orders.round()).abs() > tolerance).any(-1)
    orders = orders[between & (orders.abs().amax(-1) <= 0.5 * highest + 1)]
    return orders, ~torch.stack([_strange(orders, change, tolerance) for change in changes])


def _ranked(spectrum: Spectrum, candidates: Tensor, band: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Different candidates, best first, by their evidence at all nodes and the preference for common cells."""
    limits = settings.SETTINGS.search
    score = evidence(spectrum, candidates, band)
    score = score - limits.slender_penalty * slenderness(candidates)
    preference = limits.spectrum_sparse_preference * _sparser(candidates, score)
    return distinct(candidates, score + preference, count)


def _others(
    best: Explanation,
    view: View,
    candidates: Tensor,
    score: Tensor,
    first: Tensor,
    margin: float,
    windows: Tensor | None = None,
) -> Explanation:
    """The best lattices once all candidates are refined whose score is at most `margin` below the `first`.

    They are those of the `windows` of a view, by number, or of all.
    """
    limits = settings.SETTINGS.search
    near = score > (first - margin)[:, None]
    doubtful = (best.evidence < limits.doubtful_evidence)[:, None] & (score > limits.least_score)
    rows, ranks = torch.nonzero((near | doubtful) & (score != first[:, None]), as_tuple=True)
    if len(rows) == 0:
        return best
    tried = explained(view, candidates[rows, ranks], rows if windows is None else windows[rows])
    return best.improved(tried, rows, ranks, candidates.shape[1])


def _sparser(candidates: Tensor, score: Tensor) -> Tensor:
    """Log of the area of each cell over that of the best, within `sparse_range`."""
    area = torch.linalg.det(candidates).abs().clamp_min(1e-3).log()
    relative: Tensor = area - area.gather(1, score.argmax(1, keepdim=True))
    return relative.clamp(*settings.SETTINGS.search.sparse_range)


def _band(spots: Spots) -> Tensor:
    """Distance from the centre of the outermost clear spot, in bins."""
    search = settings.SETTINGS.search
    radius = spots.position.square().sum(-1).sqrt()
    clear = spots.weight > search.clear_spot_evidence
    return torch.where(clear, radius, radius.new_zeros(())).amax(1).clamp_min(search.least_band)

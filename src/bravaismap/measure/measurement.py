"""Measurement: an image window in, its primitive cell with covariance and the evidence for a lattice out; no training.

spots (plain and flattened spectrum) → candidate bases → the one with the most evidence at all its nodes → maximum
likelihood refinement with covariance.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.lattice.sublattices import DIVIDED, DOUBLED, kronecker_lift
from bravaismap.measure import settings
from bravaismap.measure.fringes import beyond_hum
from bravaismap.measure.indexing import distinct, index_spots, reduce_rows
from bravaismap.measure.nodes import (
    broad_power,
    evidence,
    log_ratio,
    node_orders,
    node_power,
    ring_power,
    streak_power,
)
from bravaismap.measure.periods import both_ways
from bravaismap.measure.refinement import refine
from bravaismap.measure.scanlines import leveled
from bravaismap.measure.spots import Spectrum, Spots, background, find_spots, flatten, standardize, whitened_power

__all__ = ["SMALLEST_SIDE", "Measurement", "measure", "measure_from"]

#: Side of the smallest window that can be measured, in px: eight tiles of four.
SMALLEST_SIDE: Final = 32
#: Changes of the reciprocal basis that leave out every second row of nodes, and that add one or two between them.
_DOUBLED_BASES, _DIVIDED_BASES = (torch.from_numpy(changes).float() for changes in (DOUBLED, DIVIDED))


@dataclass(frozen=True)
class Measurement:
    """The measured lattice of each window.

    Attributes
    ----------
    basis : tensor, shape (n, 2, 2), float64
        Primitive vectors in px, rows, columns (y, x).
    covariance : tensor, shape (n, 4, 4), float64
        Of the flattened basis, px².
    evidence : tensor, shape (n,)
        Log likelihood ratio of a lattice against none.
    order : tensor, shape (n, nodes, 2)
        Indices (h, k) of the nodes used, in the reciprocal of `basis`.
    frequency : tensor, shape (n, nodes, 2)
        Their positions (k_y, k_x) in cycles per px.
    frequency_std : tensor, shape (n, nodes, 2)
    signal : tensor, shape (n, nodes)
        Power of the wave at each node over the power of the noise there.
    """

    basis: Tensor
    covariance: Tensor
    evidence: Tensor
    order: Tensor
    frequency: Tensor
    frequency_std: Tensor
    signal: Tensor


def measure(images: Tensor, widely: bool | None = None) -> Measurement:
    """Measure the lattice of each window.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Any real type; at least 32 px a side.
    widely : bool, optional
        Whether many candidates are tried for each window, which takes twice as long; if not given, they are for large
        images.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    plain = _leveled(images)
    spectrum = whitened_power(plain)
    pixels = images.shape[-2] * images.shape[-1]
    wide = pixels > settings.SETTINGS.search.wide_pixels if widely is None else widely
    return _in_pixels(_search(plain, spectrum, wide), plain, spectrum)


def measure_from(images: Tensor, basis: Tensor) -> Measurement:
    """Measure the lattice of each window from a given one: nothing is searched, and no other lattice is tried.

    The evidence is what the given lattice has in its window.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        As for :func:`measure`.
    basis : tensor, shape (n, 2, 2)
        Primitive vectors in px, rows, columns (y, x).

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    plain = _leveled(images)
    spectrum = whitened_power(plain)
    smooth = plain - background(plain, settings.SETTINGS.search.background_cells)
    reciprocal = torch.linalg.inv(basis.double()).transpose(-1, -2) * _size(plain)
    return _in_pixels(_attempt(smooth, spectrum, reciprocal.float()), plain, spectrum)


def _leveled(images: Tensor) -> Tensor:
    """Images of mean 0 and standard deviation 1, their rows and columns levelled; raise if they are too small."""
    if images.ndim != 3 or len(images) == 0 or min(images.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(
            f"windows of shape {tuple(images.shape)} were given; expected (n, y, x), n ≥ 1, of 32 px or more"
        )
    return standardize(leveled(standardize(images)))


def _size(plain: Tensor) -> Tensor:
    """Height and width of windows in px: what takes a reciprocal vector in 1/px to bins."""
    return torch.tensor(plain.shape[-2:], device=plain.device, dtype=torch.float32)


def _search(plain: Tensor, spectrum: Spectrum, wide: bool) -> _Best:
    """The refined lattice of the most evidence; `wide` tries everything, else only where the first is doubtful."""
    search = settings.SETTINGS.search
    smooth = plain - background(plain, search.background_cells)
    spots = find_spots(spectrum, brightest=False)
    band = _band(spots)
    indexed = index_spots(spots, search.indexed_candidates)[0]
    if wide:
        flat = whitened_power(flatten(plain))
        views = [find_spots(spectrum), find_spots(flat, brightest=False), find_spots(flat)]
        indexed = torch.cat([indexed, *(index_spots(view, search.indexed_candidates)[0] for view in views)], dim=1)
    count = search.wide_ranked_candidates if wide else search.ranked_candidates
    candidates, score = _ranked(spectrum, indexed, band, count)
    best = _attempt(smooth, spectrum, candidates[:, 0])
    margin = search.wide_margin if wide else search.margin
    best = _others(best, smooth, spectrum, candidates, score, score[:, 0], margin)
    rows = torch.nonzero(best.evidence < search.doubtful_evidence).squeeze(1)
    if len(rows) and not wide:
        own = spectrum.take(rows)
        flat = whitened_power(flatten(plain[rows]))
        indexed = index_spots(find_spots(flat, brightest=False), search.second_look_candidates)[0]
        candidates, second = _ranked(own, indexed, band[rows], search.ranked_candidates)
        others = _others(best.take(rows), smooth[rows], own, candidates, second, score[rows, 0], search.margin)
        best = best.put(others, rows)
    best = _coarser(best, smooth, spectrum)
    return _finer(best, smooth, spectrum, band)


def _coarser(best: _Best, smooth: Tensor, spectrum: Spectrum) -> _Best:
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
    power = broad_power(spectrum.take(rows), best.order[rows] @ best.basis[rows])[1]
    diffuse = (log_ratio(power).clamp_min(0) * strange[which[rows], rows]).sum(-1)
    rows = rows[diffuse < limits.diffuse_evidence]
    basis = reduce_rows(changes[which[rows]] @ best.basis[rows])
    if len(rows) == 0:
        return best
    return best.put(_attempt(smooth[rows], spectrum.take(rows), basis), rows)


def _finer(best: _Best, smooth: Tensor, spectrum: Spectrum, band: Tensor) -> _Best:
    """The lattices with rows of nodes between the others, where these hold waves: a motif can hide the fundamentals."""
    limits = settings.SETTINGS.sublattices
    changes = _DIVIDED_BASES.to(best.basis.device)
    parts = 1 / torch.linalg.det(changes)
    rows = torch.nonzero(best.evidence > limits.least_evidence).squeeze(1)
    for _ in range(limits.rounds):
        if len(rows) == 0:
            break
        finer, hint = _divided(best.take(rows), spectrum.take(rows), band[rows])
        most, which = hint.max(1)
        hinted = torch.nonzero(most > 0).squeeze(1)
        rows, which = rows[hinted], which[hinted]
        if len(rows) == 0:
            break
        tried = _attempt(smooth[rows], spectrum.take(rows), finer[hinted, which])
        index = tried.order @ tried.basis @ torch.linalg.inv_ex(best.basis[rows])[0]
        new = ((index - index.round()).abs() > limits.measured_index_tolerance).any(-1) & (tried.signal > 0)
        worth = (log_ratio(tried.signal).clamp_min(0) * new).sum(-1)
        won = torch.nonzero(worth > limits.row_evidence * parts[which].log2()).squeeze(1)
        rows = rows[won]
        best = best.put(tried.take(won), rows)
    return best


def _divided(best: _Best, spectrum: Spectrum, band: Tensor) -> tuple[Tensor, Tensor]:
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
    search = settings.SETTINGS.search
    score = evidence(spectrum, candidates, band)
    score = score - search.slender_penalty * _slender(candidates)
    preference = search.spectrum_sparse_preference * _sparser(candidates, score)
    return distinct(candidates, score + preference, count)


def _others(
    best: _Best, smooth: Tensor, spectrum: Spectrum, candidates: Tensor, score: Tensor, first: Tensor, margin: float
) -> _Best:
    """The best lattices once all candidates are refined whose score is at most `margin` below the `first`."""
    search = settings.SETTINGS.search
    near = score > (first - margin)[:, None]
    doubtful = (best.evidence < search.doubtful_evidence)[:, None] & (score > search.least_score)
    rows, ranks = torch.nonzero((near | doubtful) & (score != first[:, None]), as_tuple=True)
    if len(rows) == 0:
        return best
    tried = _attempt(smooth[rows], spectrum.take(rows), candidates[rows, ranks])
    for rank in range(candidates.shape[1]):
        own = torch.nonzero(ranks == rank).squeeze(1)
        best = best.improved(tried.take(own), rows[own])
    return best


def _attempt(smooth: Tensor, spectrum: Spectrum, basis: Tensor) -> _Best:
    """The lattice of each window refined from a basis."""
    order, weight = choose_nodes(spectrum, basis)
    refined = refine(smooth, basis, order, weight)
    signal = refined.amplitude.abs().square() / refined.noise.clamp_min(1e-20)
    signal = torch.where(weight > 0, signal, signal.new_zeros(()))
    seen = log_ratio(signal).clamp_min(0).sum(-1)
    return _Best(refined.basis, refined.covariance, seen, order, signal)


@dataclass(frozen=True)
class _Best:
    """The best refined lattice of each window so far: basis and covariance in bins, evidence by its own nodes."""

    basis: Tensor
    covariance: Tensor
    evidence: Tensor
    order: Tensor
    signal: Tensor

    def take(self, rows: Tensor) -> _Best:
        """Return the lattices of some of the windows."""
        return _Best(self.basis[rows], self.covariance[rows], self.evidence[rows], self.order[rows], self.signal[rows])

    def put(self, other: _Best, rows: Tensor) -> _Best:
        """Return the lattices with those of the windows `rows` replaced by the others."""
        return _Best(
            self.basis.index_copy(0, rows, other.basis),
            self.covariance.index_copy(0, rows, other.covariance),
            self.evidence.index_copy(0, rows, other.evidence),
            self.order.index_copy(0, rows, other.order),
            self.signal.index_copy(0, rows, other.signal),
        )

    def improved(self, other: _Best, rows: Tensor) -> _Best:
        """Return the lattices with those of the windows `rows` replaced for which the others have more evidence."""
        search = settings.SETTINGS.search
        limit = search.refined_sparse_limit
        area, others = (torch.linalg.det(b).abs().clamp_min(1e-3).log() for b in (self.basis[rows], other.basis))
        clear = (torch.maximum(other.evidence, self.evidence[rows]) / search.doubtful_evidence).clamp(0.0, 1.0)
        gain = other.evidence - self.evidence[rows]
        gain = gain + search.sparse_preference * clear * (others - area).clamp(-limit, limit)
        gain = gain - search.slender_penalty * (_slender(other.basis) - _slender(self.basis[rows]))
        won = torch.nonzero(gain > 0).squeeze(1)
        return self.put(other.take(won), rows[won])


def _in_pixels(best: _Best, plain: Tensor, spectrum: Spectrum) -> Measurement:
    """The direct lattices in px, with the factors on their covariance and the evidence that a region shows."""
    size = _size(plain)
    limits, factors = settings.SETTINGS.evidence, settings.SETTINGS.covariance
    reciprocal = best.basis.double() / size
    scale = torch.cat([size, size]).double()
    finest = factors.finest_error**2 * torch.eye(4, dtype=torch.float64, device=scale.device)
    covariance = (best.covariance.double() + finest) / (scale[:, None] * scale)
    cells = torch.linalg.det(best.basis).abs().clamp_min(1e-3)
    covariance = covariance * (factors.factor * (1 + factors.few_cells / cells)).double()[:, None, None]
    shown = _shown(best, spectrum, (limits.visible_cells / cells).clamp_max(1.0)[:, None])
    shown = _beyond_hum(shown, best, plain, spectrum)
    direct, spread = _direct(reciprocal, covariance)
    resolved = direct.square().sum(-1).amin(-1) >= limits.shortest_vector**2
    shown = torch.where(resolved, shown, 0.0)
    wide = _kron(best.order.double())
    node_covariance = wide @ covariance[:, None] @ wide.transpose(-1, -2)
    return Measurement(
        direct,
        spread,
        shown,
        best.order,
        best.order @ reciprocal.float(),
        node_covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().float(),
        best.signal,
    )


def _shown(best: _Best, spectrum: Spectrum, fraction: Tensor) -> Tensor:
    """Evidence of the sharp waves at the nodes, or of broad spots there, in a region of a fraction of the window."""
    limits = settings.SETTINGS.evidence

    def evidence_of(power: Tensor, order: Tensor) -> Tensor:
        return both_ways(log_ratio(power, freedom=limits.freedom).clamp_min(0), order)

    def broad(rows: Tensor, rings: bool) -> Tensor:
        power = broad_power(spectrum.take(rows), best.order[rows] @ best.basis[rows], rings)
        power = (1 + (power - 1) * fraction[rows]) * (best.signal[rows] > 0)
        return limits.broad_worth * torch.stack([evidence_of(part, best.order[rows]) for part in power]).amax(0)

    position = best.order @ best.basis
    beside = node_power(spectrum, position)[0] / streak_power(spectrum, position).clamp_min(1e-12)
    signal = torch.minimum(best.signal, settings.SETTINGS.nodes.streak_factor * beside)
    sharp = evidence_of(signal * fraction, best.order)
    low, high = limits.ring_range
    rows = torch.nonzero((sharp < high) & (sharp > low)).squeeze(1)
    if len(rows):
        own, position = spectrum.take(rows), best.order[rows] @ best.basis[rows]
        beyond = node_power(own, position)[0] / ring_power(own, position)[0].clamp_min(1e-12)
        least = torch.minimum(signal[rows], limits.ring_factor * beyond) * fraction[rows]
        sharp = sharp.index_copy(0, rows, evidence_of(least, best.order[rows]))
    rows = torch.nonzero(sharp < limits.certain_evidence).squeeze(1)
    other = broad(rows, rings=False)
    rows = rows[(other > sharp[rows]) & (other > limits.broad_worth * low)]
    if len(rows):
        sharp = sharp.index_copy(0, rows, torch.maximum(sharp[rows], broad(rows, rings=True)))
    return sharp


def _beyond_hum(shown: Tensor, best: _Best, plain: Tensor, spectrum: Spectrum) -> Tensor:
    """The evidence without that of lattices which one wave of any phase in each row or column explains as well."""
    low, high = settings.SETTINGS.evidence.hum_range
    rows = torch.nonzero((shown > low) & (shown < high)).squeeze(1)
    if len(rows) == 0:
        return shown
    position = best.order[rows] @ best.basis[rows]
    more = beyond_hum(plain[rows], spectrum.take(rows), position, best.signal[rows] > 0)
    return shown.index_copy(0, rows, shown[rows] * more)


def _sparser(candidates: Tensor, score: Tensor) -> Tensor:
    """Log of the area of each cell over that of the best, within `sparse_range`."""
    area = torch.linalg.det(candidates).abs().clamp_min(1e-3).log()
    relative: Tensor = area - area.gather(1, score.argmax(1, keepdim=True))
    return relative.clamp(*settings.SETTINGS.search.sparse_range)


def _slender(basis: Tensor) -> Tensor:
    """Log of the ratio of the sides of a cell over the largest that is common, 0 below it."""
    ratio = settings.SETTINGS.search.common_ratio
    short, long = basis.square().sum(-1).sqrt().unbind(-1)
    slender: Tensor = (long / short.clamp_min(1e-3) / ratio).log()
    return slender.clamp_min(0)


def choose_nodes(spectrum: Spectrum, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the brightest nodes and the probability that each holds a wave (0 if it hardly does)."""
    search = settings.SETTINGS.search
    orders = node_orders(settings.SETTINGS.nodes.highest_index, basis.device)
    power, seen = node_power(spectrum, orders @ basis)
    ratio = torch.where(seen, log_ratio(power), power.new_full((), -9.0))  # less than that of any node that is seen
    top = ratio.topk(search.refined_nodes, dim=1)
    filled = torch.sigmoid(top.values - search.even_node_evidence)
    return orders[top.indices], torch.where(filled > search.least_node_probability, filled, filled.new_zeros(()))


def _band(spots: Spots) -> Tensor:
    """Distance from the centre of the outermost clear spot, in bins."""
    search = settings.SETTINGS.search
    radius = spots.position.square().sum(-1).sqrt()
    clear = spots.weight > search.clear_spot_evidence
    return torch.where(clear, radius, radius.new_zeros(())).amax(1).clamp_min(search.least_band)


def _direct(reciprocal: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Direct basis and its covariance: dB = −B dGᵀ B."""
    ridge = 1e-9 * torch.eye(2, dtype=reciprocal.dtype, device=reciprocal.device)
    basis = torch.linalg.inv_ex(reciprocal + ridge)[0].transpose(-1, -2)
    slope = -torch.einsum("nia,nbj->nijba", basis, basis).reshape(-1, 4, 4)
    return basis, slope @ covariance @ slope.transpose(-1, -2)


def _kron(order: Tensor) -> Tensor:
    """Matrix from the flattened basis to each node, (n, nodes, 2, 4)."""
    return kronecker_lift(order[..., None, :])

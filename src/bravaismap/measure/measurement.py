"""Measurement: an image window in, its primitive cell with covariance and the evidence for a lattice out; no training.

spots (plain and flattened spectrum) → candidate bases → the one with the most evidence at all its nodes → maximum
likelihood refinement with covariance.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.lattice.sublattices import DIVIDED, DOUBLED, kronecker_lift
from bravaismap.measure.fringes import beyond_hum
from bravaismap.measure.indexing import distinct, index_spots, reduce_rows
from bravaismap.measure.nodes import (
    STREAK_PEAK,
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

__all__ = ["SMALLEST_SIDE", "Measurement", "measure"]

_NODES = 12
_HIGHEST = 6
#: Prior preference for the sparser reciprocal lattice: log odds per unit of ln(area of its cell).
_SPARSE = 14.0
#: Prior against slender cells (one row of spots and a chance one): log odds per unit of the log of the ratio of sides.
_AGAINST_SLENDER = 20.0
_COMMON_RATIO = 3.0
#: Parts of a window over which what varies is background for the refinement: more would touch the waves of large cells.
_SLOW = 11
#: Candidates whose evidence is within this of the best are refined too.
_CLOSE = 10.0
#: Evidence below which all candidates are refined, those of the flattened window too.
_DOUBTFUL = 60.0
_TRIED = 2
#: The same for large images.
_CLOSE_WIDELY = 150.0
_TRIED_WIDELY = 9
#: Pixels above which an image is searched more widely: it is one of few.
_LARGE = 40_000
#: A lattice counts if a region of this many cells would show it, so that a faint periodic support, or a carrier of
#: interference, that only thousands of cells reveal does not speak for an image of something else.
_VISIBLE = 400.0
_TILE_FREEDOM = 30.0
#: What the evidence of spots spread over several bins is worth: a diffuse ring is uneven too.
_BROAD_WORTH = 0.45
#: A wave is worth no more than its peak over the power in other directions at the same distance, times this.
_RING_PEAK = 3.5
#: Factor on the covariance, and the number of cells below which few atoms make it too small; fitted on simulation.
_INFLATE = 1.1
_FEW = 3.0
#: Shortest primitive vector that a grid of pixels can show, in px.
_SHORTEST = 2.0
#: Smallest σ of a component of a reciprocal vector, in bins: no scan is even to 1/10 000 of a period.
_FINEST = 1e-4
#: Side of the smallest window that can be measured, in px.
SMALLEST_SIDE = 32
#: Changes of the reciprocal basis that leave out every second row of nodes, and that add one or two between them.
_DOUBLE, _SPLIT = (torch.from_numpy(changes).float() for changes in (DOUBLED, DIVIDED))
#: Evidence that every second row of nodes must have of its own; and, by the spectrum alone, to be looked at.
_ROW_WORTH = 9.0
_HINT = 4.0
#: Evidence below which there is too little of a lattice for this.
_TELLING = 20.0
#: Evidence above which nothing more is asked.
_CERTAIN = 150.0
#: Nearest that nodes may lie, in bins.
_APART = 2.0


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
        Whether to try many candidates for each, which takes twice as long; where not given, large images are.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    if images.ndim != 3 or len(images) == 0 or min(images.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(
            f"windows of shape {tuple(images.shape)} were given; expected (n, y, x), n ≥ 1, of 32 px or more"
        )
    plain = standardize(leveled(standardize(images)))
    spectrum = whitened_power(plain)
    wide = images.shape[-2] * images.shape[-1] > _LARGE if widely is None else widely
    best = _search(plain, spectrum, wide)
    size = torch.tensor(images.shape[-2:], device=images.device, dtype=torch.float32)
    return _in_pixels(best, plain, spectrum, size)


def _search(plain: Tensor, spectrum: Spectrum, wide: bool) -> _Best:
    """The refined lattice of the most evidence; `wide` tries everything, else only where the first is doubtful."""
    smooth = plain - background(plain, _SLOW)
    spots = find_spots(spectrum, brightest=False)
    band = _band(spots)
    first = index_spots(spots, 6)[0]
    if wide:
        flat = whitened_power(flatten(plain))
        more = [find_spots(spectrum), find_spots(flat, brightest=False), find_spots(flat)]
        first = torch.cat([first, *(index_spots(s, 6)[0] for s in more)], dim=1)
    candidates, score = _ranked(spectrum, first, band, _TRIED_WIDELY if wide else _TRIED)
    best = _attempt(smooth, spectrum, candidates[:, 0])
    best = _others(best, smooth, spectrum, candidates, score, score[:, 0], _CLOSE_WIDELY if wide else _CLOSE)
    rows = torch.nonzero(best.evidence < _DOUBTFUL).squeeze(1)
    if len(rows) and not wide:
        some = spectrum.take(rows)
        flat = whitened_power(flatten(plain[rows]))
        again, second = _ranked(some, index_spots(find_spots(flat, brightest=False), 4)[0], band[rows], _TRIED)
        others = _others(best.take(rows), smooth[rows], some, again, second, score[rows, 0], _CLOSE)
        best = best.put(others, rows)
    best = _coarser(best, smooth, spectrum)
    return _finer(best, smooth, spectrum, band)


def _coarser(best: _Best, smooth: Tensor, spectrum: Spectrum) -> _Best:
    """Do without every second row of nodes where these hold next to nothing."""
    changes = _DOUBLE.to(best.basis.device)
    strange = torch.stack([_strange(best.order, change) for change in changes])
    gain = torch.where(best.signal > 0, log_ratio(best.signal).clamp_min(0), 0.0)
    least, which = (gain * strange).sum(-1).min(0)
    rows = torch.nonzero((least < _ROW_WORTH) & (best.evidence > _TELLING)).squeeze(1)
    if len(rows) == 0:
        return best
    # the nodes of a superlattice in domains are no waves through the window, but stand out in the spectrum
    power = broad_power(spectrum.take(rows), best.order[rows] @ best.basis[rows])[1]
    diffuse = (log_ratio(power).clamp_min(0) * strange[which[rows], rows]).sum(-1)
    rows = rows[diffuse < 2 * _ROW_WORTH]
    basis = reduce_rows(changes[which[rows]] @ best.basis[rows])
    if len(rows) == 0:
        return best
    return best.put(_attempt(smooth[rows], spectrum.take(rows), basis), rows)


def _finer(best: _Best, smooth: Tensor, spectrum: Spectrum, band: Tensor) -> _Best:
    """Add rows of nodes between the others where these hold waves: a motif can hide the fundamentals."""
    orders, member = _between(best.basis.device)
    changes = _SPLIT.to(best.basis.device)
    parts = 1 / torch.linalg.det(changes)
    rows = torch.nonzero(best.evidence > _TELLING).squeeze(1)
    for _ in range(2):
        if len(rows) == 0:
            break
        now, seen_in = best.take(rows), spectrum.take(rows)
        position = orders @ now.basis
        power, seen = node_power(seen_in, position)
        seen = seen & (position.square().sum(-1) < (1.02 * band[rows, None]).square())
        gain = torch.where(seen, log_ratio(power).clamp_min(0), 0.0)
        finer = reduce_rows(changes @ now.basis[:, None])
        apart = finer[..., 0, :].square().sum(-1).sqrt()
        shown = (gain[:, None] * member).topk(4, dim=-1).values.sum(-1)
        hint = torch.where(apart > _APART, shown - _HINT * (2 * parts - 3), -1.0)
        hint[:, parts == 2] += 100 * (hint[:, parts == 2] > 0)  # thirds only where halves show nothing
        most, which = hint.max(1)
        some = torch.nonzero(most > 0).squeeze(1)
        rows, which = rows[some], which[some]
        if len(rows) == 0:
            break
        tried = _attempt(smooth[rows], spectrum.take(rows), finer[some, which])
        index = tried.order @ tried.basis @ torch.linalg.inv_ex(best.basis[rows])[0]
        new = ((index - index.round()).abs() > 0.15).any(-1) & (tried.signal > 0)
        worth = (log_ratio(tried.signal).clamp_min(0) * new).sum(-1)
        won = torch.nonzero(worth > _ROW_WORTH * parts[which].log2()).squeeze(1)
        rows = rows[won]
        best = best.put(tried.take(won), rows)
    return best


def _strange(order: Tensor, change: Tensor) -> Tensor:
    """Which indices do not belong to the lattice of the changed basis."""
    index: Tensor = order @ torch.linalg.inv(change)
    strange: Tensor = ((index - index.round()).abs() > 0.1).any(-1)
    return strange


@functools.cache
def _between(device: torch.device) -> tuple[Tensor, Tensor]:
    """Half and third indices between those of a lattice, and which of `_SPLIT` has each of them, (changes, nodes)."""
    whole = node_orders(_HIGHEST, device)
    changes = _SPLIT.to(device)
    found = torch.cat([whole @ change for change in changes])
    found = torch.unique((found * 6).round(), dim=0) / 6
    found = found[((found - found.round()).abs() > 0.1).any(-1) & (found.abs().amax(-1) <= 0.5 * _HIGHEST + 1)]
    return found, ~torch.stack([_strange(found, change) for change in changes])


def _ranked(spectrum: Spectrum, candidates: Tensor, band: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Different candidates, best first, by their evidence at all nodes and the preference for common cells."""
    score = evidence(spectrum, candidates, band, _HIGHEST)
    score = score - _AGAINST_SLENDER * _slender(candidates)
    return distinct(candidates, score + 8.0 * _sparser(candidates, score), count)


def _others(
    best: _Best, smooth: Tensor, spectrum: Spectrum, candidates: Tensor, score: Tensor, first: Tensor, close: float
) -> _Best:
    """The best after all those candidates were refined too whose score is at most `close` below the `first`."""
    near = score > (first - close)[:, None]
    doubtful = (best.evidence < _DOUBTFUL)[:, None] & (score > -500)
    rows, ranks = torch.nonzero((near | doubtful) & (score != first[:, None]), as_tuple=True)
    if len(rows) == 0:
        return best
    tried = _attempt(smooth[rows], spectrum.take(rows), candidates[rows, ranks])
    for rank in range(candidates.shape[1]):
        own = torch.nonzero(ranks == rank).squeeze(1)
        best = best.improved(tried.take(own), rows[own])
    return best


def _attempt(flat: Tensor, spectrum: Spectrum, basis: Tensor) -> _Best:
    order, weight = choose_nodes(spectrum, basis)
    refined = refine(flat, basis, order, weight)
    signal = refined.amplitude.abs().square() / refined.noise.clamp_min(1e-20)
    signal = torch.where(weight > 0, signal, signal.new_zeros(()))
    seen = log_ratio(signal).clamp_min(0).sum(-1)
    return _Best(refined.basis, refined.covariance, seen, order, signal)


@dataclass(frozen=True)
class _Best:
    basis: Tensor
    covariance: Tensor
    evidence: Tensor
    order: Tensor
    signal: Tensor

    def take(self, rows: Tensor) -> _Best:
        """Return some rows."""
        return _Best(*(getattr(self, f.name)[rows] for f in fields(self)))

    def put(self, other: _Best, rows: Tensor) -> _Best:
        """Replace the rows by all those of the other."""
        return _Best(*(getattr(self, f.name).index_copy(0, rows, getattr(other, f.name)) for f in fields(self)))

    def improved(self, other: _Best, rows: Tensor) -> _Best:
        """Replace those of the `rows` for which the other has more evidence."""
        area, others = (torch.linalg.det(b).abs().clamp_min(1e-3).log() for b in (self.basis[rows], other.basis))
        clear = (torch.maximum(other.evidence, self.evidence[rows]) / _DOUBTFUL).clamp(0.0, 1.0)
        gain = other.evidence - self.evidence[rows] + _SPARSE * clear * (others - area).clamp(-1.0, 1.0)
        gain = gain - _AGAINST_SLENDER * (_slender(other.basis) - _slender(self.basis[rows]))
        won = torch.nonzero(gain > 0).squeeze(1)
        return self.put(other.take(won), rows[won])


def _in_pixels(best: _Best, plain: Tensor, spectrum: Spectrum, size: Tensor) -> Measurement:
    reciprocal = best.basis.double() / size
    scale = torch.cat([size, size]).double()
    finest = _FINEST**2 * torch.eye(4, dtype=torch.float64, device=scale.device)
    covariance = (best.covariance.double() + finest) / (scale[:, None] * scale)
    cells = torch.linalg.det(best.basis).abs().clamp_min(1e-3)
    covariance = covariance * (_INFLATE * (1 + _FEW / cells)).double()[:, None, None]
    shown = _shown(best, spectrum, (_VISIBLE / cells).clamp_max(1.0)[:, None])
    shown = _beyond_hum(shown, best, plain, spectrum)
    direct, spread = _direct(reciprocal, covariance)
    resolved = direct.square().sum(-1).amin(-1) >= _SHORTEST**2
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

    def evidence_of(power: Tensor, order: Tensor) -> Tensor:
        return both_ways(log_ratio(power, freedom=_TILE_FREEDOM).clamp_min(0), order)

    def broad(rows: Tensor, rings: bool) -> Tensor:
        power = broad_power(spectrum.take(rows), best.order[rows] @ best.basis[rows], rings)
        power = (1 + (power - 1) * fraction[rows]) * (best.signal[rows] > 0)
        return _BROAD_WORTH * torch.stack([evidence_of(part, best.order[rows]) for part in power]).amax(0)

    position = best.order @ best.basis
    beside = node_power(spectrum, position)[0] / streak_power(spectrum, position).clamp_min(1e-12)
    signal = torch.minimum(best.signal, STREAK_PEAK * beside)
    sharp = evidence_of(signal * fraction, best.order)
    rows = torch.nonzero((sharp < _DOUBTFUL) & (sharp > _TELLING)).squeeze(1)
    if len(rows):
        some, position = spectrum.take(rows), best.order[rows] @ best.basis[rows]
        beyond = node_power(some, position)[0] / ring_power(some, position)[0].clamp_min(1e-12)
        least = torch.minimum(signal[rows], _RING_PEAK * beyond) * fraction[rows]
        sharp = sharp.index_copy(0, rows, evidence_of(least, best.order[rows]))
    rows = torch.nonzero(sharp < _CERTAIN).squeeze(1)
    other = broad(rows, rings=False)
    rows = rows[(other > sharp[rows]) & (other > _BROAD_WORTH * _TELLING)]
    if len(rows):
        sharp = sharp.index_copy(0, rows, torch.maximum(sharp[rows], broad(rows, rings=True)))
    return sharp


def _beyond_hum(shown: Tensor, best: _Best, plain: Tensor, spectrum: Spectrum) -> Tensor:
    """The evidence without that of lattices which one wave of any phase in each row or column explains as well."""
    rows = torch.nonzero((shown > _TELLING) & (shown < _CERTAIN)).squeeze(1)
    if len(rows) == 0:
        return shown
    position = best.order[rows] @ best.basis[rows]
    more = beyond_hum(plain[rows], spectrum.take(rows), position, best.signal[rows] > 0)
    return shown.index_copy(0, rows, shown[rows] * more)


def _sparser(candidates: Tensor, score: Tensor) -> Tensor:
    """Log of the area of each cell over that of the best, at most 1."""
    area = torch.linalg.det(candidates).abs().clamp_min(1e-3).log()
    relative: Tensor = area - area.gather(1, score.argmax(1, keepdim=True))
    return relative.clamp(-9.0, 1.0)


def _slender(basis: Tensor) -> Tensor:
    """Log of the ratio of the sides of a cell over the largest that is common, 0 below it."""
    short, long = basis.square().sum(-1).sqrt().unbind(-1)
    slender: Tensor = (long / short.clamp_min(1e-3) / _COMMON_RATIO).log()
    return slender.clamp_min(0)


def choose_nodes(spectrum: Spectrum, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the brightest nodes and the probability that each holds a wave (0 if it hardly does)."""
    orders = node_orders(_HIGHEST, basis.device)
    power, seen = node_power(spectrum, orders @ basis)
    ratio = torch.where(seen, log_ratio(power), power.new_full((), -9.0))
    top = ratio.topk(_NODES, dim=1)
    filled = torch.sigmoid(top.values - 1.0)
    return orders[top.indices], torch.where(filled > 0.3, filled, filled.new_zeros(()))


def _band(spots: Spots) -> Tensor:
    """Distance from the centre of the outermost clear spot, in bins."""
    radius = spots.position.square().sum(-1).sqrt()
    return torch.where(spots.weight > 6, radius, radius.new_zeros(())).amax(1).clamp_min(6.0)


def _direct(reciprocal: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Direct basis and its covariance: dB = −B dGᵀ B."""
    ridge = 1e-9 * torch.eye(2, dtype=reciprocal.dtype, device=reciprocal.device)
    basis = torch.linalg.inv_ex(reciprocal + ridge)[0].transpose(-1, -2)
    slope = -torch.einsum("nia,nbj->nijba", basis, basis).reshape(-1, 4, 4)
    return basis, slope @ covariance @ slope.transpose(-1, -2)


def _kron(order: Tensor) -> Tensor:
    """Matrix from the flattened basis to each node, (n, nodes, 2, 4)."""
    return kronecker_lift(order[..., None, :])

"""Worth: the evidence that a refined lattice gives, of waves that stand out and repeat in two directions."""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.explanation import Explanation, View
from bravaismap.measure.fringes import beyond_bent_fringes, beyond_hum
from bravaismap.measure.gratings import two_gratings
from bravaismap.measure.nodes import broad_power, log_ratio, node_power, ring_power, streak_power
from bravaismap.measure.periods import both_ways
from bravaismap.measure.spots import find_spots, whitened_power

__all__ = ["worth"]


def worth(best: Explanation, view: View, least: Tensor | None = None) -> Tensor:
    """Return the evidence of a lattice that a region of each window shows, (n,).

    Parameters
    ----------
    best : Explanation
    view : View
        In which it was found.
    least : tensor, shape (n,), optional
        Evidence below which it does not matter: there the lattice is compared with neither hum nor gratings.
    """
    shown = _shown(best, view)
    low, high = settings.SETTINGS.evidence.hum_range
    doubtful = shown > low if view.groups > 1 else (shown > low) & (shown < high)
    doubtful = doubtful if least is None else doubtful & (shown > least)
    shown = _beyond_hum(shown, torch.nonzero(doubtful).squeeze(1), best, view)
    close = torch.linalg.vector_norm(best.basis * view.scale, dim=-1).amin(1) < settings.SETTINGS.fringes.bent_distance
    shown = _beyond_bent_fringes(shown, torch.nonzero(close & (shown > low)).squeeze(1), best, view)
    few = (shown > low) & (_directions(best) <= settings.SETTINGS.gratings.directions)
    few = few if least is None else few & (shown > least)
    return _beyond_gratings(shown, torch.nonzero(few).squeeze(1), view)


def _shown(best: Explanation, view: View) -> Tensor:
    """Evidence of the sharp waves at the nodes, or of broad spots there, in a region of a fraction of the window."""
    limits, spectrum = settings.SETTINGS.evidence, view.spectrum
    cells = torch.linalg.det(best.basis * view.scale).abs().clamp_min(1e-3)
    fraction = (limits.visible_cells / cells).clamp_max(1.0)[:, None]

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
    if view.groups > 1:  # the spots of tiles are broad themselves
        return sharp
    rows = torch.nonzero(sharp < limits.certain_evidence).squeeze(1)
    other = broad(rows, rings=False)
    rows = rows[(other > sharp[rows]) & (other > limits.broad_worth * low)]
    if len(rows):
        sharp = sharp.index_copy(0, rows, torch.maximum(sharp[rows], broad(rows, rings=True)))
    return sharp


def _beyond_hum(shown: Tensor, rows: Tensor, best: Explanation, view: View) -> Tensor:
    """The evidence without that of lattices which one wave of any phase in each row or column explains as well."""
    if len(rows) == 0:
        return shown
    position = best.order[rows] @ best.basis[rows]
    more = beyond_hum(view.plain[rows], view.mean.take(rows), position, best.signal[rows] > 0, view.groups)
    return shown.index_copy(0, rows, shown[rows] * more)


def _beyond_bent_fringes(shown: Tensor, rows: Tensor, best: Explanation, view: View) -> Tensor:
    """The evidence without that of lattices of close nodes that one bent wave explains as well."""
    if len(rows) == 0:
        return shown
    position = best.order[rows] @ best.basis[rows]
    own = view.smooth[rows]
    more = beyond_bent_fringes(own, view.mean.take(rows), position, best.signal[rows] > 0, view.groups)
    return shown.index_copy(0, rows, shown[rows] * more)


def _directions(best: Explanation) -> Tensor:
    """Number of directions of the nodes that clearly hold a wave, (n,)."""
    clear = log_ratio(best.signal) > settings.SETTINGS.gratings.node_evidence
    h, k = best.order.unbind(-1)
    collinear = (h[:, :, None] * k[:, None] - k[:, :, None] * h[:, None]).abs() < 0.5
    earlier = (collinear & clear[:, None]).tril(-1).any(-1)
    return (clear & ~earlier).sum(-1)


def _beyond_gratings(shown: Tensor, rows: Tensor, view: View) -> Tensor:
    """The evidence without that of windows which two gratings explain."""
    if len(rows) == 0:
        return shown
    spectrum = view.spectrum.take(rows) if view.groups == 1 else whitened_power(view.plain[rows])
    size = torch.tensor(view.plain.shape[1:], dtype=torch.float32, device=shown.device)
    two = two_gratings(find_spots(spectrum, brightest=False), spectrum, size)
    return shown.index_copy(0, rows, torch.where(two, 0.0, shown[rows]))

"""Explanation: the lattice that explains a window, refined from a basis, as one wave or as tiles with own phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.compute.device import PROCESSOR
from bravaismap.measure import settings
from bravaismap.measure.nodes import log_ratio, nearest_bins, node_orders
from bravaismap.measure.refinement import refine
from bravaismap.measure.spots import Spectrum, whitened_power, without_background
from bravaismap.measure.tapered_tiles import TaperedTiles, tapered_tiles
from bravaismap.measure.tiles import as_single, independent_tiles, tile_spectrum

__all__ = [
    "Explanation",
    "TileSpectra",
    "View",
    "choose_nodes",
    "explained",
    "slenderness",
    "tile_spectra",
    "view_of_tiles",
    "view_of_windows",
]

#: Share of the nodes that a window is refined on at most, below which a processor refines it together with others of
#: few nodes, and how many of these are worth that.
_FEW_NODES: Final = 0.6
_WORTH_APART: Final = 32


@dataclass(frozen=True)
class View:
    """How windows are looked at: whole, or as tiles each of which has phases of its own.

    Attributes
    ----------
    plain, smooth : tensor, shape (n, y, x)
        The standardised windows, and without their slow background.
    tapered : TaperedTiles
        The smooth windows as the refinement takes them.
    mean : Spectrum
        Mean power over the tiles of each window.
    spectrum : Spectrum
        The same as the power of a single spectrum that noise exceeds as seldom.
    groups : int
        Tiles along each side; 1 for whole windows.
    scale : tensor, shape (2,)
        Bins of a window in a bin of the spectrum along (y, x).
    """

    plain: Tensor
    smooth: Tensor
    tapered: TaperedTiles
    mean: Spectrum
    spectrum: Spectrum
    groups: int
    scale: Tensor

    def take(self, rows: Tensor) -> View:
        """Return the view of some of the windows."""
        mean = self.mean.take(rows)
        spectrum = mean if self.spectrum is self.mean else self.spectrum.take(rows)
        return View(
            self.plain[rows], self.smooth[rows], self.tapered.take(rows), mean, spectrum, self.groups, self.scale
        )

    def showing(self, other: View, rows: Tensor) -> View:
        """Return the view with the windows `rows` as another shows them, their spectra as they were."""
        return replace(
            self,
            plain=self.plain.index_copy(0, rows, other.plain),
            smooth=self.smooth.index_copy(0, rows, other.smooth),
            tapered=self.tapered.put(other.tapered, rows),
        )


def view_of_windows(plain: Tensor, spectrum: Spectrum | None = None) -> View:
    """Return the view of whole windows, each as one wave.

    Parameters
    ----------
    plain : tensor, shape (n, y, x)
        Standardised, without offsets of lines.
    spectrum : Spectrum, optional
        Of these windows, if it is there already.
    """
    smooth = without_background(plain, settings.SETTINGS.search.background_cells)
    spectrum = whitened_power(plain) if spectrum is None else spectrum
    return View(plain, smooth, tapered_tiles(smooth), spectrum, spectrum, 1, plain.new_ones(2))


@dataclass(frozen=True)
class TileSpectra:
    """What `View` has of windows as tiles beside the windows: `mean` and `spectrum`, see there."""

    mean: Spectrum
    spectrum: Spectrum

    def take(self, rows: Tensor) -> TileSpectra:
        """Return the spectra of some of the windows."""
        return TileSpectra(self.mean.take(rows), self.spectrum.take(rows))


def tile_spectra(smooth: Tensor, groups: int) -> TileSpectra:
    """Return the spectra of windows (n, y, x) without slow background as tiles, `groups` side by side on each axis."""
    mean, count = tile_spectrum(smooth, groups), independent_tiles(smooth, groups)
    return TileSpectra(mean, Spectrum(as_single(mean.power, count), mean.level))


def view_of_tiles(windows: View, groups: int, spectra: TileSpectra | None = None) -> View:
    """Return the view of whole windows as tiles, of which there are `groups` side by side along each axis.

    Their spectra may be given if they are there already.
    """
    spectra = tile_spectra(windows.smooth, groups) if spectra is None else spectra
    sides = windows.smooth.shape[1:]
    scale = torch.tensor([side / (side // groups) for side in sides], device=windows.smooth.device)
    return replace(windows, mean=spectra.mean, spectrum=spectra.spectrum, groups=groups, scale=scale)


@dataclass(frozen=True)
class Explanation:
    """The best refined lattice of each window so far.

    Attributes
    ----------
    basis : tensor, shape (n, 2, 2)
        Reciprocal vectors g₁, g₂ in bins of the view.
    covariance : tensor, shape (n, 4, 4)
        Of the flattened basis.
    evidence : tensor, shape (n,)
        Log likelihood ratio of the waves at its nodes against noise.
    order : tensor, shape (n, nodes, 2)
        Indices of these nodes.
    signal : tensor, shape (n, nodes)
        Power of the wave at each node over that of the noise there, as of a single spectrum.
    """

    basis: Tensor
    covariance: Tensor
    evidence: Tensor
    order: Tensor
    signal: Tensor

    def take(self, rows: Tensor) -> Explanation:
        """Return the lattices of some of the windows."""
        return Explanation(
            self.basis[rows], self.covariance[rows], self.evidence[rows], self.order[rows], self.signal[rows]
        )

    @classmethod
    def joined(cls, pieces: Sequence[Explanation]) -> Explanation:
        """Return the lattices of all pieces, in their order."""
        return cls(*(torch.cat([getattr(piece, part.name) for piece in pieces]) for part in fields(cls)))

    def put(self, other: Explanation, rows: Tensor) -> Explanation:
        """Return the lattices with those of the windows `rows` replaced by the others."""
        return Explanation(
            self.basis.index_copy(0, rows, other.basis),
            self.covariance.index_copy(0, rows, other.covariance),
            self.evidence.index_copy(0, rows, other.evidence),
            self.order.index_copy(0, rows, other.order),
            self.signal.index_copy(0, rows, other.signal),
        )

    def improved(self, others: Explanation, rows: Tensor, ranks: Tensor, count: int) -> Explanation:
        """Return the lattices with those replaced for which others, tried one rank after the other, have more evidence.

        The others are those of the windows `rows`, no two of one rank for a window.
        """
        own, tried = _merits(self), _merits(others)
        place = torch.zeros(len(own), count, dtype=torch.long, device=rows.device)
        place[rows, ranks] = torch.arange(1, len(rows) + 1, device=rows.device)
        won = torch.zeros_like(place[:, 0])
        nothing = torch.tensor([[-torch.inf, 0.0, 0.0]], device=rows.device)
        offered = torch.cat([nothing, tried])[place]
        for rank in range(count):
            other = offered[:, rank]
            better = _gain(own, other) > 0
            own = torch.where(better[:, None], other, own)
            won = torch.where(better, place[:, rank], won)
        changed = torch.nonzero(won).squeeze(1)
        return self.put(others.take(won[changed] - 1), changed)

    def scaled(self, scale: Tensor) -> Explanation:
        """Return the lattices in bins of which `scale`, (2,), are in one of these along (y, x)."""
        twice = torch.cat([scale, scale])
        return Explanation(
            self.basis * scale,
            self.covariance * twice[:, None] * twice,
            self.evidence,
            self.order,
            self.signal,
        )


def explained(view: View, basis: Tensor, rows: Tensor | None = None) -> Explanation:
    """Return the lattice of each window refined from a basis, (n, 2, 2), in bins of the view; of `rows` if given."""
    order, weight = choose_nodes(view.spectrum, basis, rows)
    if len(weight) < _WORTH_APART or not _gains_apart(weight.device):
        return _refined(view, rows, basis, order, weight)
    nodes = (weight > 0).sum(1)
    few = nodes <= _FEW_NODES * weight.shape[1]
    parts = [part for part in (torch.nonzero(few).squeeze(1), torch.nonzero(~few).squeeze(1)) if len(part)]
    if int(few.sum()) < _WORTH_APART:
        return _refined(view, rows, basis, order, weight)
    pieces = []
    for part in parts:
        most = max(int(nodes[part].max()), settings.SETTINGS.refinement.fewest_nodes)
        of_view = part if rows is None else rows[part]
        pieces.append(_refined(view, of_view, basis[part], order[part], weight[part], most))
    return Explanation.joined(pieces).take(torch.cat(parts).argsort())


def _gains_apart(device: torch.device) -> bool:
    """Whether a device takes the less time the fewer nodes there are."""
    return device.type == PROCESSOR


def _refined(
    view: View, rows: Tensor | None, basis: Tensor, order: Tensor, weight: Tensor, nodes: int | None = None
) -> Explanation:
    """The lattices of `rows` of a view, of all if not given, refined from bases on the first so many of their nodes."""
    windows = view.tapered if rows is None else view.tapered.take(rows)
    refined = refine(windows, basis * view.scale, order[:, :nodes], weight[:, :nodes], groups=view.groups)
    signal = refined.signal if view.groups == 1 else as_single(refined.signal, view.groups**2)
    signal = torch.where(weight[:, :nodes] > 0, signal, 0.0)
    seen = log_ratio(signal).clamp_min(0).sum(-1)
    if nodes is not None:
        signal = F.pad(signal, (0, order.shape[1] - nodes))
    return Explanation(refined.basis, refined.covariance, seen, order, signal).scaled(1 / view.scale)


def choose_nodes(spectrum: Spectrum, basis: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the indices of the brightest nodes and the probability that each holds a wave (0 if it hardly does).

    The bases are those of all windows of the spectrum, or of those in `rows`.
    """
    search = settings.SETTINGS.search
    orders = node_orders(settings.SETTINGS.nodes.highest_index, basis.device)
    at = nearest_bins(spectrum, orders @ basis)
    ratio = torch.where(at.seen, log_ratio(at.power(spectrum, rows)), -9.0)  # less than that of any node that is seen
    top = ratio.topk(search.refined_nodes, dim=1)
    filled = torch.sigmoid(top.values - search.even_node_evidence)
    return orders[top.indices], torch.where(filled > search.least_node_probability, filled, 0.0)


def _merits(lattices: Explanation) -> Tensor:
    """The evidence, the log of the area and the slenderness of each lattice, (n, 3)."""
    area = torch.linalg.det(lattices.basis).abs().clamp_min(1e-3).log()
    return torch.stack([lattices.evidence, area, slenderness(lattices.basis)], dim=-1)


def _gain(own: Tensor, other: Tensor) -> Tensor:
    """Evidence of other lattices over that of these, with the preference for sparse ones and for common ones, (n,)."""
    search = settings.SETTINGS.search
    limit = search.refined_sparse_limit
    gain, sparser, more_slender = (other - own).unbind(-1)
    clear = (torch.maximum(other[:, 0], own[:, 0]) / search.doubtful_evidence).clamp(0.0, 1.0)
    gain = gain + search.sparse_preference * clear * sparser.clamp(-limit, limit)
    return gain - search.slender_penalty * more_slender


def slenderness(basis: Tensor) -> Tensor:
    """Return the log of the ratio of the sides of a cell over the largest that is common, 0 below it."""
    ratio = settings.SETTINGS.search.common_ratio
    short, long = basis.square().sum(-1).sqrt().unbind(-1)
    slender: Tensor = (long / short.clamp_min(1e-3) / ratio).log()
    return slender.clamp_min(0)

"""Explanation: the lattice that explains a window, refined from a basis, as one wave or as tiles with own phases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.nodes import log_ratio, node_orders, node_power
from bravaismap.measure.refinement import refine
from bravaismap.measure.spots import Spectrum, background, whitened_power
from bravaismap.measure.tiles import as_single, independent_tiles, tile_spectrum

__all__ = ["Explanation", "View", "choose_nodes", "explained", "slenderness", "view_of_tiles", "view_of_windows"]


@dataclass(frozen=True)
class View:
    """How windows are looked at: whole, or as tiles each of which has phases of its own.

    Attributes
    ----------
    plain, smooth : tensor, shape (n, y, x)
        The standardised windows, and without their slow background.
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
    mean: Spectrum
    spectrum: Spectrum
    groups: int
    scale: Tensor

    def take(self, rows: Tensor) -> View:
        """Return the view of some of the windows."""
        mean = self.mean.take(rows)
        spectrum = mean if self.spectrum is self.mean else self.spectrum.take(rows)
        return View(self.plain[rows], self.smooth[rows], mean, spectrum, self.groups, self.scale)


def view_of_windows(plain: Tensor, spectrum: Spectrum | None = None) -> View:
    """Return the view of whole windows, each as one wave.

    Parameters
    ----------
    plain : tensor, shape (n, y, x)
        Standardised, without offsets of lines.
    spectrum : Spectrum, optional
        Of these windows, if it is there already.
    """
    smooth = plain - background(plain, settings.SETTINGS.search.background_cells)
    spectrum = whitened_power(plain) if spectrum is None else spectrum
    return View(plain, smooth, spectrum, spectrum, 1, plain.new_ones(2))


def view_of_tiles(plain: Tensor, smooth: Tensor, groups: int) -> View:
    """Return the view of windows as tiles, of which there are `groups` side by side along each axis."""
    mean = tile_spectrum(smooth, groups)
    count = independent_tiles(smooth, groups)
    scale = torch.tensor([side / (side // groups) for side in plain.shape[1:]], device=plain.device)
    single = Spectrum(as_single(mean.power, count), mean.level)
    return View(plain, smooth, mean, single, groups, scale)


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

    def put(self, other: Explanation, rows: Tensor) -> Explanation:
        """Return the lattices with those of the windows `rows` replaced by the others."""
        return Explanation(
            self.basis.index_copy(0, rows, other.basis),
            self.covariance.index_copy(0, rows, other.covariance),
            self.evidence.index_copy(0, rows, other.evidence),
            self.order.index_copy(0, rows, other.order),
            self.signal.index_copy(0, rows, other.signal),
        )

    def improved(self, other: Explanation, rows: Tensor) -> Explanation:
        """Return the lattices with those of the windows `rows` replaced for which the others have more evidence."""
        search = settings.SETTINGS.search
        limit = search.refined_sparse_limit
        area, others = (torch.linalg.det(b).abs().clamp_min(1e-3).log() for b in (self.basis[rows], other.basis))
        clear = (torch.maximum(other.evidence, self.evidence[rows]) / search.doubtful_evidence).clamp(0.0, 1.0)
        gain = other.evidence - self.evidence[rows]
        gain = gain + search.sparse_preference * clear * (others - area).clamp(-limit, limit)
        gain = gain - search.slender_penalty * (slenderness(other.basis) - slenderness(self.basis[rows]))
        won = torch.nonzero(gain > 0).squeeze(1)
        return self.put(other.take(won), rows[won])

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


def explained(view: View, basis: Tensor) -> Explanation:
    """Return the lattice of each window refined from a basis, (n, 2, 2), in bins of the view."""
    order, weight = choose_nodes(view.spectrum, basis)
    refined = refine(view.smooth, basis * view.scale, order, weight, groups=view.groups)
    signal = refined.signal if view.groups == 1 else as_single(refined.signal, view.groups**2)
    signal = torch.where(weight > 0, signal, signal.new_zeros(()))
    seen = log_ratio(signal).clamp_min(0).sum(-1)
    return Explanation(refined.basis, refined.covariance, seen, order, signal).scaled(1 / view.scale)


def choose_nodes(spectrum: Spectrum, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of the brightest nodes and the probability that each holds a wave (0 if it hardly does)."""
    search = settings.SETTINGS.search
    orders = node_orders(settings.SETTINGS.nodes.highest_index, basis.device)
    power, seen = node_power(spectrum, orders @ basis)
    ratio = torch.where(seen, log_ratio(power), power.new_full((), -9.0))  # less than that of any node that is seen
    top = ratio.topk(search.refined_nodes, dim=1)
    filled = torch.sigmoid(top.values - search.even_node_evidence)
    return orders[top.indices], torch.where(filled > search.least_node_probability, filled, filled.new_zeros(()))


def slenderness(basis: Tensor) -> Tensor:
    """Return the log of the ratio of the sides of a cell over the largest that is common, 0 below it."""
    ratio = settings.SETTINGS.search.common_ratio
    short, long = basis.square().sum(-1).sqrt().unbind(-1)
    slender: Tensor = (long / short.clamp_min(1e-3) / ratio).log()
    return slender.clamp_min(0)

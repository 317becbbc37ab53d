"""Measurement: an image window in, its primitive cell with covariance and the evidence for a lattice out; no training.

The lattice of the whole window as one wave; where that leaves a doubt, of its tiles, each with phases of its own. A
window of a scan that was shown enlarged, its pixels repeated, is measured in its own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.lattice.sublattices import kronecker_lift
from bravaismap.measure import settings
from bravaismap.measure.enlargement import enlarged, native
from bravaismap.measure.explanation import (
    Explanation,
    View,
    choose_nodes,
    explained,
    view_of_tiles,
    view_of_windows,
)
from bravaismap.measure.nodes import log_ratio, nearest_bins
from bravaismap.measure.periods import both_ways
from bravaismap.measure.scanlines import leveled
from bravaismap.measure.search import search
from bravaismap.measure.second_look import second_look
from bravaismap.measure.spots import standardize
from bravaismap.measure.worth import worth

__all__ = [
    "SMALLEST_SIDE",
    "Measurement",
    "leveled_view",
    "measure",
    "measure_from",
    "measured_from",
    "shown_by_spectrum",
]

#: Side of the smallest window that can be measured, in px: eight tiles of four.
SMALLEST_SIDE: Final = 32


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

    @classmethod
    def joined(cls, pieces: Sequence[Measurement]) -> Measurement:
        """Return the measurements of all pieces, in their order."""
        return cls(*(torch.cat([getattr(piece, part.name) for piece in pieces]) for part in fields(cls)))

    def take(self, rows: Tensor) -> Measurement:
        """Return the measurements of some of the windows, in the order of `rows`."""
        return Measurement(*(getattr(self, part.name)[rows] for part in fields(self)))

    def put(self, other: Measurement, rows: Tensor) -> Measurement:
        """Return the measurements with those of the windows `rows` replaced by the others."""
        return Measurement(
            *(getattr(self, part.name).index_copy(0, rows, getattr(other, part.name)) for part in fields(self))
        )

    def stretched(self, factor: Tensor) -> Measurement:
        """Return the measurements of windows enlarged by factors (n, 2) along (y, x)."""
        twice = torch.cat([factor, factor], dim=1)
        single = factor[:, None].to(self.frequency.dtype)
        return replace(
            self,
            basis=self.basis * factor[:, None],
            covariance=self.covariance * twice[:, :, None] * twice[:, None],
            frequency=self.frequency / single,
            frequency_std=self.frequency_std / single,
        )


def measure(images: Tensor, widely: bool | None = None, again: bool = True) -> Measurement:
    """Measure the lattice of each window.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Any real type; at least 32 px a side.
    widely : bool, optional
        Whether many candidates are tried for each window, which takes twice as long; if not given, they are for large
        images.
    again : bool
        Whether doubtful windows are looked at without their outliers, and as tiles with phases of their own, too.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    if images.ndim == 3 and len(rows := enlarged(images)):
        return _with_enlarged(images, rows, widely, again)
    return _measured(images, widely, again)


def _measured(images: Tensor, widely: bool | None, again: bool) -> Measurement:
    """The measurements of windows as they are."""
    view = leveled_view(images)
    pixels = images.shape[-2] * images.shape[-1]
    wide = pixels > settings.SETTINGS.search.wide_pixels if widely is None else widely
    searched = search(view, wide)
    best, shown = searched.best, worth(searched.best, view)
    if again:
        best, shown = second_look(searched, shown, view)
    return _in_pixels(best, shown, _size(images))


def _with_enlarged(images: Tensor, rows: Tensor, widely: bool | None, again: bool) -> Measurement:
    """The measurements of all windows, those in `rows` in their own resolution, or the least that can be measured."""
    kept = {row: native(images[row]).refined(SMALLEST_SIDE) for row in rows.tolist()}
    others = [row for row in range(len(images)) if row not in kept]
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, part in kept.items():
        groups.setdefault(tuple(part.image.shape), []).append(row)
    pieces = [_measured(images[others], widely, again)] if others else []
    for group in groups.values():
        factor = torch.tensor([kept[row].repeated for row in group], dtype=torch.float64, device=images.device)
        pieces.append(_measured(torch.stack([kept[row].image for row in group]), widely, again).stretched(factor))
    place = torch.tensor([*others, *(row for group in groups.values() for row in group)], device=images.device)
    return Measurement.joined(pieces).take(place.argsort())


def measure_from(images: Tensor, basis: Tensor, groups: int = 1) -> Measurement:
    """Measure the lattice of each window from a given one: nothing is searched, and no other lattice is tried.

    The evidence is what the given lattice has in its window, as one wave or as tiles with phases of their own.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        As for :func:`measure`.
    basis : tensor, shape (n, 2, 2)
        Primitive vectors in px, rows, columns (y, x).
    groups : int
        Tiles along each side, 1, 2 or 4: 1 is the whole window.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    view = leveled_view(images)
    return measured_from(view if groups == 1 else view_of_tiles(view, groups), basis)


def measured_from(view: View, basis: Tensor) -> Measurement:
    """Return the lattice of each window measured from a given one, (n, 2, 2), as :func:`measure_from` does.

    Parameters
    ----------
    view : View
        Of the windows or of their tiles.
    basis : tensor, shape (n, 2, 2)
    """
    best = explained(view, _in_bins(view, basis))
    return _in_pixels(best.scaled(view.scale), worth(best, view), _size(view.plain))


def shown_by_spectrum(view: View, bases: Tensor) -> Tensor:
    """Return what the spectrum of each window says for each of some lattices as they are given, (n, lattices).

    Parameters
    ----------
    view : View
    bases : tensor, shape (lattices, 2, 2)
        Primitive vectors in px, rows, columns (y, x).
    """
    count = len(view.plain)
    window = torch.arange(count, device=bases.device).repeat_interleave(len(bases))
    reciprocal = _in_bins(view, bases).repeat(count, 1, 1)
    order, filled = choose_nodes(view.spectrum, reciprocal, window)
    power = nearest_bins(view.spectrum, order @ reciprocal).power(view.spectrum, window)
    gain = torch.where(filled > 0, log_ratio(power).clamp_min(0), 0.0)
    return both_ways(gain, order).reshape(count, -1)


def _in_bins(view: View, basis: Tensor) -> Tensor:
    """Reciprocal vectors, in bins of a view, of lattices whose primitive vectors are in px."""
    reciprocal = torch.linalg.inv(basis.double()).transpose(-1, -2) * _size(view.plain)
    bins: Tensor = reciprocal.float() / view.scale
    return bins


def leveled_view(images: Tensor) -> View:
    """Return the view of whole windows (n, y, x) as they are measured, without offsets of their rows and columns.

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    return view_of_windows(_leveled(images))


def _leveled(images: Tensor) -> Tensor:
    """Images of mean 0 and standard deviation 1, their rows and columns levelled; raise if they are too small."""
    if images.ndim != 3 or len(images) == 0 or min(images.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(
            f"windows of shape {tuple(images.shape)} were given; expected (n, y, x), n ≥ 1, of 32 px or more"
        )
    plain = standardize(images)
    level = leveled(plain)
    if level is plain:
        return plain
    rows = torch.nonzero((level != plain).any(2).any(1)).squeeze(1)
    return level.index_copy(0, rows, standardize(level[rows]))


def _size(images: Tensor) -> Tensor:
    """Height and width of windows in px: what takes a reciprocal vector in 1/px to bins."""
    return torch.tensor(images.shape[-2:], device=images.device, dtype=torch.float32)


def _in_pixels(best: Explanation, shown: Tensor, size: Tensor) -> Measurement:
    """The direct lattices in px, with the factors on their covariance and the evidence that a region shows."""
    limits, factors = settings.SETTINGS.evidence, settings.SETTINGS.covariance
    reciprocal = best.basis.double() / size
    scale = torch.cat([size, size]).double()
    finest = factors.finest_error**2 * torch.eye(4, dtype=torch.float64, device=scale.device)
    covariance = (best.covariance.double() + finest) / (scale[:, None] * scale)
    cells = torch.linalg.det(best.basis).abs().clamp_min(1e-3)
    covariance = covariance * (factors.factor * (1 + factors.few_cells / cells)).double()[:, None, None]
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


def _direct(reciprocal: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Direct basis and its covariance: dB = −B dGᵀ B."""
    ridge = 1e-9 * torch.eye(2, dtype=reciprocal.dtype, device=reciprocal.device)
    basis = torch.linalg.inv_ex(reciprocal + ridge)[0].transpose(-1, -2)
    slope = -torch.einsum("nia,nbj->nijba", basis, basis).reshape(-1, 4, 4)
    return basis, slope @ covariance @ slope.transpose(-1, -2)


def _kron(order: Tensor) -> Tensor:
    """Matrix from the flattened basis to each node, (n, nodes, 2, 4)."""
    return kronecker_lift(order[..., None, :])

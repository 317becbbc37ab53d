"""Measurement: an image window in, its primitive cell with covariance and the evidence for a lattice out; no training.

The lattice of the whole window as one wave; where that leaves a doubt, of its tiles, each with phases of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.lattice.sublattices import kronecker_lift
from bravaismap.measure import settings
from bravaismap.measure.explanation import Explanation, explained, view_of_windows
from bravaismap.measure.scanlines import leveled
from bravaismap.measure.search import search
from bravaismap.measure.spots import standardize
from bravaismap.measure.wandering import wandering
from bravaismap.measure.worth import worth

__all__ = ["SMALLEST_SIDE", "Measurement", "measure", "measure_from"]

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


def measure(images: Tensor, widely: bool | None = None, by_tiles: bool = True) -> Measurement:
    """Measure the lattice of each window.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Any real type; at least 32 px a side.
    widely : bool, optional
        Whether many candidates are tried for each window, which takes twice as long; if not given, they are for large
        images.
    by_tiles : bool
        Whether doubtful windows are asked for the lattice of their tiles too, each with phases of its own.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    view = view_of_windows(_leveled(images))
    pixels = images.shape[-2] * images.shape[-1]
    wide = pixels > settings.SETTINGS.search.wide_pixels if widely is None else widely
    searched = search(view, wide)
    best, shown = searched.best, worth(searched.best, view)
    if by_tiles:
        best, shown = wandering(searched, shown, view)
    return _in_pixels(best, shown, _size(images))


def measure_from(images: Tensor, basis: Tensor) -> Measurement:
    """Measure the lattice of each window from a given one: nothing is searched, and no other lattice is tried.

    The evidence is what the given lattice has in its window, as one wave.

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
    view = view_of_windows(_leveled(images))
    reciprocal = torch.linalg.inv(basis.double()).transpose(-1, -2) * _size(images)
    best = explained(view, reciprocal.float())
    return _in_pixels(best, worth(best, view), _size(images))


def _leveled(images: Tensor) -> Tensor:
    """Images of mean 0 and standard deviation 1, their rows and columns levelled; raise if they are too small."""
    if images.ndim != 3 or len(images) == 0 or min(images.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(
            f"windows of shape {tuple(images.shape)} were given; expected (n, y, x), n ≥ 1, of 32 px or more"
        )
    return standardize(leveled(standardize(images)))


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

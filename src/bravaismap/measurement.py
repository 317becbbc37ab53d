"""Measurement: an image window in, its primitive cell with covariance and the evidence for a lattice out; no training.

spots (plain and flattened spectrum) → candidate bases → the one with the most evidence at all its nodes → maximum
likelihood refinement with covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.indexing import index_spots, reduce_rows
from bravaismap.nodes import evidence, log_ratio, node_orders, node_power
from bravaismap.refinement import refine
from bravaismap.spots import Spectrum, Spots, background, find_spots, flatten, standardize, whitened_power

__all__ = ["Measurement", "measure"]

_NODES = 10
_HIGHEST = 6
#: Prior preference for the sparser reciprocal lattice: log odds per unit of ln(area of its cell).
_SPARSE = 8.0
_SMALLEST_SIDE = 32


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


def measure(images: Tensor) -> Measurement:
    """Measure the lattice of each window.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Any real type; at least 32 px a side.

    Returns
    -------
    Measurement

    Raises
    ------
    InputError
        If the windows are smaller than 32 px.
    """
    if images.ndim != 3 or min(images.shape[-2:]) < _SMALLEST_SIDE:
        raise InputError(f"windows of shape {tuple(images.shape)} were given; expected (n, y, x) of 32 px or more")
    plain = standardize(images)
    size = torch.tensor(images.shape[-2:], device=images.device, dtype=torch.float32)
    spectrum = whitened_power(plain)
    basis, score = best_basis(plain, spectrum)
    order, weight, power = choose_nodes(spectrum, basis)
    refined = refine(plain - background(plain), basis, order, weight)
    signal = refined.amplitude.abs().square() / refined.noise.clamp_min(1e-20)
    reciprocal = refined.basis.double() / size
    scale = torch.cat([size, size]).double()
    covariance = refined.covariance.double() / (scale[:, None] * scale)
    direct, spread = _direct(reciprocal, covariance)
    wide = _kron(order.double())
    node_covariance = wide @ covariance[:, None] @ wide.transpose(-1, -2)
    return Measurement(
        direct,
        spread,
        score,
        order,
        order @ reciprocal.float(),
        node_covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt().float(),
        signal,
    )


def best_basis(plain: Tensor, spectrum: Spectrum) -> tuple[Tensor, Tensor]:
    """Return the reciprocal basis (bins) with the most evidence in each window, and its evidence."""
    spots = find_spots(spectrum)
    flat_spots = find_spots(whitened_power(flatten(plain)))
    candidates = torch.cat([index_spots(spots, 6)[0], index_spots(flat_spots, 4)[0]], dim=1)
    score = evidence(spectrum, candidates, _band(spots), _HIGHEST)
    area = torch.linalg.det(candidates).abs().clamp_min(1e-3)
    best = (score + _SPARSE * area.log()).argmax(1)
    rows = torch.arange(len(best), device=best.device)
    return reduce_rows(candidates[rows, best]), score[rows, best]


def choose_nodes(spectrum: Spectrum, basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of the brightest nodes, the probability that each holds a wave, and their power."""
    orders = node_orders(_HIGHEST, basis.device)
    power, seen = node_power(spectrum, orders @ basis)
    ratio = torch.where(seen, log_ratio(power, spectrum.binning), power.new_full((), -9.0))
    top = ratio.topk(_NODES, dim=1)
    filled = torch.sigmoid(top.values - 1.0)
    return orders[top.indices], torch.where(filled > 0.3, filled, filled.new_zeros(())), power.gather(1, top.indices)


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
    eye = torch.eye(2, dtype=order.dtype, device=order.device)
    return torch.einsum("nhi,cd->nhcid", order, eye).reshape(*order.shape[:2], 2, 4)

"""Demodulation: the waves of a lattice near every point of an image.

A crystal of averaged motif M that is displaced by u(r) looks like M(r − u(r)) = Σ 2 Re F_k exp 2πi (g_k·r −
g_k·u(r)), one wave for each pair ±g_k of nodes. Seen through a Gaussian of a few cells, the image times exp(−2πi
g_k·r) is the local amplitude A_k(r) of each wave, of which :mod:`bravaismap.local.displacement` finds F_k and u(r).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from bravaismap.compute.together import Length, number
from bravaismap.local.smoothing import REACH, grid_length, smoothed

__all__ = [
    "Demodulated",
    "demodulate",
    "lattice_nodes",
    "phase_factor",
    "wave_amplitudes",
]

#: Highest frequency of a node, in cycles per px: beyond are read-out noise and aliases.
_HIGHEST_FREQUENCY = 0.45
_HIGHEST_ORDER = 6
#: Nodes are used up to this many times the length of the shortest one.
_REACH = 3.3
#: Smallest smoothed share of a place, as a fraction of 1, that it is divided by.
_LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Demodulated:
    """The waves of one lattice, on a grid.

    Attributes
    ----------
    basis : tensor, shape (2, 2)
        In px, rows = vectors (y, x).
    order : tensor, shape (nodes, 2)
        Indices (h, k), one of each pair ±.
    amplitude : tensor, shape (nodes, rows, columns), complex
    weight : tensor, shape (rows, columns)
        Smoothed share of the lattice.
    variance : tensor, shape (rows, columns)
        Variance of an amplitude (real and imaginary part together) for unit white noise.
    step : int
        Pitch of the grid in px; its first point is pixel (0, 0), its last may lie beyond the image.
    """

    basis: Tensor
    order: Tensor
    amplitude: Tensor
    weight: Tensor
    variance: Tensor
    step: int

    @property
    def frequency(self) -> Tensor:
        """Reciprocal vectors of the nodes (y, x) in cycles per px, (nodes, 2)."""
        frequency: Tensor = self.order @ torch.linalg.inv(self.basis).mT
        return frequency


def phase_factor(turns: Tensor) -> Tensor:
    """Return exp(2πi × turns): by cosine and sine, an order of magnitude faster than the complex exponential."""
    angle = 2 * torch.pi * turns
    return torch.complex(angle.cos(), angle.sin())


def lattice_nodes(basis: Tensor, most: int = 18) -> Tensor:
    """Return the indices of the shortest reciprocal vectors of a lattice, one of each pair ±, (nodes, 2).

    Parameters
    ----------
    basis : tensor, shape (2, 2)
        In px, rows = vectors (y, x).
    most : int
    """
    axis = torch.arange(-_HIGHEST_ORDER, _HIGHEST_ORDER + 1, device=basis.device, dtype=basis.dtype)
    order = torch.cartesian_prod(axis, axis)
    order = order[(order[:, 0] > 0) | ((order[:, 0] == 0) & (order[:, 1] > 0))]
    length = torch.linalg.vector_norm(order @ torch.linalg.inv(basis).mT, dim=-1)
    near = torch.argsort(length, stable=True)[:most]
    length = length[near]
    return order[near[(length < _HIGHEST_FREQUENCY) & (length <= _REACH * length[0])]]


def demodulate(
    image: Tensor, share: Tensor, basis: Tensor, order: Tensor, sigma: float | Length, step: int
) -> Demodulated:
    """Measure the waves of a lattice near every point of a grid.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Without its slow background.
    share : tensor, shape (y, x)
        How much each pixel belongs to the lattice, 0 to 1; 0 for masked pixels.
    basis : tensor, shape (2, 2)
    order : tensor, shape (nodes, 2)
    sigma : float or Length
        Standard deviation of the Gaussian in px.
    step : int
        Pitch of the grid in px.

    Returns
    -------
    Demodulated

    Notes
    -----
    ``A_k(r) = Σ w(r' − r) p(r') I(r') exp(−2πi g_k·r') / Σ w(r' − r) p(r')`` with w the Gaussian and p the share: what
    belongs to another phase, and what lies beyond the edge, does not count.
    """
    frequency = order @ torch.linalg.inv(basis).mT
    amplitude = wave_amplitudes(share * image, frequency, sigma, step)
    weight = smoothed(share, sigma, step).clamp_min(0)
    total = weight.clamp_min(_LEAST_SHARE)
    spread = smoothed(share**2, sigma / 2**0.5, step) / (4 * torch.pi * number(sigma) ** 2)
    return Demodulated(basis, order, amplitude / total, weight, spread / total**2, step)


def wave_amplitudes(image: Tensor, frequency: Tensor, sigma: float | Length, step: int) -> Tensor:
    """Return the waves of an image at some frequencies: of its one spectrum what a Gaussian around each passes.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Around it there are zeros for as far as the Gaussian reaches, so that opposite edges do not see each other.
    frequency : tensor, shape (waves, 2)
        (y, x) in cycles per px.
    sigma, step
        As for :func:`demodulate`.

    Returns
    -------
    tensor, shape (waves, rows, columns), complex
    """
    most, least = (sigma.most, sigma.least) if isinstance(sigma, Length) else (sigma, sigma)
    lengths = [next_fast_len(length + round(REACH * most), real=True) for length in image.shape]
    spectrum = torch.fft.rfft2(image, s=lengths)
    bins, sides = [], []
    for axis, (pixels, length) in enumerate(zip(image.shape, lengths, strict=True)):
        reach = math.ceil(REACH * length / (2 * torch.pi * least)) + 1
        around = torch.arange(-reach, reach + 1, device=image.device)
        own = (frequency[:, axis] * length).round().long()[:, None] + around
        beside = own.to(image.dtype) / length - frequency[:, axis, None]  # (nodes, bins)
        passed = (-2 * (torch.pi * number(sigma) * beside) ** 2).exp() / length
        points = step * torch.arange(grid_length(pixels, step), device=image.device, dtype=image.dtype)
        sides.append(phase_factor(points[:, None] * beside[:, None, :]) * passed[:, None, :])
        bins.append(own % length)
    rows, columns = bins[0][:, :, None], bins[1][:, None, :]
    # of a real image the other half is what is opposite, conjugated
    opposite = columns >= spectrum.shape[1]
    near = spectrum[
        torch.where(opposite, -rows % lengths[0], rows), torch.where(opposite, lengths[1] - columns, columns)
    ]
    near = torch.where(opposite, near.conj(), near)
    amplitude: Tensor = sides[0] @ near @ sides[1].mT
    return amplitude

"""Layers: a second lattice that shows in the same parts of an image as the first, as two layers on one another do.

The waves of the first lattice are taken out of the parts, and what is left is searched again. A second lattice counts
if the parts agree on it, and if the image itself, with the first lattice in it, has it too.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.measurement import Measurement, measure, measure_from
from bravaismap.measure.nodes import log_ratio, node_orders, node_power
from bravaismap.measure.spots import standardize, whitened_power

__all__ = ["beneath", "without_lattice"]


def beneath(crops: Tensor, basis: Tensor) -> Measurement:
    """Return what parts of an image show once a lattice is taken out of them.

    Parameters
    ----------
    crops : tensor, shape (n, y, x)
    basis : tensor, shape (n, 2, 2)
        Of the lattice that is taken out, rows, columns (y, x), in px.

    Returns
    -------
    Measurement
        Measured in the parts as they are; its evidence is the smaller of that and of what it has in what is left.
    """
    plain = standardize(crops)
    left = measure(without_lattice(plain, basis), widely=False)
    again = measure_from(plain, left.basis)
    return replace(again, evidence=torch.minimum(left.evidence, again.evidence))


def without_lattice(images: Tensor, basis: Tensor) -> Tensor:
    """Return Hann-tapered images without the waves of a lattice that stand out of them, and what is near these.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised.
    basis : tensor, shape (n, 2, 2)
        In px.
    """
    limits = settings.SETTINGS.layers
    rows, columns = images.shape[1:]
    size = torch.tensor([rows, columns], dtype=torch.float32, device=images.device)
    reciprocal = torch.linalg.inv(basis.double()).transpose(-1, -2).float() * size
    orders = node_orders(settings.SETTINGS.nodes.highest_index, images.device)
    position = orders @ reciprocal
    power, seen = node_power(whitened_power(images), position)
    clear = seen & (log_ratio(power) > limits.wave_evidence)
    taper = torch.hann_window(rows, device=images.device)[:, None] * torch.hann_window(columns, device=images.device)
    spectrum = torch.fft.rfft2(images * taper)
    k_y = torch.fft.fftfreq(rows, 1 / rows, device=images.device)[:, None]
    k_x = torch.fft.rfftfreq(columns, 1 / columns, device=images.device)
    kept = torch.ones(len(images), rows, columns // 2 + 1, dtype=torch.bool, device=images.device)
    for sign in (1, -1):
        for place, shown in zip(position.unbind(1), clear.unbind(1), strict=True):
            away = (k_y - sign * place[:, 0, None, None]).square() + (k_x - sign * place[:, 1, None, None]).square()
            kept &= (away > limits.radius**2) | ~shown[:, None, None]
    left: Tensor = torch.fft.irfft2(spectrum * kept, s=(rows, columns))
    return left

"""Fringes: whether the waves that make a lattice of an image come from one period alone.

Interference fringes, mains hum and the pick-up of a scan repeat in one direction. In some parts a search finds a second
period by chance, and hum whose phase slips from row to row has harmonics that fold back into the spectrum as if they
were other waves. Two questions to all parts of an image together tell them from a lattice: how much of the lattice's
evidence is off its strongest line of waves, and how much of its power is left when one wave with its harmonics, of any
phase in each row, has been taken away.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.measure import settings
from bravaismap.measure.nodes import distinct_power, log_ratio, node_orders, node_power
from bravaismap.measure.periods import off_line
from bravaismap.measure.spots import Spectrum, standardize, whitened_power

__all__ = ["two_periods", "without_hum"]


def two_periods(parts: Iterable[Tensor], basis: Floats) -> float:
    """Return whether the waves of a lattice have two periods, from 0 (one only) to 1.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
        Parts of one size of an image.
    basis : array, shape (2, 2)
        Of the lattice, rows, columns (y, x), in px.
    """
    fringes, freedom = settings.SETTINGS.fringes, settings.SETTINGS.evidence.freedom
    gains: list[Tensor] = []
    powers: list[Tensor] = []
    rests: list[Tensor] = []
    order = torch.empty(0, 2)
    for crops in parts:
        plain = standardize(crops)
        order = node_orders(fringes.highest_index, plain.device)
        size = torch.tensor(plain.shape[1:], dtype=torch.float32, device=plain.device)
        reciprocal = torch.from_numpy(np.linalg.inv(basis).T.astype(np.float32)).to(plain.device) * size
        position = (order @ reciprocal).expand(len(plain), -1, -1)
        spectrum = whitened_power(plain)
        power, seen = distinct_power(spectrum, position)
        gains.append(torch.where(seen, log_ratio(power, freedom), 0.0))
        rest = whitened_power(without_hum(plain))
        rest = Spectrum(rest.power * rest.level / spectrum.level, spectrum.level)
        for all_parts, seen_in in ((powers, spectrum), (rests, rest)):
            above = (node_power(seen_in, position)[0] - 1).clamp_min(0)
            all_parts.append(torch.where(seen, above, 0.0))
    gain = torch.cat(gains).mean(0).clamp_min(0)[None]
    share = float(off_line(gain, order[None])) / max(float(gain.sum()), 1e-12)
    left = float(torch.cat(rests).sum()) / max(float(torch.cat(powers).sum()), 1e-12)
    return min(_ramp(share, fringes.off_line_shares), _ramp(left, fringes.left_shares))


def without_hum(images: Tensor) -> Tensor:
    """Return images without their strongest wave along the rows and its harmonics, whose phase is free in each row.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Without offsets.
    """
    fringes, width = settings.SETTINGS.fringes, images.shape[2]
    taper = torch.hann_window(width, periodic=False, device=images.device)
    spectrum = torch.fft.rfft(images * taper, n=4 * width, dim=2)
    mean = spectrum.abs().square().mean(1)
    mean[:, : int(4 * fringes.lowest_frequency)] = 0
    frequency = mean.argmax(1) / (4 * width)
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    weighted = (images * (taper / taper.sum())).to(torch.complex64)
    left, turn = images, torch.ones_like(weighted[:, :, 0])
    for harmonic in range(1, fringes.harmonics + 1):
        phase = 2 * torch.pi * harmonic * frequency[:, None] * x
        wave = torch.complex(phase.cos(), -phase.sin())
        rows = torch.einsum("nyx,nx->ny", weighted, wave)
        if harmonic == 1:
            turn = rows / rows.abs().clamp_min(1e-12)
        turned = turn**harmonic
        strength = (rows * turned.conj()).mean(1) * (harmonic * frequency < 0.5)
        left = left - 2 * ((strength[:, None] * turned)[:, :, None] * wave.conj()[:, None]).real
    return left


def _ramp(value: float, between: tuple[float, float]) -> float:
    low, high = between
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))

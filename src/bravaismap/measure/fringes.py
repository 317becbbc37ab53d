"""Fringes: whether the waves that make a lattice of an image come from one period alone.

Interference fringes, mains hum and the pick-up of a scan repeat in one direction. In some parts a search finds a second
period by chance, and hum whose phase slips from row to row has harmonics that fold back into the spectrum as if they
were other waves. Two questions to all parts of an image together tell them from a lattice: how much of the lattice's
evidence is off its strongest line of waves, and how much of its power is left when one wave with its harmonics, of any
phase in each row, has been taken away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.measure import settings
from bravaismap.measure.nodes import distinct_power, level_at, log_ratio, nearest_bins, node_orders
from bravaismap.measure.periods import off_line
from bravaismap.measure.spots import Spectrum, standardize, whitened_power

__all__ = ["Hum", "beyond_bent_fringes", "beyond_hum", "hum_along_rows", "hum_share", "two_periods"]


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
        whole, left = _powers(plain, spectrum, position, seen)
        powers.append(whole)
        rests.append(left)
    gain = torch.cat(gains).mean(0).clamp_min(0)[None]
    share = float(off_line(gain, order[None])) / max(float(gain.sum()), 1e-12)
    rest = float(torch.cat(rests, 1).sum(1).amin()) / max(float(torch.cat(powers).sum()), 1e-12)
    shares = (_ramp(torch.tensor(share), fringes.off_line_shares), _ramp(torch.tensor(rest), fringes.left_shares))
    return min(float(value) for value in shares)


def beyond_hum(images: Tensor, spectrum: Spectrum, position: Tensor, seen: Tensor, groups: int = 1) -> Tensor:
    """Return whether the waves at the nodes of a lattice are more than one wave of any phase in each row or column.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised, without offsets.
    spectrum : Spectrum
        Of these images, or the mean over their tiles.
    position : tensor, shape (n, nodes, 2)
        (k_y, k_x) of the nodes in bins.
    seen : bool tensor, shape (n, nodes)
        Which nodes hold a wave.
    groups : int
        Tiles of the spectrum side by side along each axis.

    Returns
    -------
    tensor, shape (n,)
        From 0 (no more) to 1.
    """
    limits = settings.SETTINGS.fringes
    whole, left = _powers(images, spectrum, position, seen, groups)
    return _ramp(left.amin(0) / whole.clamp_min(1e-12), limits.left_shares if groups == 1 else limits.tile_left_shares)


def beyond_bent_fringes(images: Tensor, spectrum: Spectrum, position: Tensor, seen: Tensor, groups: int = 1) -> Tensor:
    """Return whether close waves are more than the sides of one wave that bends, as the edges of terraces do.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised, without slow background: that of a staircase is more than its steps.
    spectrum, position, seen, groups
        As for :func:`beyond_hum`.

    Returns
    -------
    tensor, shape (n,)
        From 0 (no more) to 1.
    """
    whole, left = _powers(images, spectrum, position, seen, groups)
    return _ramp(left.amin(0) / whole.clamp_min(1e-12), settings.SETTINGS.fringes.bent_left_shares)


def _powers(
    images: Tensor, spectrum: Spectrum, position: Tensor, seen: Tensor, groups: int = 1
) -> tuple[Tensor, Tensor]:
    """Power at the nodes, (n,), and what hum along the rows, and along the columns, leaves of it, (2, n)."""
    at = nearest_bins(spectrum, position)
    along_rows, along_columns = hum_along_rows(images), hum_along_rows(images.transpose(1, 2).contiguous())
    down = torch.stack([along_rows.amplitude, along_columns.wave])
    across = torch.stack([along_rows.wave, along_columns.amplitude])
    left = _power_left(images, down, across, at.bins, groups) / (level_at(spectrum, position) * at.response)
    above = torch.cat([at.power(spectrum)[None], left]) - 1
    sums = torch.where(seen, above.clamp_min(0), 0.0).sum(-1)
    return sums[0], sums[1:]


def _power_left(images: Tensor, down: Tensor, across: Tensor, bins: Tensor, groups: int) -> Tensor:
    """Mean power of tiles at nodes when waves are taken away, (waves, n, nodes), as of `averaged_power`.

    The waves are down @ acrossᵀ, (waves, n, y or x, parts). Only their Fourier sums at the nodes, (n, nodes, 2) whole
    bins of a tile, are taken from those of the images, each axis by itself.
    """
    rows, columns = (side // groups for side in images.shape[1:])
    bins = torch.cat([bins, torch.zeros_like(bins[:, :1])], dim=1)  # the centre is for the mean of the tapered tile
    waves_y, waves_x = (_tapered_waves(bins[..., axis], side) for axis, side in enumerate((rows, columns)))
    parts = torch.cat([waves_x.real, waves_x.imag], dim=1).transpose(1, 2)[:, None]
    plain = images.unfold(2, columns, columns // 2).transpose(1, 2) @ parts
    taken = down[:, :, None] @ (across.unfold(2, columns, columns // 2) @ parts)
    real, imag = (plain - taken).chunk(2, dim=-1)
    sums = (torch.complex(real, imag).unfold(3, rows, rows // 2) * waves_y[:, None, None]).sum(-1)
    taper = waves_y.sum(-1) * waves_x.sum(-1)
    share = (taper / taper[:, -1:])[:, None, None]
    return (sums - sums[..., -1:] * share)[..., :-1].abs().square().mean((2, 3))


def _tapered_waves(bins: Tensor, side: int) -> Tensor:
    """Conjugate waves of whole bins (n, nodes) along a side, Hann-tapered, complex, (n, nodes, side)."""
    place = torch.arange(side, device=bins.device)
    phase = (bins[..., None] * place).remainder(side) * (-2 * torch.pi / side)
    taper = torch.hann_window(side, periodic=False, device=bins.device)
    return torch.complex(phase.cos().mul_(taper), phase.sin().mul_(taper))


@dataclass(frozen=True)
class Hum:
    """The strongest wave along the rows of images with its harmonics, amplitude @ waveᵀ, with a phase for each row.

    Attributes
    ----------
    amplitude : tensor, shape (n, y, 2 · harmonics)
    wave : tensor, shape (n, x, 2 · harmonics)
    """

    amplitude: Tensor
    wave: Tensor


def hum_along_rows(images: Tensor) -> Hum:
    """Return the strongest wave along the rows of images and its harmonics, whose phase is free in each row.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Without offsets.
    """
    fringes, width = settings.SETTINGS.fringes, images.shape[2]
    taper = torch.hann_window(width, periodic=False, device=images.device)
    frequency = _strongest_frequency(images * taper)
    harmonic = torch.arange(1, fringes.harmonics + 1, device=images.device)
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    phase = 2 * torch.pi * frequency[:, None, None] * x[:, None] * harmonic
    cos, sin = phase.cos(), phase.sin()
    sums = images @ torch.cat([cos, -sin], dim=2).mul_((taper / taper.sum())[:, None])
    rows = torch.complex(*sums.chunk(2, dim=2))
    turn = rows[:, :, :1] / rows[:, :, :1].abs().clamp_min(1e-12)
    turned = turn.expand_as(rows).cumprod(2)
    strength = (rows * turned.conj()).mean(1, keepdim=True) * (harmonic * frequency[:, None] < 0.5)[:, None]
    wave = 2 * turned * strength
    return Hum(torch.cat([wave.real, -wave.imag], dim=2), torch.cat([cos, sin], dim=2))


def hum_share(images: Tensor) -> Tensor:
    """Return the share of the variance of images (n, y, x) that hum along the rows, or along the columns, is, (n,)."""
    shares = []
    for lines in (images, images.transpose(1, 2).contiguous()):
        wave = hum_along_rows(lines)
        rest = lines - wave.amplitude @ wave.wave.mT
        shares.append(1 - rest.flatten(1).var(1) / lines.flatten(1).var(1).clamp_min(1e-12))
    share: Tensor = torch.stack(shares).amax(0)
    return share


def _strongest_frequency(tapered: Tensor) -> Tensor:
    """Frequency of most power along the rows of each image, all its rows together, in cycles per px, (n,)."""
    width = tapered.shape[2]
    sums = torch.fft.rfft(tapered, n=2 * width, dim=2)
    mean = torch.view_as_real(sums).square_().mean(1).sum(-1)
    # twice as many frequencies hold no more than the correlation of the rows does
    correlation = torch.fft.irfft(mean, n=2 * width)
    padded = torch.cat([correlation[:, :width], correlation.new_zeros(len(mean), 2 * width), correlation[:, width:]], 1)
    finer = torch.fft.rfft(padded).real
    finer[:, : int(4 * settings.SETTINGS.fringes.lowest_frequency)] = 0
    frequency: Tensor = finer.argmax(1) / (4 * width)
    return frequency


def _ramp(value: Tensor, between: tuple[float, float]) -> Tensor:
    low, high = between
    return ((value - low) / (high - low)).clamp(0.0, 1.0)

"""Interlace: images of two fields, the even and the odd lines, of which one is displaced along the lines.

A scan that records on its way forth and back shows the rows of its way back displaced by the lag of the scanner; a
video camera exposes the odd rows after the even ones, while the image moves. A wave of amplitude G of which the odd
rows are displaced by d is two waves in the image: one at k of amplitude G (1 + e^{−iφ})/2, and one half a cycle per
row away, at k + (½, 0), of amplitude G (1 − e^{−iφ})/2, where φ = 2π k_x d. With L and H the amplitudes there, L + H
is that of the even field, L − H that of the odd one, and 2 Im L* H = G² sin φ, which two waves that do not belong
together have in no one direction. The displacement is where the fields agree best. It is believed if the pairs of
waves say so, and if every part of the image does: rows that are displaced at random agree with their neighbours at
none. Scans whose fast axis is y are the same with columns for rows; these are asked where the rows are in place.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.measure import settings
from bravaismap.measure.spots import standardize

__all__ = ["displaced_field", "interleaved"]

#: Widths of images whose turns are kept: a movie has two, that of its rows and that of its columns.
_WIDTHS: Final = 4


def interleaved(image: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Return an image whose odd lines continue the even ones, and by how much they were moved back, in px.

    Parameters
    ----------
    image : tensor, shape (y, x)

    Returns
    -------
    image : tensor, shape (y, x)
        As it is where its odd lines are not displaced.
    displacement : (float, float)
        In what was given: of the odd columns down, and of the odd rows to the right; 0 if there was none.
    """
    if (right := displaced_field(image)) != 0:
        return _moved_back(image, right), (0.0, right)
    if (down := displaced_field(image.T)) != 0:
        return _moved_back(image.T, down).T.contiguous(), (down, 0.0)
    return image, (0.0, 0.0)


def _moved_back(image: Tensor, right: float) -> Tensor:
    """The image with its odd rows moved to the left."""
    out, width = image.clone(), image.shape[1]
    turn = torch.exp(2j * torch.pi * right * torch.fft.rfftfreq(width, device=image.device))
    out[1::2] = torch.fft.irfft(torch.fft.rfft(image[1::2]) * turn, n=width)
    return out


def displaced_field(image: Tensor) -> float:
    """Return by how many px the odd rows of an image are displaced to the right of the even ones; 0 if they are not.

    Of displacements that differ by a period of the lattice along the rows it is the smallest.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    limits, device = settings.SETTINGS.interlace, image.device
    width, quarter = image.shape[1], image.shape[0] // 4
    waves = torch.fft.rfft(standardize(image[None])[0] * torch.hann_window(width, device=device))
    waves[:, : limits.lowest_frequency] = 0
    k_x = torch.fft.rfftfreq(width, device=device)
    taper = torch.hann_window(4 * quarter, device=device)[:, None]
    spectrum = torch.fft.fft(waves[: 4 * quarter] * taper, dim=0).roll(quarter, 0)
    low, high = spectrum[: 2 * quarter], spectrum[2 * quarter :]
    fields = ((low - high) * (low + high).conj()).sum(0)
    steps, turns = _turns(width, limits.reach, limits.resolution, device)
    agreement = (turns @ fields).real.nan_to_num()
    if agreement.max() <= 0:  # rows that alternate, whatever their displacement
        return 0.0
    right = _smallest_peak(agreement, steps)
    if abs(right) < limits.least:
        return 0.0
    pairs, sine = 2 * (low.conj() * high).imag, (2 * torch.pi * k_x * right).sin()
    chance = (2 * (low.abs() * high.abs() * sine).square().sum()).sqrt().clamp_min(1e-30)
    in_pairs = float((pairs * sine).sum() / chance) > limits.clear_pairs
    everywhere = _says_every_row(waves, torch.exp(2j * torch.pi * k_x * right)) > limits.clear_rows
    return right if in_pairs and everywhere else 0.0


@functools.lru_cache(maxsize=_WIDTHS)
def _turns(width: int, reach: float, resolution: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Displacements in px, (steps,), and by what they turn the waves along rows of a width, (steps, frequencies)."""
    steps = torch.arange(-reach, reach + 0.1, resolution, device=device)
    return steps, torch.exp(2j * torch.pi * steps[:, None] * torch.fft.rfftfreq(width, device=device))


def _says_every_row(waves: Tensor, turn: Tensor) -> float:
    """How much better the odd rows continue their neighbours once displaced: mean over its standard error."""
    pairs = (len(waves) - 1) // 2
    between = (waves[0 : 2 * pairs : 2] + waves[2 : 2 * pairs + 1 : 2]) / 2
    gain = (between.conj() * waves[1 : 2 * pairs : 2] * (turn - 1)).real.sum(1)
    return float(gain.mean() / (gain.std() / pairs**0.5).clamp_min(1e-30))


def _smallest_peak(values: Tensor, steps: Tensor) -> float:
    """Vertex of the maximum that is nearest to 0 among those that are about as high as the highest."""
    around = F.max_pool1d(values[None], 3, 1, 1)[0]
    peaks = torch.nonzero((values == around) & (values >= settings.SETTINGS.interlace.equal_share * values.max()))
    place = int(peaks[steps[peaks].abs().argmin()])
    step: float = settings.SETTINGS.interlace.resolution
    if not 0 < place < len(values) - 1:
        return float(steps[place])
    before, middle, after = values[place - 1 : place + 2].tolist()
    bend = min(before - 2 * middle + after, -1e-30)
    return float(steps[place]) + 0.5 * float(before - after) / float(bend) * step

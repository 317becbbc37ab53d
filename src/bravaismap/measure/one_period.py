"""One period: what repeats in an image that shows no lattice.

Interference fringes are one wave across the image. Pick-up of a scan, such as mains hum, is a wave along the rows whose
phase slips between them, so that no wave across the image holds all of its power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.measure.nodes import node_power, ring_power
from bravaismap.measure.spots import Spectrum, Spots, find_spots, standardize, whitened_power

__all__ = ["OnePeriod", "strongest_period"]

#: Power of a wave over its local background from which on it is no chance. Of 10⁶ bins of noise the highest has 14 on
#: average; smooth noise, whose background is known less well, up to 20.
_CLEAR_POWER = 40.0
#: Spots that are looked at for harmonics, the most harmonics, and how far a spot may be from one, in bins.
_SPOT_COUNT = 16
_HARMONICS = 8
_HARMONIC_DISTANCE = 0.6
#: Power of a frequency along the rows, mean over all rows, over that of the frequencies about it.
_HUM_RATIO = 2.0
#: Added to that, over the root of the number of rows: in noise the highest of a hundred frequencies comes to a third.
_RATIO_SCATTER = 12.0
#: Share of its power, above the median, that one wave across the image holds if its phase does not slip.
_HELD_SHARE = 0.5
#: Frequencies on either side of one whose median is its background.
_NEIGHBOURS = 12
#: Lowest frequency along the rows, in cycles per row, that is no slow background.
_LOWEST_FREQUENCY = 3


@dataclass(frozen=True)
class OnePeriod:
    """The strongest wave of an image.

    Attributes
    ----------
    length : float
        Its wavelength in px, of the fundamental if it has harmonics; along the rows where its phase slips between them.
    slips : bool
        Whether its phase slips from row to row.
    """

    length: float
    slips: bool

    def stretched(self, factor: float) -> OnePeriod:
        """Return the wave in an image enlarged by a factor."""
        return OnePeriod(self.length * factor, self.slips)


def strongest_period(image: Tensor) -> OnePeriod | None:
    """Return the strongest wave of an image, None where none stands out of the noise.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Without offsets of its rows and columns.
    """
    plain = standardize(image[None])
    slipping = _slipping(plain[0])
    if slipping is not None:
        return slipping
    spectrum = whitened_power(plain)
    spots = find_spots(spectrum, count=_SPOT_COUNT, lowest=float(_LOWEST_FREQUENCY))
    # not of the whitened power: the background of a block of noise may be taken for much too low by chance
    raw, first = Spectrum(spectrum.power * spectrum.level, spectrum.level), spots.position[:, :1]
    beyond = node_power(raw, first)[0] / ring_power(raw, first)[0].clamp_min(1e-30)
    if float(spots.weight[0, 0]) > _CLEAR_POWER and float(beyond) > _CLEAR_POWER:
        size = torch.tensor(plain.shape[1:], dtype=spots.position.dtype, device=spots.position.device)
        frequency = _fundamental(spots) / size
        return OnePeriod(1 / float(frequency.norm()), slips=False)
    return None


def _fundamental(spots: Spots) -> Tensor:
    """Wave vector, in bins, whose harmonics the strongest spot and all clear ones on its line are."""
    first = spots.position[0, 0]
    clear = spots.position[0, spots.weight[0] > _CLEAR_POWER]
    along = clear @ first / first.square().sum()
    clear, along = (part[(clear - along[:, None] * first).norm(dim=1) < _HARMONIC_DISTANCE] for part in (clear, along))
    for count in range(1, _HARMONICS + 1):
        wave = first / count
        away = (clear - (along * count).round()[:, None] * wave).norm(dim=1)
        if float(wave.norm()) > 2 * _HARMONIC_DISTANCE and bool((away < _HARMONIC_DISTANCE).all()):
            return wave
    return first


def _slipping(image: Tensor) -> OnePeriod | None:
    """The strongest frequency along the rows, None where none stands out or one wave across the image holds it."""
    rows, width = image.shape
    taper = torch.hann_window(width, periodic=False, device=image.device)
    waves = torch.fft.rfft(image * taper)[:, _LOWEST_FREQUENCY:]
    power, along_columns = (_line_power(lines) for lines in (image, image.T))
    if len(power) < 2 * _NEIGHBOURS + 3:
        return None
    around = power.unfold(0, 2 * _NEIGHBOURS + 1, 1)
    # what shines in all directions does so along the columns, too
    frequency = torch.arange(len(power), device=image.device) + _LOWEST_FREQUENCY
    place = (frequency * (rows / width) - _LOWEST_FREQUENCY).round().long().clamp(0, len(along_columns) - 1)
    level = torch.maximum(around.median(1).values, along_columns[place][_NEIGHBOURS : len(power) - _NEIGHBOURS])
    ratio = around[:, _NEIGHBOURS] / level
    best = int(ratio.argmax())
    if float(ratio[best]) < _HUM_RATIO + _RATIO_SCATTER / rows**0.5:
        return None
    best += _NEIGHBOURS
    across = torch.fft.fft(waves[:, best] * torch.hann_window(rows, periodic=False, device=image.device)).abs().square()
    above = (across - across.median() / math.log(2)).clamp_min(0)
    held = float(torch.roll(above, 2 - int(above.argmax()))[:5].sum() / above.sum().clamp_min(1e-12))
    if held > _HELD_SHARE:
        return None
    near = power[best - 1 : best + 2].clamp_min(1e-30).log()
    vertex = float((near[2] - near[0]) / (2 * (2 * near[1] - near[0] - near[2])).clamp_min(1e-6))
    return OnePeriod(width / (best + _LOWEST_FREQUENCY + vertex), slips=True)


def _line_power(lines: Tensor) -> Tensor:
    """Mean power of lines (n, pixels) over their frequencies, from `_LOWEST_FREQUENCY` cycles per line on."""
    taper = torch.hann_window(lines.shape[1], periodic=False, device=lines.device)
    power: Tensor = torch.fft.rfft(lines * taper)[:, _LOWEST_FREQUENCY:].abs().square().mean(0)
    return power

"""How a batch of images is recorded: background and contamination, counting noise, white noise, offsets of lines."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from bravaismap.simulate.batch.draws import Draws, Purpose
from bravaismap.simulate.batch.imaging import deviations, gaussian_profiles, speckles
from bravaismap.simulate.batch.threefry import normal, uniform
from bravaismap.simulate.counts import EXACT_BELOW
from bravaismap.simulate.faults import ADSORBATE_HEIGHT, ADSORBATE_WIDTH, MEMORY
from bravaismap.simulate.instrument import STREAK_HEIGHT, STREAKED
from bravaismap.simulate.windows import PATCH_WIDTH, PATCHES, SLOPE

__all__ = ["correlated_lines", "poisson_counts", "record", "scattered"]

#: Largest probability below which a count is drawn: the 1e-6 of the counts beyond it are drawn as its quantile.
_HIGHEST: Final = 1 - 1e-6
_MOST_COUNTS: Final = 20  # the quantile at `_HIGHEST` of counts of mean `EXACT_BELOW`


def poisson_counts(mean: Tensor, unit: Tensor) -> Tensor:
    """Return Poisson counts, by inversion of their distribution function.

    Below a mean of 6 the inversion is exact but for the highest 1e-6 of the counts; above it is the expansion of
    Cornish and Fisher about the normal law, μ + √μ z + (z² − 1)/6, rounded: with the mean exact, the variance right to
    0.14 and the skewness to leading order.

    Parameters
    ----------
    mean : float32 tensor, shape (n, ...)
        Expected counts of the pixels of n images, not negative.
    unit : float32 tensor of the same shape
        Uniform numbers between −1 and 1.

    Returns
    -------
    float32 tensor of the same shape
    """
    deviate = unit.erfinv().mul_(math.sqrt(2))
    counts = deviate.square().sub_(1).mul_(1 / 6).addcmul_(mean.sqrt(), deviate).add_(mean).round_().clamp_min_(0)
    mean, low = mean.flatten(), (mean.flatten() < EXACT_BELOW).nonzero()[:, 0]
    counts.view(-1).index_copy_(0, low, _inverted(mean[low], unit.flatten()[low]))
    return counts


def _inverted(mean: Tensor, unit: Tensor) -> Tensor:
    """Return counts of a mean up to `EXACT_BELOW`, by inversion of their distribution function.

    It is u e^μ, less the terms μ^k / k! one after another: the count is the number of them that leave a positive rest.
    """
    rest = unit.add(1).mul_(0.5).clamp_max_(_HIGHEST).mul_(mean.exp()).sub_(1)
    power, sign, total = mean.clone(), torch.empty_like(rest), torch.zeros_like(rest)
    for k in range(1, _MOST_COUNTS + 1):
        total += torch.sign(rest, out=sign)
        rest.add_(power, alpha=-1 / math.factorial(k))
        power *= mean
    return total.add_(_MOST_COUNTS).mul_(0.5).floor_()


def correlated_lines(steps: Tensor, memory: Tensor) -> Tensor:
    """Return offsets (n, lines) of mean 0 and standard deviation 1, each correlated with the previous one.

    Parameters
    ----------
    steps : tensor, shape (n, lines)
        Standard normal deviates.
    memory : tensor, shape (n,)
        Correlation of an offset with that of the previous line.
    """
    memory = memory[:, None]
    offsets = torch.cat([steps[:, :1], (1 - memory.square()).sqrt() * steps[:, 1:]], dim=1)
    step = 1
    while step < offsets.shape[1]:
        # after each round an offset holds the steps of twice as many lines
        offsets = torch.cat([offsets[:, :step], offsets[:, step:] + memory**step * offsets[:, :-step]], dim=1)
        step *= 2
    offsets = offsets - offsets.mean(dim=1, keepdim=True)
    return offsets / offsets.std(dim=1, correction=0, keepdim=True).clamp_min(1e-12)


def record(draws: Draws, image: Tensor, film: Tensor | None) -> Tensor:
    """Return what is recorded of images.

    Parameters
    ----------
    draws : Draws
        Of n windows.
    image : float32 tensor, shape (n, side, side)
        The signal of atoms or of a pattern.
    film : float32 tensor of the same shape, or None
        1 in the specimen and 0 in its holes; None without holes.
    """
    side = image.shape[-1]
    background = _background(draws, side)
    image = torch.baddbmm(image, *background) if film is None else torch.bmm(*background).mul_(film).add_(image)
    if part := draws.part("amorphous"):
        rows, those = part
        noise = speckles(those, Purpose.AMORPHOUS, side, those["ring"]).mul_(those.plane("amorphous"))
        added = _masked(noise, None if film is None else film[rows]).add_(image[rows])
        _put(image, rows, added.sub_(added.amin(dim=(1, 2), keepdim=True).clamp_max_(0)))
    if part := draws.part("adsorbates"):
        rows, those = part
        _put(image, rows, _adsorbates(those, side).add_(image[rows]))
    if part := draws.part("inverted"):
        rows, dark = part[0], image[part[0]]
        _put(image, rows, dark.amax(dim=(1, 2), keepdim=True) - dark)
    if part := draws.part("dose"):
        rows, those = part
        mean = image[rows].clamp_min(0).mul_(those.plane("dose"))
        _put(image, rows, poisson_counts(mean, those.signed_field(Purpose.COUNTS, side, side)))
    return _with_noise(draws, image)


def _put(image: Tensor, rows: Tensor | slice, part: Tensor) -> None:
    if isinstance(rows, slice):
        image[rows] = part
    else:
        image.index_copy_(0, rows, part)


def _masked(image: Tensor, film: Tensor | None) -> Tensor:
    return image if film is None else image * film


def _with_noise(draws: Draws, image: Tensor) -> Tensor:
    """Return an image with white noise and with the offsets of its lines; `image` is overwritten."""
    side = image.shape[-1]
    if part := draws.part("noise"):
        rows, those = part
        level = those.plane("noise") * _deviation(image[rows])
        _put(image, rows, those.normal_field(Purpose.NOISE, side, side).mul_(level).add_(image[rows]))
    if part := draws.part("line_noise"):
        rows, those = part
        _put(image, rows, _line_noise(those, image[rows]).add_(image[rows]))
    offsets = (("row_offsets", Purpose.ROW_OFFSETS), ("column_offsets", Purpose.COLUMN_OFFSETS))
    for i, (name, purpose) in enumerate(offsets):
        if part := draws.part(name):
            rows, those = part
            memory = MEMORY[0] + those.units("memory")[:, i] * (MEMORY[1] - MEMORY[0])
            lines = correlated_lines(those.normal_field(purpose, side), memory.to(torch.float32))
            peak = torch.where(those.plane("dose") > 0, those.plane("dose"), 1.0)
            _put(image, rows, image[rows] + lines.unsqueeze(2 - i) * (those.plane(name) * peak))
    if (draws.host_column("enlargement") > 1).any():
        _repeat(draws, image)
    return image


def _repeat(draws: Draws, image: Tensor) -> None:
    """Show part of a coarser scan enlarged, in place, as :func:`bravaismap.simulate.instrument.repeated` does."""
    side = image.shape[-1]
    factor = draws["enlargement"].clamp_min(1).to(torch.int64)[:, None]
    begin = (draws.units("enlargement") * factor).floor().to(torch.int64)
    axis = torch.arange(side, device=image.device)
    rows, columns = (
        torch.div(axis + begin[:, i, None], factor, rounding_mode="floor").mul(factor).sub(begin[:, i, None])
        for i in (0, 1)
    )
    kept = image.gather(1, rows.clamp_min(0)[:, :, None].expand(-1, -1, side))
    image.copy_(kept.gather(2, columns.clamp_min(0)[:, None, :].expand(-1, side, -1)))


def _deviation(image: Tensor) -> Tensor:
    """Return the standard deviation of each image, (n, 1, 1); 1 of a constant one."""
    deviation = deviations(image)
    return torch.where(deviation > 0, deviation, 1.0)


def _background(draws: Draws, side: int) -> tuple[Tensor, Tensor]:
    """Return two factors, (n, side, k) and (n, k, side), whose product is the background with its contamination."""
    axis = torch.linspace(-1, 1, side, device=draws.value.device).expand(len(draws), -1)
    slope = (SLOPE * (2 * draws.units("slope") - 1)).to(torch.float32)
    level = draws.plane("background")[:, 0]
    one = torch.ones_like(axis)
    down, across = (
        torch.stack([level * (1 + slope[:, :1] * axis), one], 1),
        torch.stack([one, level * slope[:, 1:] * axis], 1),
    )
    if draws.any("contamination"):
        unit = draws.units("patches")
        number = ((PATCHES + 1) * unit[:, 0]).floor() * (draws["contamination"] > 0)
        patch = unit[:, 1:].reshape(-1, PATCHES, 4)
        low, high = draws.ends("contamination")
        present = torch.arange(PATCHES, device=unit.device) < number[:, None]
        height = (low[:, None] + patch[..., 3] * (high - low)[:, None]) * present
        width = (PATCH_WIDTH[0] + patch[..., 2] * (PATCH_WIDTH[1] - PATCH_WIDTH[0])) * side
        patches = _profiles(patch[..., :2] * side, height, width, side)
        down, across = torch.cat([down, patches[0]], dim=1), torch.cat([across, patches[1]], dim=1)
    return down.mT, across


def _adsorbates(draws: Draws, side: int) -> Tensor:
    """Return bright adsorbates anywhere in the frame, (n, side, side)."""
    most = int(draws.host_column("adsorbates").max())
    unit = draws.unit_field(Purpose.ADSORBATES, most, 4)
    present = torch.arange(most, device=unit.device) < draws["adsorbates"][:, None]
    height = (ADSORBATE_HEIGHT[0] + unit[..., 2] * (ADSORBATE_HEIGHT[1] - ADSORBATE_HEIGHT[0])) * present
    width = ADSORBATE_WIDTH[0] + unit[..., 3] * (ADSORBATE_WIDTH[1] - ADSORBATE_WIDTH[0])
    return _images(unit[..., :2] * side, height, width * draws["length"][:, None], side)


def _profiles(position: Tensor, height: Tensor, width: Tensor, side: int) -> tuple[Tensor, Tensor]:
    axis, single = torch.arange(side, dtype=torch.float32, device=position.device), torch.float32
    return gaussian_profiles(position.to(single), height.to(single), width.to(single), axis)


def _images(position: Tensor, height: Tensor, width: Tensor, side: int) -> Tensor:
    down, across = _profiles(position, height, width, side)
    return torch.bmm(down.mT, across)


def _line_noise(draws: Draws, image: Tensor) -> Tensor:
    """Return an offset of each scan line, and of some lines a streak from a random px on, (n, side, side)."""
    side = image.shape[-1]
    size = draws.plane("line_noise") * _deviation(image)
    words = draws.words(Purpose.LINE_NOISE, 4 * side).view(len(draws), 4, side, 1)
    start, chance = ((uniform(words[:, i])) for i in (2, 3))
    streak = normal(words[:, 1]) * STREAK_HEIGHT * (chance < STREAKED)
    after = torch.arange(side, device=image.device) >= (start * side).floor()
    return size * (normal(words[:, 0]) + streak * after)


def scattered(unit: Tensor, width: Tensor, number: Tensor, side: int) -> Tensor:
    """Return atoms scattered at random over n images: `unit` (n, most, 3), `width` and `number` (n,)."""
    present = torch.arange(unit.shape[1], device=unit.device) < number[:, None]
    height = (0.5 + unit[..., 2] / 2) * present
    return _images((unit[..., :2] * side).floor(), height, width[:, None].expand_as(height), side)

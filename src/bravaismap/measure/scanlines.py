"""Scan lines: what an instrument does to whole rows or columns, recognised by its signature and undone.

Feedback, drift and pick-up between the lines of a scan give every row a level of its own. Such offsets have no power
but at k_x = 0, and there they have it at all k_y alike; atoms spread theirs over k_x, and a lattice aligned with the
rows has sharp spots there. So rows are levelled if the typical power at k_x = 0 stands above that of the columns of the
spectrum beside it. A lattice aligned with the rows loses its spots on k_x = 0 then, which its other spots imply.

Rows can be displaced, too: see :func:`aligned`.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.compute.order_statistics import lower_median
from bravaismap.measure import settings

__all__ = ["aligned", "leveled"]


def leveled(images: Tensor) -> Tensor:
    """Return images without offsets of their rows and columns; an image that has none is returned as it is.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
        Standardised.

    Returns
    -------
    tensor, shape (n, y, x)
    """
    images = _without_medians(images, _with_offsets(images, 2), 2)
    return _without_medians(images, _with_offsets(images, 1), 1)


def _with_offsets(images: Tensor, dim: int) -> Tensor:
    """Indices of images (n, y, x) whose lines along `dim` have offsets.

    Lines that were never scanned are smooth and show none. Where the waves of a lattice end at such lines, they have
    power at all frequencies across the lines, so that an image with some is asked in the largest part without.
    """
    limits = settings.SETTINGS.scan_lines
    across = _across(images.shape[dim], limits.beside_frequencies, images.device)
    chosen = _uneven(F.linear(images, across).transpose(1, 2) if dim == 2 else across @ images)
    lines = images[chosen] if dim == 2 else images[chosen].transpose(1, 2)
    steps = lines.diff(dim=2).abs().mean(2)
    scanned = steps > limits.least_step * lower_median(steps)[:, None]
    kept = torch.ones_like(chosen, dtype=torch.bool)
    for place in torch.nonzero(~scanned.all(1)).squeeze(1).tolist():
        first, last = _longest_run(scanned[place].tolist())
        if last - first >= limits.fewest_lines:
            kept[place] = len(_uneven((across @ lines[place, first:last].T)[None])) > 0
    return chosen[kept]


def _longest_run(values: list[bool]) -> tuple[int, int]:
    """First of the longest run of true values, and the end of it."""
    best, start = (0, 0), 0
    for place, value in enumerate([*values, False]):
        if not value:
            best, start = max(best, (start, place), key=lambda run: run[1] - run[0]), place + 1
    return best


def _without_medians(images: Tensor, chosen: Tensor, dim: int) -> Tensor:
    """Images of which the chosen ones have no offsets of their lines along `dim`."""
    if len(chosen) == 0:
        return images
    level = images[chosen] - lower_median(images[chosen], dim).unsqueeze(dim)
    spread = level.square().mean((1, 2), keepdim=True).sqrt()
    rounding = settings.SETTINGS.scan_lines.rounding
    return images.index_copy(0, chosen, torch.where(spread > rounding, level, 0.0))


def _uneven(sums: Tensor) -> Tensor:
    """Indices of images with offsets, from the sums along their lines, (n, 1 + 2 · frequencies, lines)."""
    limits = settings.SETTINGS.scan_lines
    taper = torch.hann_window(sums.shape[2], periodic=False, device=sums.device)
    power = torch.fft.rfft((sums - sums.mean(2, keepdim=True)) * taper)[..., limits.slowest_frequency :].abs().square()
    own, beside = power[:, 0], power[:, 1:].mean(1)
    variance = lower_median(own) / (math.log(2) * taper.square().sum())
    # the sums beside k = 0 have a real and an imaginary part, each of half the power
    raised = lower_median(own / (2 * beside).clamp_min(1e-30)) > limits.raised_ratio * math.log(2)
    return torch.nonzero(raised & (variance > limits.least_variance)).squeeze(1)


@functools.cache
def _across(width: int, frequencies: tuple[float, ...], device: torch.device) -> Tensor:
    """Weights of a line's pixels, (1 + 2 · frequencies, width): its tapered mean, and cosines and sines beside it."""
    taper = torch.hann_window(width, periodic=False, device=device)
    phase = (
        2 * torch.pi * torch.arange(width, device=device) / width * torch.tensor(frequencies, device=device)[:, None]
    )
    waves = torch.cat([torch.ones(1, width, device=device), phase.cos(), phase.sin()])
    return waves * (taper / taper.sum())


def aligned(image: Tensor) -> Tensor:
    """Return an image whose rows are shifted so that each continues those above it: without line-to-line jitter.

    Rows follow one another closer than atoms do, so neighbouring rows show the same atoms. Each row is moved by the
    shift at which it correlates best with a fading mean of the rows above, a random walk of small steps. What varies
    over more rows than `slow_rows` (see ``settings``) is left as it is: there a slanted row of atoms and a drift look
    the same.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    shift = _row_shifts(image)
    width = image.shape[1]
    phase = 2 * torch.pi * torch.fft.rfftfreq(width, device=image.device) * shift[:, None]
    moved: Tensor = torch.fft.irfft(torch.fft.rfft(image) * torch.complex(phase.cos(), phase.sin()), n=width)
    return moved


def _row_shifts(image: Tensor) -> Tensor:
    """Shift of each row in px, (rows,), at which it continues those above it."""
    count, width = image.shape
    limits = settings.SETTINGS.scan_lines
    taper = torch.hann_window(width, periodic=False, device=image.device)
    rows = torch.fft.rfft((image - image.mean(1, keepdim=True)) * taper)[:, 2:]
    frequency = torch.fft.rfftfreq(width, device=image.device)[2:]
    power = rows.abs().square()
    noise = torch.maximum(power.median() / math.log(2), limits.least_noise * power.mean()).clamp_min(1e-20)
    steps = torch.arange(-limits.reach, limits.reach + limits.resolution, limits.resolution, device=image.device)
    phase = 2 * torch.pi * steps[:, None] * frequency
    wave, turn = torch.complex(phase.cos(), phase.sin()), 2j * torch.pi * frequency
    prior = -0.5 * (steps / limits.jitter).square()
    shift = torch.zeros(count, device=image.device)
    above, weight = rows[0], 1.0
    for row in range(1, count):
        moved = rows[row] * torch.exp(turn * shift[row - 1])
        score = (wave @ (moved * above.conj())).real / (noise * weight) + prior
        best = int(score.argmax().clamp(1, len(steps) - 2))
        before, middle, after = score[best - 1 : best + 2]
        vertex = (0.5 * (before - after) / (before - 2 * middle + after).clamp_max(-1e-6)).clamp(-0.5, 0.5)
        step = steps[best] + vertex * limits.resolution
        shift[row] = shift[row - 1] + step
        above = limits.row_memory * above + moved * torch.exp(turn * step)
        weight = limits.row_memory * weight + 1
    return _fast(shift, limits.slow_rows)


def _fast(shift: Tensor, slow_rows: int) -> Tensor:
    """Part of a shift that varies over fewer rows than `slow_rows`; beyond its ends it goes on as a straight line."""
    half = min(slow_rows, len(shift)) // 2
    before = 2 * shift[0] - shift[1 : half + 1].flip(0)
    after = 2 * shift[-1] - shift[-half - 1 : -1].flip(0)
    padded = torch.cat([before, shift, after])
    return shift - F.avg_pool1d(padded[None, None], 2 * half + 1, stride=1)[0, 0]

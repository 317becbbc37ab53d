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

__all__ = ["aligned", "leveled"]

#: Power at k = 0 across the lines, over that beside it, from which on the lines are levelled. The ratio scatters by a
#: quarter in white noise of 128 lines.
_RAISED = 2.5
#: Variance of white offsets over that of the image, below which they are no matter: smooth images leak as much.
_LEAST = 1e-4
#: Standard deviation, in units of the image's, below which what is left is rounding and no image.
_ROUNDING = 1e-5
#: Frequencies across the lines, in bins, beside k = 0: outside the line of the Hann taper.
_BESIDE = (3.0, 4.0, 5.0, 6.0)
#: Frequencies along the profile, in bins, below which what varies is background and not line offsets.
_SLOWEST = 4
#: Largest step between neighbouring rows that is looked for, its resolution and its usual size, in px.
_REACH = 4.0
_STEP = 0.25
_JITTER = 0.4
#: Least noise of the rows' waves, as a share of their mean power, where most rows are empty or noise-free.
_QUIETEST = 1e-4
#: What a row still counts for the row after next, and the rows over which what varies is left.
_FADING = 0.7
_SLOW_ROWS = 97


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
    rows = _uneven((images @ _across(images.shape[2], images.device)).transpose(1, 2))
    images = _without_medians(images, rows, 2)
    columns = _uneven(_across(images.shape[1], images.device).T @ images)
    return _without_medians(images, columns, 1)


def _without_medians(images: Tensor, chosen: Tensor, dim: int) -> Tensor:
    if len(chosen) == 0:
        return images
    level = images[chosen] - images[chosen].median(dim, keepdim=True).values
    spread = level.square().mean((1, 2), keepdim=True).sqrt()
    return images.index_copy(0, chosen, torch.where(spread > _ROUNDING, level, 0.0))


def _uneven(sums: Tensor) -> Tensor:
    """Which images have offsets, from the sums along their lines, (n, 1 + 2 · frequencies, lines), of `_across`."""
    taper = torch.hann_window(sums.shape[2], periodic=False, device=sums.device)
    power = torch.fft.rfft((sums - sums.mean(2, keepdim=True)) * taper)[..., _SLOWEST:].abs().square()
    own, beside = power[:, 0], power[:, 1:].mean(1)
    variance = own.median(1).values / (math.log(2) * taper.square().sum())
    # the sums beside k = 0 have a real and an imaginary part, each of half the power
    raised = (own / (2 * beside).clamp_min(1e-30)).median(1).values > _RAISED * math.log(2)
    return torch.nonzero(raised & (variance > _LEAST)).squeeze(1)


@functools.cache
def _across(width: int, device: torch.device) -> Tensor:
    """Weights of a line's pixels, (width, 1 + 2 · frequencies): its tapered mean, and cosines and sines beside it."""
    taper = torch.hann_window(width, periodic=False, device=device)
    phase = 2 * torch.pi * torch.arange(width, device=device)[:, None] / width * torch.tensor(_BESIDE, device=device)
    waves = torch.cat([torch.ones(width, 1, device=device), phase.cos(), phase.sin()], dim=1)
    return waves * (taper / taper.sum())[:, None]


def aligned(image: Tensor) -> Tensor:
    """Return an image whose rows are shifted so that each continues those above it: without line-to-line jitter.

    Rows follow one another closer than atoms do, so neighbouring rows show the same atoms. Each row is moved by the
    shift at which it correlates best with a fading mean of the rows above, a random walk of small steps. What varies
    over more rows than `_SLOW_ROWS` is left as it is: there a slanted row of atoms and a drift look the same.

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
    count, width = image.shape
    taper = torch.hann_window(width, periodic=False, device=image.device)
    rows = torch.fft.rfft((image - image.mean(1, keepdim=True)) * taper)[:, 2:]
    frequency = torch.fft.rfftfreq(width, device=image.device)[2:]
    power = rows.abs().square()
    noise = torch.maximum(power.median() / math.log(2), _QUIETEST * power.mean()).clamp_min(1e-20)
    steps = torch.arange(-_REACH, _REACH + _STEP, _STEP, device=image.device)
    phase = 2 * torch.pi * steps[:, None] * frequency
    wave, turn = torch.complex(phase.cos(), phase.sin()), 2j * torch.pi * frequency
    prior = -0.5 * (steps / _JITTER).square()
    shift = torch.zeros(count, device=image.device)
    above, weight = rows[0], 1.0
    for row in range(1, count):
        moved = rows[row] * torch.exp(turn * shift[row - 1])
        score = (wave @ (moved * above.conj())).real / (noise * weight) + prior
        best = int(score.argmax().clamp(1, len(steps) - 2))
        before, here, after = score[best - 1 : best + 2]
        vertex = (0.5 * (before - after) / (before - 2 * here + after).clamp_max(-1e-6)).clamp(-0.5, 0.5)
        step = steps[best] + vertex * _STEP
        shift[row] = shift[row - 1] + step
        above = _FADING * above + moved * torch.exp(turn * step)
        weight = _FADING * weight + 1
    return _fast(shift)


def _fast(shift: Tensor) -> Tensor:
    """What varies over fewer rows than `_SLOW_ROWS`, (rows,); beyond the ends the shift goes on as a straight line."""
    half = min(_SLOW_ROWS, len(shift)) // 2
    before = 2 * shift[0] - shift[1 : half + 1].flip(0)
    after = 2 * shift[-1] - shift[-half - 1 : -1].flip(0)
    padded = torch.cat([before, shift, after])
    return shift - F.avg_pool1d(padded[None, None], 2 * half + 1, stride=1)[0, 0]

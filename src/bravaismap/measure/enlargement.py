"""Enlargement: scans that were shown larger than they were measured, every pixel repeated.

Repeated pixels add replicas of every wave about the frequencies of the pixel grid, among which another lattice can be
found. Such an image is brought back to its own resolution, and what is measured there is scaled up again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bravaismap.measure import settings
from bravaismap.measure.interpolation import own_scans

__all__ = ["Native", "enlarged", "is_enlarged", "native"]

#: Pixels along each line of an image that are compared first: where noise makes these differ, none are repeated.
_FIRST_LINES: Final = 4


@dataclass(frozen=True)
class Native:
    """An image in its own resolution.

    Attributes
    ----------
    image : tensor, shape (y, x)
        One pixel of each that was repeated.
    repeated : (float, float)
        Pixels of what was given in one of these along y and x, on average: how often each was repeated, 1 if it was
        not.
    """

    image: Tensor
    repeated: tuple[float, float]

    def refined(self, side: int) -> Native:
        """Return the image interpolated (cubic convolution) by a whole number to a side or more, without replicas."""
        shortest = min(self.image.shape)
        if shortest >= side:
            return self
        times = -(-side // shortest)
        finer = F.interpolate(self.image[None, None].float(), scale_factor=times, mode="bicubic")[0, 0]
        return Native(finer, (self.repeated[0] / times, self.repeated[1] / times))


def is_enlarged(image: NDArray[np.floating]) -> bool:
    """Return whether the pixels of an image (y, x) are repeated evenly, or others interpolated between them."""
    pixels = np.ascontiguousarray(image, np.float32)
    return native(torch.from_numpy(pixels)).repeated != (1.0, 1.0) or bool(own_scans(pixels.astype(float), 1))


def enlarged(images: Tensor) -> Tensor:
    """Return the indices of the images (n, y, x) whose pixels are repeated evenly."""
    least = 1 - 1 / settings.SETTINGS.enlargement.least_repetition
    down = (images[:, 1:, :_FIRST_LINES] == images[:, :-1, :_FIRST_LINES]).all(2).float().mean(1)
    across = (images[:, :_FIRST_LINES, 1:] == images[:, :_FIRST_LINES, :-1]).all(1).float().mean(1)
    rows = torch.nonzero(torch.maximum(down, across) >= 0.5 * least).squeeze(1)
    repeated = [row for row in rows.tolist() if native(images[row]).repeated != (1.0, 1.0)]
    return torch.tensor(repeated, dtype=torch.long, device=images.device)


def native(image: Tensor) -> Native:
    """Return an image in its own resolution: as it is, unless all of its pixels are repeated evenly.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    rows, repeated_y = _kept(image)
    columns, repeated_x = _kept(image.T)
    if (repeated_y, repeated_x) == (1.0, 1.0):
        return Native(image, (1.0, 1.0))
    return Native(image[rows][:, columns], (repeated_y, repeated_x))


def _kept(image: Tensor) -> tuple[Tensor, float]:
    """First of each run of equal lines, and the mean length of the runs (all lines and 1 if these are uneven)."""
    enlargement, count = settings.SETTINGS.enlargement, len(image)
    every = torch.arange(count, device=image.device)
    differ = int((image[1:, :_FIRST_LINES] != image[:-1, :_FIRST_LINES]).any(1).sum())
    if (1 + differ) * enlargement.least_repetition > count:
        return every, 1.0
    first = torch.ones(count, dtype=torch.bool, device=image.device)
    first[1:] = (image[1:] != image[:-1]).any(1)
    starts = torch.nonzero(first).squeeze(1)
    if len(starts) < enlargement.fewest_pixels or len(starts) * enlargement.least_repetition > count:
        return every, 1.0
    runs = starts[2:] - starts[1:-1]  # the first and the last one may be cut
    if int(runs.max() - runs.min()) > 1:
        return every, 1.0
    return starts, float(starts[-1] - starts[1]) / (len(starts) - 2)

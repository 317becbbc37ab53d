"""Straightening: an image of a crystal that is known to be straight, without the distortion of its scan.

What the crystal is displaced by, smoothly and from line to line, is where the scan was not where it should have been:
each pixel of the straight image is read where the crystal says that it lies.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from skimage.restoration import unwrap_phase
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.local.displacement import Locked
from bravaismap.local.sites import continued
from bravaismap.local.smoothing import interpolation

__all__ = ["continuous_displacement", "line_displacements", "read_where"]

_ROUNDS = 8


def continuous_displacement(locked: Locked, shape: tuple[int, int]) -> Floats:
    """Return the displacement (y, x) in px of a crystal at every pixel, (y, x, 2), without jumps by lattice vectors.

    Parameters
    ----------
    locked : Locked
    shape : tuple of int
        Of the image (y, x).

    References
    ----------
    M. A. Herráez et al., Appl. Opt. 41, 7437 (2002), doi:10.1364/AO.41.007437, who unwrap by reliability.
    """
    phase = 2 * np.pi * continued(locked).shift.double().cpu().numpy()
    wrapped = np.angle(np.exp(1j * phase))
    turns = [unwrap_phase(wrapped[..., i]) for i in (0, 1)]  # type: ignore[no-untyped-call]
    fraction = torch.from_numpy(np.stack(turns, -1) / (2 * np.pi))
    down, right = (
        interpolation(torch.arange(length).double(), locked.waves.step, fraction.shape[axis])
        for axis, length in enumerate(shape)
    )
    fine = torch.einsum("yi,ijc,xj->yxc", down, fraction, right)
    return np.asarray((fine @ locked.waves.basis.double()).numpy())


def line_displacements(left: Tensor, pattern: Tensor, weight: Tensor) -> Floats:
    """Return how far each line of a scan is displaced beside its neighbours, (y, 2) in px, (y, x) last.

    Parameters
    ----------
    left : tensor, shape (y, x)
        Image less background and pattern.
    pattern : tensor, shape (y, x)
        What the crystal predicts, its smooth displacement included.
    weight : tensor, shape (y, x)
        How much each pixel counts, 0 to 1.

    Notes
    -----
    Least squares of ``left = −δ · ∇pattern`` in each line, shrunk towards 0 by how much of it is chance.
    """
    slope = torch.stack(torch.gradient(pattern), -1)
    bend = torch.einsum("yxi,yxj,yx->yij", slope, slope, weight)
    score = -torch.einsum("yxi,yx,yx->yi", slope, left, weight)
    mean = bend.mean(0)
    bend = bend + 1e-3 * mean.diagonal().mean() * torch.eye(2).to(bend)
    lines = torch.linalg.solve(bend, score)
    noise = left + torch.einsum("yxi,yi->yx", slope, lines)
    variance = float((weight * noise**2).sum() / weight.sum().clamp_min(1.0))
    chance = variance * torch.linalg.inv(bend).diagonal(dim1=-2, dim2=-1).mean(0)
    lines = lines - lines.median(0).values
    real = (1 - chance / lines.square().mean(0).clamp_min(1e-30)).clamp(0.0, 1.0)
    return np.asarray((lines * real).double().cpu().numpy())


def read_where(image: Floats, displacement: Floats, places: Floats) -> Floats:
    """Return an image as it is where a crystal is displaced to, at places of the straight crystal.

    Parameters
    ----------
    image : array, shape (y, x)
    displacement : array, shape (y, x, 2)
        In px, of what is seen at each pixel.
    places : array, shape (rows, columns, 2)
        (y, x) in px; NaN is returned where they lie outside of the image.
    """
    at = np.moveaxis(places, -1, 0)
    seen = at
    for _ in range(_ROUNDS):  # r = R + u(r)
        seen = at + np.stack([map_coordinates(displacement[..., i], seen, order=1, mode="nearest") for i in (0, 1)])
    values = map_coordinates(image, seen, order=3, mode="nearest")
    size = np.array(image.shape)[:, None, None]
    inside = ((seen > -0.5) & (seen < size - 0.5)).all(0)
    return np.asarray(np.where(inside, values, np.nan))

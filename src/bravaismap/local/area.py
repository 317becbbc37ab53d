"""Area: the share of a frame that each phase covers, with its error, from the probabilities of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.errors import InputError

__all__ = ["BOUNDARY", "AreaFraction", "area_fraction", "points_together"]

#: Standard deviation, in cells, with which the position of a whole boundary is known: where an edge of atoms ends is a
#: convention to that much, and all of a boundary errs the same way.
BOUNDARY = 0.1


@dataclass(frozen=True)
class AreaFraction:
    """Share of the valid frame that each class covers.

    Attributes
    ----------
    fraction, fraction_std : tensors, shape (classes,)
    """

    fraction: Tensor
    fraction_std: Tensor


def area_fraction(
    probability: Tensor, seen: Tensor, label: Tensor, classes: int, cell: float, fine: float, step: int
) -> AreaFraction:
    """Return the share of a frame that each class covers.

    Parameters
    ----------
    probability : tensor, shape (lattices + 1, rows, columns)
        Of each lattice and of none last, at every `step`-th pixel.
    seen : tensor, shape (rows, columns)
        0 for masked points.
    label : tensor, shape (lattices + 1,)
        Class of each of them.
    classes : int
    cell, fine : float
        Side of the cell, and standard deviation of the Gaussian of the amplitude, in px.
    step : int

    Returns
    -------
    AreaFraction

    Raises
    ------
    InputError
        If no point is valid.

    Notes
    -----
    What a pixel is, is known as ``p (1 − p)`` says; pixels of one cell, or one Gaussian, err together, others are
    independent: ``var = Σ p (1 − p) n / N²`` with n the points that err together. The length of the boundary of a class
    is ``∫ |∇p|``; all of it may lie `BOUNDARY` off.
    """
    counted = (seen > 0).to(probability)
    total = counted.sum()
    if float(total) == 0:
        raise InputError("all pixels of the frame are masked; expected some that count")
    everywhere = probability.new_zeros((classes, *probability.shape[1:])).index_add_(0, label, probability)
    merged = everywhere * counted
    fraction = merged.sum((1, 2)) / total
    together = points_together(cell, fine, step)
    spread = (merged * (1 - merged).clamp_min(0) * counted).sum((1, 2)) * together / total**2
    # where the measured part of the frame ends is no boundary
    down = torch.nn.functional.pad(torch.diff(everywhere, dim=1) * counted[1:] * counted[:-1], (0, 0, 0, 1))
    right = torch.nn.functional.pad(torch.diff(everywhere, dim=2) * counted[:, 1:] * counted[:, :-1], (0, 1))
    length = torch.hypot(down, right).sum((1, 2))  # in points of the grid, as the area is
    shifted = length * BOUNDARY * cell / step / total
    return AreaFraction(fraction, (spread + shifted**2).sqrt())


def points_together(cell: float, fine: float, step: int) -> float:
    """Return how many points of a grid err together: those of one cell, or of one Gaussian of the amplitude.

    Parameters
    ----------
    cell, fine : float
        Side of the cell, and standard deviation of the Gaussian, in px.
    step : int
        Pitch of the grid in px.
    """
    return max(cell**2, 4 * torch.pi * fine**2) / step**2

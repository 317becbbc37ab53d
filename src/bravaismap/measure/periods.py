"""Periods: whether waves repeat in two independent directions, as a lattice does, or in one, as fringes do.

Fringes, mains hum, the read-out columns of a camera and rows of a scan have one wave vector with its harmonics. A
search always finds a second, chance one. What parts them from a lattice is the evidence of all waves off the strongest
line through the centre of the spectrum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.measure import settings

__all__ = ["both_ways", "off_line"]


def both_ways(gain: Tensor, order: Tensor) -> Tensor:
    """Return the evidence of a lattice, bounded by what its second direction gives.

    Parameters
    ----------
    gain : tensor, shape (n, nodes)
        Evidence of each node.
    order : tensor, shape (n, nodes, 2)
        Their indices (h, k).

    Returns
    -------
    tensor, shape (n,)
    """
    factor = settings.SETTINGS.evidence.second_period_factor
    return torch.minimum(gain.sum(-1), factor * off_line(gain, order))


def off_line(gain: Tensor, order: Tensor) -> Tensor:
    """Return the evidence of the nodes that are not on the strongest line through the centre, (n,)."""
    h, k = order.unbind(-1)
    collinear = (h[:, :, None] * k[:, None] - k[:, :, None] * h[:, None]).abs() < 0.5
    line: Tensor = (gain[:, None] @ collinear.to(gain.dtype))[:, 0].amax(-1)
    return gain.sum(-1) - line

"""Edges: strain where a crystal ends, at an edge of the frame, a void or another grain.

The Gaussian in which a displacement is measured is cut there and sees a part of it alone, whose centre is not the point
that is asked: it moves less than the point does, so that the slope of the displacement is too small.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.compute.together import Length, number
from bravaismap.local.displacement import Locked
from bravaismap.local.smoothing import smoothed
from bravaismap.local.strain import displacement_gradient, grid_slopes, strain, strain_std

__all__ = ["edge_gradient"]

#: Smallest smoothed share of a crystal for which its centre is looked for, and the least that the centre moves with the
#: point: it is 1 inside and 1 − 2/π at a straight edge.
_LEAST_SHARE, _NARROWEST = 0.02, 0.2
#: Share of the crystal from which a pixel is a part of it.
_OWN = 0.5


def edge_gradient(locked: Locked, share: Tensor, sigma: float | Length) -> tuple[Tensor, Tensor]:
    """Return the gradient of the displacement up to the edges of a crystal, and the σ of the strain that it is.

    Parameters
    ----------
    locked : Locked
        Locked with the noise density of the frame.
    share : tensor, shape (y, x)
        How much each pixel belongs to the crystal, 0 to 1.
    sigma : float or Length
        Standard deviation of the Gaussian of the demodulation in px.

    Returns
    -------
    gradient : tensor, shape (rows, columns, 2, 2)
        ``∂u_i / ∂r_j`` in the order (y, x).
    std : tensor, shape (rows, columns, 4)
        σ of exx, eyy, exy and the rotation: that of the noise, and what the strain changes from the point to the
        centre of what is seen.
    """
    step = locked.waves.step
    centre, away = _centre(share, sigma, step)
    # a uniform strain moves what is seen as it moves its centre, whatever the pitch of the grid
    inverse = _inverse(grid_slopes([torch.diff(centre, dim=axis) for axis in (0, 1)], step)).to(share)
    gradient = displacement_gradient(locked) @ inverse
    diagonal = inverse.diagonal(dim1=-2, dim2=-1)
    wider = torch.stack([diagonal[..., 1], diagonal[..., 0], diagonal.mean(-1), diagonal.mean(-1)], -1)
    way = (inverse @ away.to(share)[..., None])[..., 0]  # the centre comes from there on its way to where it is
    change = _change_over(strain(gradient), way / step)
    return gradient, torch.hypot(strain_std(locked, number(sigma)) * wider, change)


def _change_over(values: Tensor, way: Tensor) -> Tensor:
    """How much a field (rows, columns, n) changes over a way (rows, columns, 2) in points of its grid."""
    slopes = [
        torch.gradient(values, dim=axis)[0] if values.shape[axis] > 1 else torch.zeros_like(values) for axis in (0, 1)
    ]
    return slopes[0] * way[..., :1] + slopes[1] * way[..., 1:]


def _centre(share: Tensor, sigma: float | Length, step: int) -> tuple[Tensor, Tensor]:
    """Centres of what the Gaussian around each point of the grid sees, and the way to them, (rows, columns, 2), px."""
    y, x = (torch.arange(length, device=share.device, dtype=torch.float64) for length in share.shape)
    own = (share > _OWN).double()
    total, *moments = smoothed(torch.stack([own, own * y[:, None], own * x]), sigma, step)
    grid = torch.meshgrid(*(step * torch.arange(count).to(y) for count in total.shape), indexing="ij")
    seen = total > _LEAST_SHARE
    centre = [
        torch.where(seen, moment / total.clamp_min(_LEAST_SHARE), point)
        for moment, point in zip(moments, grid, strict=True)
    ]
    return torch.stack(centre, -1), torch.stack(centre, -1) - torch.stack(grid, -1)


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of matrices (..., 2, 2) near symmetric ones, whose stretches count as _NARROWEST at least."""
    (yy, yx), (xy, xx) = (row.unbind(-1) for row in matrix.unbind(-2))
    turn = torch.atan2(xy - yx, yy + xx)
    c, s = turn.cos(), turn.sin()
    back = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], -2)
    (yy, yx), (_, xx) = (row.unbind(-1) for row in (back @ matrix).unbind(-2))
    half = torch.hypot((yy - xx) / 2, yx)
    high, low = (1 / ((yy + xx) / 2 + sign * half).clamp_min(_NARROWEST) for sign in (1.0, -1.0))
    mean, part = (high + low) / 2, (high - low) / 2 / half.clamp_min(1e-12)
    rows = [torch.stack([mean + part * (yy - xx) / 2, part * yx], -1)]
    rows.append(torch.stack([part * yx, mean - part * (yy - xx) / 2], -1))
    return torch.stack(rows, -2) @ back

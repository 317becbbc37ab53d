"""Strain and rotation of a crystal at every point, with their errors, from how its displacement changes.

Geometric phase analysis with all nodes at once and the averaged cell of the crystal itself as the reference:
M. J. Hÿtch, E. Snoeck, R. Kilaas, Ultramicroscopy 74, 131 (1998), doi:10.1016/S0304-3991(98)00035-7.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bravaismap.local.displacement import Locked

__all__ = ["COMPONENTS", "displacement_gradient", "grid_slopes", "strain", "strain_std"]

#: What the last axis of :func:`strain` holds.
COMPONENTS = ("exx", "eyy", "exy", "rotation")


def displacement_gradient(locked: Locked) -> Tensor:
    """Return the gradient of the displacement, ``∂u_i / ∂r_j``, (rows, columns, 2, 2) with i, j in the order (y, x).

    Parameters
    ----------
    locked : Locked

    Notes
    -----
    Differences of fourth order between points of the grid, half a Gaussian apart: what the Gaussian lets pass, they do.
    The displacement is known modulo the lattice, so neighbours are taken to differ by less than half a cell.
    """
    changes = [torch.diff(locked.shift, dim=axis) for axis in (0, 1)]
    slope = grid_slopes([change - change.round() for change in changes], locked.waves.step)
    return torch.einsum("yxkj,ki->yxij", slope, locked.waves.basis)


def grid_slopes(changes: Sequence[Tensor], step: int) -> Tensor:
    """Return the slopes of a field on a grid from its changes between neighbours, (rows, columns, components, 2).

    Parameters
    ----------
    changes : sequence of two tensors, shapes (rows − 1, columns, components) and (rows, columns − 1, components)
        Along y and along x.
    step : int
        Pitch of the grid in px.
    """
    parts = []
    for axis, change in enumerate(changes):
        if change.shape[axis] == 0:
            parts.append(change.new_zeros([length + (i == axis) for i, length in enumerate(change.shape)]))
            continue
        along = change.movedim(axis, -1)
        ends = [along[..., :1]] * 2, [along[..., -1:]] * 2
        wide = torch.cat([*ends[0], along, *ends[1]], -1)
        # (8 [f(1) − f(−1)] − [f(2) − f(−2)]) / 12, in terms of the changes between neighbours
        middle = 7 * (wide[..., 1:-2] + wide[..., 2:-1]) - wide[..., :-3] - wide[..., 3:]
        parts.append((middle / (12 * step)).movedim(-1, axis))
    return torch.stack(parts, -1)


def strain(gradient: Tensor) -> Tensor:
    """Return strain and rotation against the mean lattice, (rows, columns, 4), as :data:`COMPONENTS` names them.

    Parameters
    ----------
    gradient : tensor, shape (rows, columns, 2, 2)
        As :func:`displacement_gradient` gives it.

    Returns
    -------
    tensor
        Strains are fractions along x to the right and y down; the rotation is in radians, counter-clockwise as seen on
        the screen.

    Notes
    -----
    The displacement is that of what is seen at r, so the deformation is ``F = (1 − ∂u)⁻¹ = R U``.
    """
    one = torch.eye(2, device=gradient.device, dtype=gradient.dtype)
    deformation = torch.linalg.inv_ex(one - gradient)[0]
    (yy, yx), (xy, xx) = (row.unbind(-1) for row in deformation.unbind(-2))
    turn = torch.atan2(xy - yx, xx + yy)
    c, s = turn.cos(), turn.sin()
    # R = [[c, s], [−s, c]] in (x, y) with y down turns counter-clockwise as seen
    return torch.stack([c * xx - s * yx - 1, s * xy + c * yy - 1, c * xy - s * yy, turn], -1)


def strain_std(locked: Locked, sigma: float | Tensor) -> Tensor:
    """Return the standard deviations of strain and rotation, (rows, columns, 4): the Cramér–Rao bound of the kernel.

    Parameters
    ----------
    locked : Locked
        Locked with the noise density of the frame.
    sigma : float or tensor
        Standard deviation of the Gaussian of the demodulation in px.

    Notes
    -----
    A Gaussian w smooths the displacement: its variance goes with Σ w² = 1 / 4πσ², that of its derivative with
    Σ (∂w)² = 1 / 8πσ⁴, the ratio is 1 / 2σ².
    """
    variance = locked.covariance.diagonal(dim1=-2, dim2=-1) / (2 * sigma**2)
    y, x = variance.unbind(-1)
    mixed = 0.25 * (x + y)
    return torch.stack([x, y, mixed, mixed], -1).clamp_min(0).sqrt()

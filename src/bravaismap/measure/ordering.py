"""Ordering: whether a lattice is the superlattice of a finer one that holds nearly all of its power.

Chemical order, charge density waves and reconstructions multiply the cell of a crystal, but its strongest waves stay
those of the finer lattice. A cell of n finer ones has n times as many nodes; where the ones that the finer lattice has
hold nearly all of the power, and the others still stand out of the noise, both lattices are real.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.measure import settings
from bravaismap.measure.nodes import distinct_power, log_ratio, node_orders
from bravaismap.measure.periods import off_line
from bravaismap.measure.spots import standardize, whitened_power

__all__ = ["finer_lattice"]

#: Highest index of the waves that are looked at, and the largest superlattice, in finer cells (4 × 4).
_HIGHEST_INDEX = 8
_LARGEST_INDEX = 16
#: Share of the power that the waves of the finer lattice must hold. Two atoms in a cell whose scattering differs by
#: half have 90 % of their power there.
_DOMINANT_SHARE = 0.9
#: Least share of the finer lattice's evidence off its strongest line, so that it is no set of fringes.
_OFF_LINE_SHARE = 0.2


def finer_lattice(parts: Iterable[Tensor], basis: Floats) -> NDArray[np.intp] | None:
    """Return the matrix of whole numbers N of a superlattice, basis = N · finer, or None where it is none.

    Parameters
    ----------
    parts : iterable of tensors, shape (n, y, x)
        Parts of one size of an image.
    basis : array, shape (2, 2)
        Of the lattice, rows, columns (y, x), in px.

    Returns
    -------
    int array, shape (2, 2), or None
        The finer lattice, in its reduced basis, is N⁻¹ · basis.
    """
    strength: list[Tensor] = []
    gains: list[Tensor] = []
    order = node_orders(_HIGHEST_INDEX)
    for crops in parts:
        plain = standardize(crops)
        size = torch.tensor(plain.shape[1:], dtype=torch.float32)
        reciprocal = torch.from_numpy(np.linalg.inv(basis).T.astype(np.float32)) * size
        position = (order @ reciprocal).expand(len(plain), -1, -1).to(plain.device)
        spectrum = whitened_power(plain)
        power, seen = distinct_power(spectrum, position)
        gains.append(torch.where(seen, log_ratio(power), 0.0).cpu())
        level = spectrum.level.mean((1, 2), keepdim=False)[:, None]
        above = (power - 1).clamp_min(0) * _level_at(spectrum.level, position) / level
        strength.append(torch.where(seen & (log_ratio(power) > 1), above, 0.0).cpu())
    gain, power = torch.cat(gains).mean(0).clamp_min(0), torch.cat(strength).mean(0)
    best = None
    for change, member in _finer(_HIGHEST_INDEX):
        inside, beyond = gain * member, float((gain * ~member).sum())
        dominant = float((power * member).sum()) > _DOMINANT_SHARE * float(power.sum())
        planar = float(off_line(inside[None], order[None])) > _OFF_LINE_SHARE * float(inside.sum())
        if dominant and planar and beyond > settings.SETTINGS.odds.even_evidence:
            best = change  # the finest one comes last
    if best is None:
        return None
    finer = reduce_basis(np.linalg.solve(best, basis))
    return np.asarray(np.rint(basis @ np.linalg.inv(finer)), np.intp)


def _level_at(level: Tensor, position: Tensor) -> Tensor:
    """Local background at each node, (n, nodes)."""
    _, rows, columns = level.shape
    position = torch.where(position[..., 1:] < 0, -position, position).round()
    row = (position[..., 0] + rows // 2).clamp(0, rows - 1).long()
    column = (position[..., 1] + 1).clamp(0, columns - 1).long()
    return level.flatten(1).gather(1, row * columns + column)


@functools.cache
def _finer(highest: int) -> list[tuple[Floats, Tensor]]:
    """Matrices of all superlattices by index (Hermite normal form), and which nodes the finer lattice has."""
    order = node_orders(highest).numpy().astype(float)
    found = []
    for index in range(2, _LARGEST_INDEX + 1):
        for first in (d for d in range(1, index + 1) if index % d == 0):
            for shear in range(index // first):
                change = np.array([[first, 0.0], [shear, index // first]])
                node = order @ np.linalg.inv(change).T
                found.append((change, torch.from_numpy((np.abs(node - np.rint(node)) < 1e-6).all(1))))
    return found

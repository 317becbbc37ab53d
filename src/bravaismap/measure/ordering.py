"""Ordering: whether a lattice is the superlattice of a finer one that holds nearly all of its power.

Chemical order, charge density waves and reconstructions multiply the cell of a crystal, but its strongest waves stay
those of the finer lattice. A cell of n finer ones has n times as many nodes; where the ones that the finer lattice has
are much stronger than the others, which still stand out of the noise, both lattices are real. Waves of either kind
become weaker with |k| alike, by the shape of the atoms, so that it is the normalised powers |E|² that are compared, as
crystallographers do who look for pseudo-translations (A. J. C. Wilson, Nature 150, 152 (1942)): the slow modulation of
large atoms has much of the power, and is no reason to miss the lattice that it modulates.
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
from bravaismap.lattice.sublattices import sublattices_to
from bravaismap.measure import settings
from bravaismap.measure.nodes import distinct_power, level_at, log_ratio, node_orders, node_power, streak_power
from bravaismap.measure.periods import off_line
from bravaismap.measure.spots import standardize, whitened_power

__all__ = ["finer_lattice"]

#: Highest index of the waves that are looked at, and the largest superlattice, in finer cells (4 × 4).
_HIGHEST_INDEX = 8
_LARGEST_INDEX = 16
#: Share of the normalised power that the waves of the finer lattice must hold. Two atoms in a cell of which one
#: scatters half as much as the other have 90 % there, a honeycomb two thirds.
_DOMINANT_SHARE = 0.9
#: Widths of the atoms that are tried, as the |k|² at which their power falls by e, over that of the shortest vector of
#: the finer lattice: from blurred atoms to points.
_FALLS = np.geomspace(0.15, 30.0, 24)
#: e to this power can still be divided by.
_LEAST_EXPONENT = -600.0
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
    gains: list[Tensor] = []
    powers: list[Tensor] = []
    levels: list[Tensor] = []
    order = node_orders(_HIGHEST_INDEX)
    for crops in parts:
        plain = standardize(crops)
        size = torch.tensor(plain.shape[1:], dtype=torch.float32)
        reciprocal = torch.from_numpy(np.linalg.inv(basis).T.astype(np.float32)) * size
        position = (order @ reciprocal).expand(len(plain), -1, -1).to(plain.device)
        spectrum = whitened_power(plain)
        distinct, seen = distinct_power(spectrum, position)
        gains.append(torch.where(seen, log_ratio(distinct), 0.0).cpu())
        level = level_at(spectrum, position) / spectrum.level.mean((1, 2))[:, None]
        # what a streak leaves distinct is evidence and no power: without noise the tails of other nodes are a streak
        power, beside = node_power(spectrum, position)[0], streak_power(spectrum, position).clamp_min(1.0)
        powers.append(torch.where(seen, power * level, 0.0).cpu())
        levels.append(torch.where(seen, beside * level, 0.0).cpu())
    gain, strength, noise = (torch.cat(values).mean(0).numpy().astype(float) for values in (gains, powers, levels))
    gain = np.maximum(gain, 0)
    every = order.numpy() @ np.linalg.inv(basis).T
    square = (every**2).sum(1)
    visible = noise > 0
    best = None
    for change, member in _finer(_HIGHEST_INDEX):
        if not member[visible].any():
            continue
        beyond = float(gain[~member].sum())
        if beyond < settings.SETTINGS.odds.even_evidence:
            continue
        inside = torch.from_numpy(gain * member)
        planar = float(off_line(inside[None], order[None].double())) > _OFF_LINE_SHARE * float(inside.sum())
        index = abs(np.linalg.det(change))
        if (
            planar
            and _share(strength[visible], noise[visible], square[visible], member[visible], index) > _DOMINANT_SHARE
        ):
            best = change  # the finest one comes last
    if best is None:
        return None
    finer = reduce_basis(np.linalg.solve(best, basis))
    return np.asarray(np.rint(basis @ np.linalg.inv(finer)), np.intp)


def _share(power: Floats, noise: Floats, square: Floats, member: NDArray[np.bool_], index: float) -> float:
    """Share of the normalised power at the nodes of the finer lattice, at the most likely fall-off with |k|².

    Both kinds of nodes have a mean power of their own times the same exp(−|k|²/f), beside the noise.
    """
    fall = np.exp(np.maximum(-square / (_FALLS[:, None] * square[member].min()), _LEAST_EXPONENT))
    above = power - noise
    means = [max(above[kind].sum(), 0.0) / fall[:, kind].sum(1) for kind in (member, ~member)]
    expected = noise + fall * np.where(member, means[0][:, None], means[1][:, None])
    likely = int((np.log(expected) + power / expected).sum(1).argmin())
    inside, beside = (mean[likely] for mean in means)
    return float(inside / (inside + (index - 1) * beside))


@functools.cache
def _finer(highest: int) -> list[tuple[Floats, NDArray[np.bool_]]]:
    """Matrices of all superlattices by index (Hermite normal form), and which nodes the finer lattice has."""
    order = node_orders(highest).numpy().astype(float)
    changes = [matrix.T for matrix in sublattices_to(_LARGEST_INDEX)]
    nodes = (order @ np.linalg.inv(change).T for change in changes)
    return [(change, (np.abs(node - np.rint(node)) < 1e-6).all(1)) for change, node in zip(changes, nodes, strict=True)]

"""Displacement: the averaged cell of a crystal, where it is displaced to near every point, and the pattern of both.

The displacement is where the averaged cell of the neighbourhood matches that of the whole crystal best, all waves of
its demodulation (:mod:`bravaismap.local.demodulation`) together; the structure factors are the mean of the amplitudes
once it is undone. The predicted pattern has the phases of the neighbourhood and the moduli of the crystal as a whole,
so that a hole does not have a pattern of its own; but where a lattice shows another motif than its averaged cell
(:mod:`bravaismap.local.own_motif`), it is the waves themselves.

Geometric phase analysis (M. J. Hÿtch, E. Snoeck, R. Kilaas, Ultramicroscopy 74, 131 (1998),
doi:10.1016/S0304-3991(98)00035-7) reads the same phases of two nodes at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.local.demodulation import Demodulated, phase_factor
from bravaismap.local.smoothing import pixel_interpolation

__all__ = ["Locked", "lock", "locked_basis", "predicted"]

#: Trial displacements along each vector of the cell, per order of the highest node.
_TRIALS = 4
#: Turns of finding the motif by the displacement and the displacement by the motif: from nothing, and from a
#: displacement that is nearly right.
_TURNS, _TURNS_LEFT = 4, 2
_NEWTON_STEPS = 3
#: Power of the coherence with which a place counts for the moduli: they are those of where the crystal is best.
_BEST = 3.0
#: A node whose mean wave is within so many standard deviations of nothing is left out.
_SIGNIFICANT = 3.0
#: Smaller over larger eigenvalue below which single precision cannot tell a matrix from one of rank 1.
_SINGULAR = 2.4e-7
#: Points of the grid along the side of a part of the image whose pattern is one product.
_POINTS = 4


@dataclass(frozen=True)
class Locked:
    """A crystal as an averaged cell and where it is displaced to.

    Attributes
    ----------
    waves : Demodulated
    structure : tensor, shape (nodes,), complex
        Structure factors of the averaged motif, in the unit of the image; 0 where a node holds nothing.
    shift : tensor, shape (rows, columns, 2)
        Displacement in fractions of the two vectors of the basis, between 0 and 1: modulo the lattice.
    covariance : tensor, shape (rows, columns, 2, 2)
        Of the displacement (y, x), px².
    coherence : tensor, shape (rows, columns)
        Amplitude of the averaged motif nearby: 1 in the crystal.
    own : bool tensor, shape (rows, columns), optional
        Where the motif is that of the neighbourhood; nowhere when not given.
    """

    waves: Demodulated
    structure: Tensor
    shift: Tensor
    covariance: Tensor
    coherence: Tensor
    own: Tensor | None = None


def lock(
    waves: Demodulated, noise: Tensor | None = None, near: Locked | None = None, highest: int | None = None
) -> Locked:
    """Find the averaged cell of a crystal and the displacement that matches the neighbourhood of every point with it.

    Parameters
    ----------
    waves : Demodulated
    noise : tensor, shape (nodes,), optional
        Spectral density of the noise at each node: the variance of a pixel if it is white. 1 when not given; the
        covariance is then in its unit.
    near : Locked, optional
        The same crystal as it was found before, in a basis and with shares of the pixels that differ a little; the
        search begins there.
    highest : int, optional
        Highest index of the nodes; the device is asked for it when not given.

    Returns
    -------
    Locked

    Notes
    -----
    The displacement maximises ``Σ_k Re[conj(F_k) A_k exp 2πi g_k·u] / S_k``, the log likelihood of the neighbourhood:
    every node counts by its signal over its noise, no phase is unwrapped, and motifs that hide some of the nodes do no
    harm. Trial displacements throughout the cell come first, Newton's method after.
    """
    amplitude = waves.amplitude.flatten(1)
    weight = waves.weight.flatten()
    density = amplitude.real.new_ones(len(amplitude)) if noise is None else noise.to(amplitude.real.dtype)
    density = density.clamp_min(1e-12 * density.max() + 1e-30)
    trials = _TRIALS * max(1, int(waves.order.abs().max()) if highest is None else highest)
    if near is not None and near.shift.shape[:2] == waves.weight.shape and near.waves.step == waves.step:
        shift, coherence = _moved(near, waves.basis), near.coherence.flatten()
        turns = _TURNS_LEFT
    else:
        start = ((amplitude.abs() ** 2 / density[:, None]).sum(0) * weight.clamp_max(1.0)).argmax()
        structure = amplitude.index_select(1, start[None]).squeeze(1)
        shift, coherence = _matched(amplitude, structure, waves.order, density, trials)
        turns = _TURNS
    for _ in range(turns):
        structure, shown = _averaged(amplitude, shift, coherence, weight, waves)
        shift, coherence = _matched(amplitude, structure, waves.order, density, trials, shift)
    structure = torch.where(shown, structure, 0)
    frequency = 2 * torch.pi * waves.frequency
    worth = 2 * structure.abs() ** 2 / density
    information = torch.einsum("k,ki,kj->ij", worth, frequency, frequency)
    covariance = _pseudoinverse(information) * waves.variance[..., None, None]
    shape = waves.weight.shape
    own = None if near is None else near.own
    return Locked(waves, structure, shift.reshape(*shape, 2), covariance, coherence.reshape(shape), own)


def _pseudoinverse(matrix: Tensor) -> Tensor:
    """Pseudoinverse of a positive semidefinite matrix, (2, 2), of which rounding may have left one direction."""
    trace = matrix.diagonal().sum().clamp_min(1e-30)
    (yy, yx), (_, xx) = (matrix / trace).unbind()
    determinant = yy * xx - yx**2  # the product of the eigenvalues, whose sum is 1
    inverse = torch.stack([xx, -yx, -yx, yy]).reshape(2, 2) / determinant.clamp_min(_SINGULAR)
    return torch.where(determinant > _SINGULAR, inverse, matrix / trace) / trace


def _moved(locked: Locked, basis: Tensor) -> Tensor:
    """Displacement of a crystal in fractions of another basis, (places, 2): what lies where in the cell stays."""
    rows, columns = (
        locked.waves.step * torch.arange(count, device=basis.device, dtype=basis.dtype)
        for count in locked.shift.shape[:2]
    )
    change = torch.linalg.inv(basis) - torch.linalg.inv(locked.waves.basis)
    moved: Tensor = locked.shift + rows[:, None, None] * change[0] + columns[:, None] * change[1]
    return moved.reshape(-1, 2)


def _matched(
    amplitude: Tensor, structure: Tensor, order: Tensor, density: Tensor, trials: int, shift: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Displacement in fractions of the cell (places, 2), and the amplitude of the averaged motif there (places,).

    The search begins at `shift`, or at the best of `trials` displacements along each vector of the cell.
    """
    product = structure.conj()[:, None] * amplitude / density[:, None]
    if shift is None:
        axis = torch.arange(trials, device=order.device, dtype=order.dtype) / trials
        tried = torch.cartesian_prod(axis, axis)
        score = (phase_factor(tried @ order.mT) @ product).real
        shift = tried[score.argmax(0)]
    turn = 2 * torch.pi * order
    squares = torch.cat([turn**2, turn.prod(-1, keepdim=True)], -1)
    along, across, mixed = squares.mT @ product.abs()
    ridge = 1e-6 * (along + across) + 1e-30
    along, across = along + ridge, across + ridge
    inverse = torch.stack([across, -mixed, -mixed, along]) / (along * across - mixed**2).clamp_min(1e-30)
    inverse = inverse.reshape(2, 2, -1)
    real, imaginary = product.real.contiguous(), product.imag.contiguous()
    for _ in range(_NEWTON_STEPS):
        angle = turn @ shift.mT
        slope = turn.mT @ (real * angle.sin() + imaginary * angle.cos())
        step = (inverse * slope).sum(1).mT
        shift = shift - step.clamp(-0.5 / trials, 0.5 / trials)
    power = (structure.abs() ** 2 / density).sum().clamp_min(1e-30)
    angle = turn @ shift.mT
    return shift % 1.0, (real * angle.cos() - imaginary * angle.sin()).sum(0) / power


def _averaged(
    amplitude: Tensor, shift: Tensor, coherence: Tensor, weight: Tensor, waves: Demodulated
) -> tuple[Tensor, Tensor]:
    """Structure factors once the displacement is undone, and which of them are there at all."""
    aligned = amplitude * phase_factor(waves.order @ shift.mT)
    count = weight * (coherence / coherence.max().clamp_min(1e-30)).clamp(0.0, 1.0) ** _BEST
    total = count.sum().clamp_min(1e-30)
    mean = (aligned * count).sum(-1) / total
    scatter = ((aligned - mean[:, None]).abs() ** 2 * count).sum(-1) / total
    # places of the grid overlap: those that are independent are the ones a Gaussian apart
    area = 1 / waves.variance.flatten().clamp_min(1e-30)
    independent = (total**2 / (count**2).sum().clamp_min(1e-30) * waves.step**2 / lower_nanmedian(area)).clamp_min(1.0)
    return mean, mean.abs() ** 2 > _SIGNIFICANT**2 * scatter / independent


def locked_basis(locked: Locked) -> Tensor:
    """Return the basis of a lattice after its displacement was looked at: the mean strain and rotation go into it.

    Parameters
    ----------
    locked : Locked

    Returns
    -------
    tensor, shape (2, 2)
        In px, rows = vectors (y, x).
    """
    strength = locked.waves.weight * locked.coherence.clamp(0.0, 1.0)
    gradient = []
    for axis in (0, 1):
        count = locked.shift.shape[axis]
        if count < 2:
            gradient.append(locked.shift.new_zeros(2))
            continue
        change = torch.diff(locked.shift, dim=axis)
        change = change - change.round()
        both = strength.narrow(axis, 0, count - 1) * strength.narrow(axis, 1, count - 1)
        both = both**2
        gradient.append((change * both[..., None]).sum((0, 1)) / both.sum().clamp_min(1e-30) / locked.waves.step)
    refined: Tensor = torch.linalg.inv(torch.linalg.inv(locked.waves.basis) - torch.stack(gradient))
    return refined


def predicted(locked: Locked, shape: tuple[int, int], nodes: int | None = None) -> Tensor:
    """Return the pattern that the crystal predicts at every pixel of an image, if it were there.

    Parameters
    ----------
    locked : Locked
    shape : tuple of int
        Of the image (y, x).
    nodes : int, optional
        How many nodes hold anything, at most; the device is asked for it when not given.

    Returns
    -------
    tensor, shape (y, x)
        Of mean 0 over a cell, in the unit of the image.
    """
    empty = locked.structure == 0
    nodes = int((~empty).sum()) if nodes is None else nodes
    shown = torch.argsort(empty.long(), stable=True)[:nodes]
    order, frequency = locked.waves.order[shown], locked.waves.frequency[shown]
    if len(order) == 0:
        return frequency.new_zeros(shape)
    field = locked.structure[shown][:, None, None] * phase_factor(-torch.einsum("ki,yxi->kyx", order, locked.shift))
    if locked.own is not None:
        field = torch.where(locked.own, locked.waves.amplitude[shown], field)
    step, tile = locked.waves.step, _POINTS * locked.waves.step
    sides = []
    for axis, length in enumerate(shape):
        tiles = -(-length // tile)
        near = torch.arange(-1, tiles * _POINTS + 2, device=field.device).clamp(0, field.shape[1 + axis] - 1)
        start = phase_factor(tile * frequency[:, axis, None] * torch.arange(tiles, device=field.device))
        field = field.index_select(1 + axis, near)
        places = torch.arange(tile, device=field.device, dtype=frequency.dtype)
        matrix = pixel_interpolation(range(step, step + tile), step, _POINTS + 3, frequency)
        sides.append((start, phase_factor(frequency[:, axis, None] * places)[..., None] * matrix))
    (down, left), (right, across) = sides
    # each tile with the phase where it begins: (nodes, tiles, y, columns), and then the nodes as the last axis
    lines = left[:, None] @ (field.unfold(1, _POINTS + 3, _POINTS) * down[..., None, None]).mT
    lines = lines.movedim(0, -1).flatten(0, 1)[: shape[0]].contiguous()
    across = torch.einsum("kxp,kb->bpkx", across, right)
    across = 2 * torch.stack([across.real, -across.imag], 3).flatten(1, 3)  # (tiles, points × nodes × 2, x)
    values = 2 * len(frequency)
    windows = torch.view_as_real(lines).flatten(1).unfold(1, (_POINTS + 3) * values, _POINTS * values)
    whole: Tensor = (windows.movedim(1, 0) @ across).movedim(0, 1).flatten(1)[:, : shape[1]]
    return whole

"""Deformation of a crystal at every point, as precise as its counts allow, in a Gaussian that suits the frame.

The displacement near a point is the one at which counts are most likely: ``Σ w I ln μ(r − u)`` for Poisson noise, with
μ the averaged cell and w the Gaussian around the point, all nodes of the lattice at once. A narrow Gaussian is noisy, a
wide one blurs: the frame itself says by how much, since what two of them differ by beyond their noise is blur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.local.amplitude import Noise
from bravaismap.local.demodulation import Locked, demodulate, phase_factor
from bravaismap.local.edges import edge_gradient
from bravaismap.local.sites import averaged_motif, continued
from bravaismap.local.smoothing import pixel_interpolation
from bravaismap.local.strain import strain

__all__ = ["KERNELS", "Deformation", "best_kernel", "likely_displacement", "local_deformation"]

#: Standard deviations of the Gaussians that are tried, in cells.
KERNELS = (0.7, 1.0, 1.5, 2.2, 3.2)
_MOTIF_POINTS = 32
_NEWTON_STEPS = 5
#: Points of the grid per standard deviation of the Gaussian.
_FINENESS = 3
#: Smallest variance of a pixel over the mean variance: the line of the variances is not exact where it is dark.
_LEAST_VARIANCE = 0.05
#: Change of the variance between the darkest and the brightest pixel, over its mean, below which noise counts as even.
_EVEN = 1e-3
#: Share of the lattice from which a place is inside its crystal, and the fewest places that can tell kernels apart.
_INSIDE, _FEWEST = 0.8, 30
#: Quantile that stands for the squares of a frame, so that a core of a dislocation does not decide, and what it is over
#: the mean for the sum of four squares of normal numbers (χ² of 4 degrees of freedom).
_QUANTILE, _OVER_MEAN = 0.8, 1.497


@dataclass(frozen=True)
class Deformation:
    """How a crystal is deformed against its mean lattice, on a grid.

    Attributes
    ----------
    gradient : tensor, shape (rows, columns, 2, 2)
        Of the displacement, ``∂u_i / ∂r_j`` in the order (y, x).
    std : tensor, shape (rows, columns, 4)
        σ of exx, eyy, exy and the rotation.
    displacement_std : tensor, shape (rows, columns, 2)
        σ of the displacement (y, x) in px.
    locked : Locked
        The crystal with the displacement that is most likely, and its covariance.
    sigma : float
        Standard deviation of the Gaussian in px.
    """

    gradient: Tensor
    std: Tensor
    displacement_std: Tensor
    locked: Locked
    sigma: float

    @property
    def step(self) -> int:
        """Pitch of the grid in px."""
        return self.locked.waves.step


def likely_displacement(locked: Locked, noise: Noise, level: float) -> Locked:
    """Return a crystal with the displacement at which the counts are most likely, and the covariance of that.

    Parameters
    ----------
    locked : Locked
        Whose displacement is near.
    noise : Noise
    level : float
        Mean brightness of the crystal, in the unit of the image.

    Notes
    -----
    For a variance v(μ) of a pixel of the expected brightness μ the quasi-likelihood is ``∫ (I − μ) / v(μ) dμ`` (R. W.
    M. Wedderburn, Biometrika 61, 439 (1974), doi:10.1093/biomet/61.3.439), of which the part that changes with the
    displacement is ``Σ w I T(r − u)`` with T = ∫ dμ / v: the brightness itself if the noise is even, its logarithm
    if it is that of counts.
    """
    template, covariance = _template(locked, noise, level)
    product = template.conj()[:, None] * locked.waves.amplitude.flatten(1)
    turn = 2 * torch.pi * locked.waves.order
    shift = locked.shift.reshape(-1, 2)
    for _ in range(_NEWTON_STEPS):
        aligned = product * phase_factor(locked.waves.order @ shift.mT)
        slope = torch.einsum("ki,kr->ri", turn, aligned.imag)
        curve = torch.einsum("ki,kj,kr->rij", turn, turn, aligned.abs())
        ridge = 1e-6 * curve.diagonal(dim1=-2, dim2=-1).sum(-1) + 1e-30
        curve = curve + ridge[:, None, None] * torch.eye(2, device=curve.device, dtype=curve.dtype)
        shift = shift - torch.linalg.solve_ex(curve, slope)[0].clamp(-0.05, 0.05)
    spread = covariance * max(noise.correlation, 1.0) * locked.waves.variance[..., None, None]
    return replace(locked, shift=(shift % 1.0).reshape(locked.shift.shape), covariance=spread)


def _template(locked: Locked, noise: Noise, level: float) -> tuple[Tensor, Tensor]:
    """Structure factors of what the image is compared with, and the covariance of the displacement in unit noise."""
    order, frequency = locked.waves.order, 2 * torch.pi * locked.waves.frequency
    axis = torch.arange(_MOTIF_POINTS).to(order) / _MOTIF_POINTS
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    brightness = level + averaged_motif(locked, places)
    variance = noise.variance(brightness)
    variance = variance.clamp_min(_LEAST_VARIANCE * float(variance.mean()))
    if float(variance.max() - variance.min()) > _EVEN * float(variance.mean()):
        likelihood = variance.log() / noise.slope
    else:
        likelihood = brightness / variance.mean()
    spectrum = torch.fft.fft2(likelihood) / _MOTIF_POINTS**2
    index = order.long() % _MOTIF_POINTS
    template = torch.where(locked.structure.abs() > 0, spectrum[index[:, 0], index[:, 1]], 0)
    wave = phase_factor(torch.einsum("yxi,ki->yxk", places, order))
    of_motif, of_template = (
        -2 * torch.einsum("yxk,ki->yxi", (wave * factors).imag, frequency) for factors in (locked.structure, template)
    )
    bend = torch.einsum("yxi,yxj->ij", of_motif, of_template) / _MOTIF_POINTS**2
    score = torch.einsum("yxi,yxj,yx->ij", of_template, of_template, variance) / _MOTIF_POINTS**2
    inverse = torch.linalg.pinv(bend)
    return template, inverse @ score @ inverse.mT


def local_deformation(
    flat: Tensor, share: Tensor, locked: Locked, noise: Noise, level: float, sigma: float, step: int | None = None
) -> Deformation:
    """Measure the deformation of a crystal at every point of a grid.

    Parameters
    ----------
    flat : tensor, shape (y, x)
        Image without its slow background.
    share : tensor, shape (y, x)
        How much each pixel belongs to the crystal, 0 to 1.
    locked : Locked
        The crystal, whose averaged cell and rough displacement are used.
    noise : Noise
    level : float
        Mean brightness of the crystal.
    sigma : float
        Standard deviation of the Gaussian in px.
    step : int, optional
        Pitch of the grid in px; a third of `sigma` when not given.
    """
    step = step or max(1, int(sigma / _FINENESS))
    waves = demodulate(flat, share, locked.waves.basis, locked.waves.order, sigma, step)
    rough = continued(locked)
    down, right = (
        pixel_interpolation(range(0, step * count, step), rough.waves.step, rough.shift.shape[axis], flat)
        for axis, count in enumerate(waves.weight.shape)
    )
    turns = phase_factor(rough.shift).movedim(-1, 0)
    turns = (down.to(turns.dtype) @ turns @ right.mT.to(turns.dtype)).movedim(0, -1)
    shift, coherence = (torch.angle(turns) / (2 * torch.pi)) % 1.0, torch.ones_like(waves.weight)
    # the averaged cell alone is displaced; where the motif is another one, the share is nothing
    start = replace(locked, waves=waves, shift=shift, coherence=coherence, own=None)
    likely = likely_displacement(start, noise, level)
    gradient, std = edge_gradient(likely, share, sigma)
    return Deformation(
        gradient,
        std,
        likely.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt(),
        likely,
        sigma,
    )


def best_kernel(
    flat: Tensor, share: Tensor, locked: Locked, noise: Noise, level: float, kernels: Sequence[float] = KERNELS
) -> float:
    """Return the standard deviation of the Gaussian, in cells, with the least error of the strain in a frame.

    The parameters are those of :func:`local_deformation`.

    Notes
    -----
    With V(σ) the variance of a slope in a Gaussian of σ, 1 / 8πσ⁴ of that of the displacement, the slopes of two that
    see the same noise have the covariance V at the mean square of their σ. What their difference has beyond is the blur
    of the wider one, to which the narrowest is blind.
    """
    cell = float(torch.linalg.det(locked.waves.basis).abs().sqrt())
    step = max(1, int(min(kernels) * cell / 2))
    fields = [local_deformation(flat, share, locked, noise, level, s * cell, step) for s in kernels]
    weights = torch.stack([field.locked.waves.weight for field in fields])
    inside = weights.amin(0) > _INSIDE  # far from edges, which are no blur
    if int(inside.sum()) < _FEWEST:
        inside = weights[0] > _INSIDE
    if int(inside.sum()) < _FEWEST:
        return float(sorted(kernels)[len(kernels) // 2])
    values = [strain(field.gradient)[inside] for field in fields]
    variances = [float((field.std[inside] ** 2).sum(-1).median()) for field in fields]
    errors = []
    for own, variance, width in zip(values, variances, kernels, strict=True):
        shared = variances[0] * kernels[0] ** 4 / ((width**2 + kernels[0] ** 2) / 2) ** 2
        difference = own - values[0]
        difference = difference - difference.median(0).values  # the mean lattice is the same
        square = float(torch.quantile((difference**2).sum(-1), _QUANTILE)) / _OVER_MEAN
        blur = square - (variance + variances[0] - 2 * shared)
        errors.append(variance + max(blur, 0.0))
    return float(kernels[min(range(len(kernels)), key=errors.__getitem__)])

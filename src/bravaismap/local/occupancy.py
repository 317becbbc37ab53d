"""Occupancy: how much of an atom each site of a frame holds, all sites fitted together, with their errors.

The averaged cell is divided among its sites, so that the crystal is the sum of one piece for each site. The image is
then a slow background plus the pieces, each times the amplitude of its site: 1 for the usual atom, 0 for none. Unlike a
fit in a Gaussian around one site, neighbours do not leak into a vacancy. In counted images the amplitude of a bright
atom is noisier than that of a vacancy, which decides whether both can be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.local.amplitude import Noise
from bravaismap.local.demodulation import phase_factor
from bravaismap.local.displacement import Locked
from bravaismap.local.sites import SitePlaces, averaged_motif
from bravaismap.local.smoothing import smoothed

__all__ = ["Occupancy", "fit_occupancy"]

#: Standard deviation of the Gaussian by which a site claims its surroundings, over the distance to the next site.
_CLAIM = 0.35
#: How far a piece reaches from its site, and standard deviation of the background, in cells.
_REACH, _BACKGROUND = 0.8, 1.0
#: Lattice vectors along each direction whose sites claim a part of the surroundings of one.
_NEIGHBOURS = 3
_ROUNDS = 12
_LEAST_FREEDOM = 0.2
_BRIGHTNESS_BINS = 48
#: Smallest variance of a pixel over the mean variance: the line of the variances is not exact where it is dark.
_LEAST_VARIANCE = 0.05
_MOTIF_POINTS = 32
#: Sites whose pieces are drawn at a time.
_BATCH = 4096


@dataclass(frozen=True)
class Occupancy:
    """What the sites of a frame hold.

    Attributes
    ----------
    amplitude : tensor, shape (sites,)
    vacant_std, occupied_std : tensors, shape (sites,)
        σ of the amplitude if there is no atom, and if there is the usual one.
    background : tensor, shape (sites,)
        What lies under each site above what usually does, over the height of the usual atom: dirt is bright.
    seen : tensor, shape (sites,)
        How much of the piece of each site lies on valid pixels, by its weight.
    """

    amplitude: Tensor
    vacant_std: Tensor
    occupied_std: Tensor
    background: Tensor
    seen: Tensor


@dataclass(frozen=True)
class _Pieces:
    """The pieces of the sites, (sites, side, side), where they lie in the flattened image, and which pixels count."""

    height: Tensor
    index: Tensor
    counted: Tensor

    def drawn(self, amplitude: Tensor, shape: torch.Size) -> Tensor:
        """Sum of the pieces times their amplitudes, as an image."""
        values = (amplitude[:, None, None] * self.height * self.counted).flatten()
        return values.new_zeros(shape.numel()).index_add_(0, self.index.flatten(), values).reshape(shape)

    def at(self, image: Tensor) -> Tensor:
        """The image around each site."""
        return image.flatten()[self.index]


def fit_occupancy(
    image: Tensor, valid: Tensor, crystals: tuple[Locked, ...], places: SitePlaces, noise: Noise, dark: bool = False
) -> Occupancy:
    """Fit the amplitudes of all sites of a frame.

    Parameters
    ----------
    image : tensor, shape (y, x)
    valid : tensor, shape (y, x)
        1 for pixels that count, 0 for masked ones.
    crystals : tuple of Locked
    places : SitePlaces
    noise : Noise
    dark : bool
        Whether atoms are darker than what is between them.

    Returns
    -------
    Occupancy

    Notes
    -----
    Weighted least squares, ``s = Σ h (I − b − Σ′ s′ h′) / v  /  Σ h² / v`` for the piece h of each site, with b the
    background and v the variance of the pixels, solved by turns. With Poisson noise v grows with the brightness, and
    ``var s = α + β s``.
    """
    cell = min(float(torch.linalg.det(one.waves.basis).abs().sqrt()) for one in crystals)
    pieces = _pieces(image, valid, crystals, places, cell, dark)
    usual = torch.ones_like(pieces.height[:, 0, 0])
    whole = pieces.drawn(usual, image.shape)
    amplitude, pattern = usual, whole
    start = noise.variance(0.5 * whole + (image - whole).mean())
    background = _slow(image - whole, valid / start, _BACKGROUND * cell)
    variance = noise.variance(background + 0.5 * whole)
    least = _LEAST_VARIANCE * variance.mean()
    variance = variance.clamp_min(least)
    weight = pieces.height * pieces.counted / pieces.at(variance)
    worth = (weight * pieces.height).sum((1, 2)).clamp_min(1e-30)
    overlap = ((weight * pieces.at(whole)).sum((1, 2)) / worth).clamp_min(1.0)
    for _ in range(_ROUNDS):
        left = image - background - pattern
        amplitude = amplitude + (weight * pieces.at(left)).sum((1, 2)) / worth / overlap
        pattern = pieces.drawn(amplitude, image.shape)
        background = background + _slow(image - background - pattern, valid / variance, _BACKGROUND * cell)
    height = pieces.height * pieces.counted
    # the fit takes up a part of the noise of each pixel
    taken = image.new_zeros(image.numel()).index_add_(
        0, pieces.index.flatten(), (weight * height / worth[:, None, None]).flatten()
    )
    left = (image - background - pattern) / (1 - taken.reshape(image.shape)).clamp_min(_LEAST_FREEDOM).sqrt()
    curve = _variance_curve(background + pattern, left, valid)
    beside = pieces.at(background + pattern) - amplitude[:, None, None] * height
    errors = [
        (weight**2 * _on_curve(curve, level)).sum((1, 2)) * max(noise.correlation, 1.0) / worth**2
        for level in (beside, beside + height)
    ]
    seen = (pieces.height**2 * pieces.counted).sum((1, 2)) / (pieces.height**2).sum((1, 2)).clamp_min(1e-30)
    middle = len(pieces.index[0]) // 2
    under = background.flatten()[pieces.index[:, middle, middle]]
    under = (under - under.median()) / pieces.height.abs().amax((1, 2)) * (-1 if dark else 1)
    return Occupancy(amplitude, errors[0].sqrt(), errors[1].sqrt(), under, seen)


def _slow(left: Tensor, weight: Tensor, width: float) -> Tensor:
    """Weighted mean of what is left in a Gaussian around every pixel."""
    return smoothed(left * weight, width) / smoothed(weight, width).clamp_min(1e-30)


def _variance_curve(brightness: Tensor, left: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness and mean square of what is left in bins of equal numbers of pixels; it never falls."""
    there = torch.nonzero(valid.flatten() > 0).squeeze(1)
    there = there[torch.argsort(brightness.flatten()[there])]
    size = max(1, len(there) // _BRIGHTNESS_BINS)
    there = there[: len(there) // size * size].reshape(-1, size)
    level = brightness.flatten()[there].mean(1)
    square = (left.flatten()[there] ** 2).mean(1)
    return level, square


def _on_curve(curve: tuple[Tensor, Tensor], level: Tensor) -> Tensor:
    """Variance at a level of brightness: linear between bins, as the last two go on beyond the last."""
    levels, squares = curve
    after = torch.searchsorted(levels, level.contiguous()).clamp(1, len(levels) - 1)
    low, high = levels[after - 1], levels[after]
    part = ((level - low) / (high - low).clamp_min(1e-30)).clamp_min(0)
    return squares[after - 1] + part * (squares[after] - squares[after - 1])


def _pieces(
    image: Tensor, valid: Tensor, crystals: tuple[Locked, ...], places: SitePlaces, cell: float, dark: bool
) -> _Pieces:
    reach = max(1, round(_REACH * cell))
    axis = torch.arange(-reach, reach + 1, device=image.device)
    base = places.position.round().long()
    offset = places.position - base
    height = image.new_zeros((len(base), len(axis), len(axis)))
    for k, crystal in enumerate(crystals):
        for j in range(len(places.origins[k])):
            rows = torch.nonzero((places.lattice == k) & (places.sublattice == j)).squeeze(1)
            for part in torch.split(rows, _BATCH):
                height[part] = _piece(crystal, places.origins[k], j, offset[part], axis.to(image), dark)
    y, x = base[:, 0, None] + axis, base[:, 1, None] + axis
    inside = ((y >= 0) & (y < image.shape[0]))[:, :, None] & ((x >= 0) & (x < image.shape[1]))[:, None, :]
    index = y.clamp(0, image.shape[0] - 1)[:, :, None] * image.shape[1] + x.clamp(0, image.shape[1] - 1)[:, None, :]
    return _Pieces(height, index, inside * valid.flatten()[index])


def _piece(crystal: Locked, origins: Tensor, number: int, offset: Tensor, axis: Tensor, dark: bool) -> Tensor:
    """The part of the averaged motif that belongs to a site, at the pixels around each of several such sites."""
    grid = torch.arange(_MOTIF_POINTS).to(axis) / _MOTIF_POINTS
    motif = averaged_motif(crystal, torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1))
    level = motif.max() if dark else motif.min()
    down, right = axis - offset[:, :1], axis - offset[:, 1:]  # from the site, (sites, side)
    order, frequency = crystal.waves.order, crystal.waves.frequency
    factor = crystal.structure * phase_factor(order @ origins[number])
    rows = phase_factor(down[..., None] * frequency[:, 0]) * factor
    columns = phase_factor(right[..., None] * frequency[:, 1])
    height = 2 * (rows.real @ columns.real.mT - rows.imag @ columns.imag.mT) - level
    steps = torch.arange(-_NEIGHBOURS, _NEIGHBOURS + 1).to(axis)
    cells = torch.cartesian_prod(steps, steps)
    others = torch.cat([cells + origin - origins[number] for origin in origins]) @ crystal.waves.basis
    distance = torch.linalg.vector_norm(others, dim=-1)
    width = _CLAIM * float(distance[distance > 1e-3 * distance.max()].min())
    claims_down = torch.exp(-0.5 * ((down[..., None] - others[:, 0]) / width) ** 2)
    claims_right = torch.exp(-0.5 * ((right[..., None] - others[:, 1]) / width) ** 2)
    own = torch.exp(-0.5 * (down / width) ** 2)[:, :, None] * torch.exp(-0.5 * (right / width) ** 2)[:, None, :]
    return height * own / (claims_down @ claims_right.mT).clamp_min(1e-30)

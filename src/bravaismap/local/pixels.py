"""Pixels: what is known of the pixels of a frame and of its crystals, and how they are measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bravaismap.local.amplitude import Noise
from bravaismap.local.displacement import Locked
from bravaismap.local.populations import SitePopulations
from bravaismap.local.smoothing import on_finer_grid
from bravaismap.local.strain import strain_std

__all__ = ["Crystal", "PixelPhases", "PixelSettings"]


@dataclass(frozen=True)
class PixelSettings:
    """How pixels are measured; lengths in cells, the side of a square as large as the primitive cell.

    Attributes
    ----------
    wide : float
        Standard deviation of the Gaussian in which phases are measured.
    fine : float, optional
        Standard deviation of the Gaussian in which the amplitude is fitted, a third to half a cell; 0.4, or 0.5 in a
        noisy frame, when not given.
    step : int, optional
        Pitch of the pixels that are reported, in px; a sixth of the smallest cell when not given.
    rounds : int
        Turns of measuring lattices by the pixels that they hold, and pixels by the lattices; at least 2.
    dark : bool
        Whether atoms are darker than what is between them.
    noise : bool
        Whether the noise is asked for that the last turn leaves over.
    """

    wide: float = 2.5
    fine: float | None = None
    step: int | None = None
    rounds: int = 3
    dark: bool = False
    noise: bool = True


@dataclass(frozen=True)
class Crystal:
    """One lattice of a frame as its pixels show it.

    Attributes
    ----------
    locked : Locked
        Averaged cell and displacement, on the coarse grid of the demodulation.
    origins : tensor, shape (sites, 2)
        Where atoms sit in the averaged cell, in fractions of its vectors.
    populations : tuple of SitePopulations or None
        Amplitudes of the sites of each of them; None where there are too few.
    tells_vacancies : bool
        Whether the pixels of single vacancies are none, each as probably as its site is vacant.
    """

    locked: Locked
    origins: Tensor
    populations: tuple[SitePopulations | None, ...]
    tells_vacancies: bool


@dataclass(frozen=True)
class PixelPhases:
    """What is known of the pixels of a frame, on a grid whose points are pixels 0, step, 2 step, …

    Attributes
    ----------
    phase : int8 tensor, shape (rows, columns)
        The most probable lattice, counted as they were given; their number stands for none, −1 for masked pixels.
    probability : tensor, shape (lattices + 1, rows, columns)
        Of each lattice, and of none last.
    amplitude, amplitude_std : tensors, shape (lattices, rows, columns)
        Of each lattice's pattern: 1 in the crystal, 0 where it is not.
    displacement : tensor, shape (lattices, rows, columns, 2)
        (y, x) in px, modulo the lattice.
    strain : tensor, shape (lattices, rows, columns, 4)
        exx, eyy, exy and rotation against the mean lattice, as :func:`bravaismap.local.strain.strain` gives them.
    another_motif : bool tensor, shape (lattices, rows, columns)
        Where a lattice shows another motif than its averaged cell; neither displacement nor strain is known there.
    seen : tensor, shape (rows, columns)
        How much of the neighbourhood of a point is valid; 0 where the point itself is masked.
    basis : tensor, shape (lattices, 2, 2)
        The mean lattices, refined, rows = vectors (y, x) in px.
    crystals : tuple of Crystal
    wide : tuple of float, or of tensors of shape ()
        Standard deviation in px of the Gaussian of the waves of each.
    noise : Noise
        NaN if it is not asked for.
    cell : float
        Side of the smallest cell in px.
    fine : float
        Standard deviation in px of the Gaussian of the amplitude.
    step : int
    shape : tuple of int
        Of the image (y, x).
    """

    phase: Tensor
    probability: Tensor
    amplitude: Tensor
    amplitude_std: Tensor
    displacement: Tensor
    strain: Tensor
    another_motif: Tensor
    seen: Tensor
    basis: Tensor
    crystals: tuple[Crystal, ...]
    wide: tuple[float | Tensor, ...]
    noise: Noise
    cell: float
    fine: float
    step: int
    shape: tuple[int, int]

    @property
    def displacement_std(self) -> Tensor:
        """σ of the displacement (y, x) in px, (lattices, rows, columns, 2)."""
        fields = [crystal.locked.covariance.diagonal(dim1=-2, dim2=-1).sqrt() for crystal in self.crystals]
        return self._at_points(fields)

    @property
    def strain_std(self) -> Tensor:
        """σ of the strain and the rotation, (lattices, rows, columns, 4)."""
        return self._at_points(
            [strain_std(crystal.locked, wide) for crystal, wide in zip(self.crystals, self.wide, strict=True)]
        )

    def _at_points(self, fields: list[Tensor]) -> Tensor:
        """Fields on the grids of the demodulation, (rows, columns, components), at the points of the frame."""
        steps = [crystal.locked.waves.step for crystal in self.crystals]
        return torch.stack(
            [on_finer_grid(own, step, self.step, self.phase.shape) for own, step in zip(fields, steps, strict=True)]
        )

    def at_every_pixel(self, field: Tensor) -> Tensor:
        """Interpolate a field of the grid (..., rows, columns) linearly to every pixel of the frame (..., y, x)."""
        size = (self.step * (field.shape[-2] - 1) + 1, self.step * (field.shape[-1] - 1) + 1)
        planes = field.reshape(1, -1, *field.shape[-2:])
        wide = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=True)
        beyond = (0, self.shape[1] - size[1], 0, self.shape[0] - size[0])
        wide = torch.nn.functional.pad(wide, beyond, mode="replicate")
        return wide.reshape(*field.shape[:-2], *self.shape)

    def averaged_shares(self, valid: Tensor) -> list[Tensor]:
        """Return how much each pixel of the frame belongs to the averaged cell of each lattice, (y, x).

        Parameters
        ----------
        valid : tensor, shape (y, x)
            1 for the pixels that count, else 0.
        """
        shares = self.at_every_pixel(self.probability[:-1] * ~self.another_motif)
        return list((shares * valid).unbind())

"""Log-polar correlation of a spectrum: how its spots lie to each other, at any orientation and scale of the lattice.

On a grid of angle and logarithm of the radius, turning the lattice shifts its spectrum along one axis and scaling it
along the other. The autocorrelation over both axes does not depend on shifts, so it keeps what tells the class: two
spots at an angle Δθ and a ratio of radii exp(Δρ) give a peak at (Δθ, Δρ). A square lattice has peaks at 90° and ratio
1, and at 45° and √2; a rectangular one at 90°, whatever the ratio.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bravaismap.spectrum import COLUMNS, ROWS

__all__ = ["LogPolarCorrelation", "log_polar"]

_MARGIN = 3  # columns of the other half plane, for interpolation at k_x = 0
_SHORTEST, _LONGEST = 2.8, 32.0  # radii in pixels of the spectrum


def log_polar(spectra: Tensor, angles: int, radii: int) -> Tensor:
    """Return spectra on a grid of angle and logarithm of the radius.

    Parameters
    ----------
    spectra : Tensor, shape (n, 1, 64, 32)
        Half planes, as :func:`bravaismap.spectrum.spectrum` gives them.
    angles : int
        From −90° to 90°, evenly spaced; the other half circle repeats them (Friedel's law).
    radii : int
        From 2.8 to 32 px of the spectrum, the ratio of neighbours being constant.

    Returns
    -------
    Tensor, shape (n, 1, angles, radii)
    """
    other_half = spectra.flip(2).roll(1, dims=2)[..., 1 : _MARGIN + 1].flip(3)
    angle = (torch.arange(angles, device=spectra.device) / angles - 0.5) * math.pi
    radius = torch.linspace(math.log(_SHORTEST), math.log(_LONGEST), radii, device=spectra.device).exp()
    y = ROWS // 2 + radius * torch.sin(angle)[:, None]
    x = _MARGIN + radius * torch.cos(angle)[:, None]
    grid = torch.stack([2 * x / (COLUMNS + _MARGIN - 1) - 1, 2 * y / (ROWS - 1) - 1], dim=-1)
    return functional.grid_sample(
        torch.cat([other_half, spectra], dim=3), grid.expand(len(spectra), -1, -1, -1), mode="bicubic",
        padding_mode="border", align_corners=True,
    )  # fmt: skip


class LogPolarCorrelation(nn.Module):
    """Learned features of the log-polar spectrum, and the autocorrelation of each.

    Parameters
    ----------
    channels : int
        Number of features.
    angles, radii : int
        Size of the log-polar grid.
    shifts : int
        Number of shifts of the logarithm of the radius that are kept, from 0.
    """

    def __init__(self, channels: int, angles: int, radii: int, shifts: int) -> None:
        super().__init__()
        self.angles, self.radii, self.shifts = angles, radii, shifts
        self.feature = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=(0, 1), bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, spectra: Tensor) -> Tensor:
        """Return correlations (n, channels, angles, shifts) of spectra (n, 1, 64, 32).

        Row ``angles // 4`` is Δθ = 0, so that Δθ = 90° does not lie at an edge; column 0 is Δρ = 0.
        """
        with torch.autocast(spectra.device.type, enabled=False):
            polar = log_polar(spectra.float(), self.angles, self.radii)
            around = torch.cat([polar[:, :, -1:], polar, polar[:, :, :1]], dim=2)
            size = (self.angles, self.radii + self.shifts)  # no kept shift of the radius comes back on the other side
            transformed = torch.fft.rfft2(self.feature(around), s=size)
            correlation = torch.fft.irfft2(transformed.real**2 + transformed.imag**2, s=size)[..., : self.shifts]
            correlation = correlation / (correlation[..., :1, :1] + 1e-6)
            centred: Tensor = self.norm(correlation.roll(self.angles // 4, dims=2))
            return centred.contiguous(memory_format=torch.channels_last)

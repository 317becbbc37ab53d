"""Scale: how large the amplitude of the atoms of a crystal is, by which its pattern is scaled to 1."""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.compute.order_statistics import lower_nanmedian
from bravaismap.local.amplitude import LocalFit
from bravaismap.local.populations import FEWEST_SITES

__all__ = ["FAINT", "INSIDE", "ramp", "usual_amplitude"]

#: Share of a lattice in the neighbourhood of a place from which that counts as the inside of the crystal.
INSIDE = 0.8
#: Error of an amplitude over the amplitude between which the amplitude of a crystal is no longer that of its inside but
#: of all its pixels, and between which it becomes that of the frame; measured on films of 0.4 to 0.03 counts.
FAINT, _FAINTER = (0.4, 0.8), (0.8, 1.2)
#: Smallest amplitude of a crystal, over that with which it was locked.
_FAINTEST = 0.1


def usual_amplitude(fit: LocalFit, std: Tensor, share: Tensor, near: Tensor) -> Tensor:
    """Return the amplitude of each crystal, by which its pattern is scaled, (lattices, 1, 1).

    Parameters
    ----------
    fit : LocalFit
    std : tensor, shape (lattices, rows, columns)
        Errors of the amplitudes of the fit.
    share, near : tensors, shape (lattices, rows, columns)
        Probability of each lattice, and its share in the neighbourhood.

    Notes
    -----
    The median inside it is that of whole atoms. Where amplitudes err by half of what they are, their noise chooses the
    inside, which is then too bright; the mean over all pixels by the probability p that they are crystal is not, since
    E[p s] / E[p] is the amplitude if p is calibrated. Where they err by all they are, p follows the noise too, and all
    of the frame counts: with a mean amplitude that is too small, a frame would be none throughout.
    """
    inside = near > INSIDE
    usual = lower_nanmedian(torch.where(inside, fit.amplitude, torch.nan).flatten(1))
    error = lower_nanmedian(std.flatten(1))

    def mean(counted: Tensor) -> Tensor:
        """Mean amplitude of pixels that count by a weight."""
        return (counted * fit.amplitude).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1e-6)

    by_share = mean(share * fit.seen).clamp_min(_FAINTEST)
    by_frame = mean(share / share.sum(0).clamp_min(1e-6) * fit.seen).clamp_min(_FAINTEST)
    usual = torch.where((inside.sum((1, 2)) >= FEWEST_SITES) & (usual > 0), usual, by_share)
    usual = torch.lerp(usual, by_share, ramp(error / by_share, FAINT))
    return torch.lerp(usual, by_frame, ramp(error / by_frame, _FAINTER))[:, None, None]


def ramp(values: Tensor, limits: tuple[float, float]) -> Tensor:
    """Return 0 up to the lower limit, 1 from the upper one on, and what is linear between."""
    return ((values - limits[0]) / (limits[1] - limits[0])).clamp(0.0, 1.0)

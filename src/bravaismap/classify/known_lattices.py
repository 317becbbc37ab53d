"""Known lattices: those that a frame shows, asked of its windows in which the measurement found none.

The best of all lattices fits any noise by chance, so that a window must give much evidence for one that was searched
for. Of a lattice that the rest of its frame shows nothing is searched, and less evidence is enough.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.classify import posterior_settings
from bravaismap.classify.proposals import same_lattice
from bravaismap.measure import settings
from bravaismap.measure.explanation import View
from bravaismap.measure.measurement import Measurement, leveled_view, measured_from, shown_by_spectrum

__all__ = ["measure_known"]


def measure_known(images: Tensor, bases: Tensor) -> Measurement:
    """Measure which of the lattices of a frame a window shows, and how much.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    bases : tensor, shape (lattices, 2, 2)
        Primitive vectors in px, rows, columns (y, x). Each window is asked for the one that its spectrum shows most,
        and for others that the spectrum shows.

    Returns
    -------
    Measurement
        Of the lattice of most evidence in each window. The evidence is that against none as if it had been searched
        for, so that it is worth as much as that of other windows; 0 where the window does not show the lattice itself.
    """
    view = leveled_view(images)
    shown = shown_by_spectrum(view, bases)
    offered = shown > posterior_settings.SETTINGS.known.least_shown
    offered |= F.one_hot(shown.argmax(1), len(bases)).bool()
    window, lattice = torch.nonzero(offered, as_tuple=True)
    tried = Measurement.joined(
        [_tried(view.take(window[part]), bases[lattice[part]]) for part in _parts(len(window), len(images))]
    )
    evidence = tried.evidence.new_full(offered.shape, -torch.inf)
    evidence[offered] = tried.evidence
    number = torch.zeros_like(offered, dtype=torch.long)
    number[offered] = torch.arange(len(window), device=number.device)
    return tried.take(number.gather(1, evidence.argmax(1, keepdim=True))[:, 0])


def _parts(count: int, most: int) -> list[slice]:
    return [slice(first, first + most) for first in range(0, count, most)]


def _tried(view: View, basis: Tensor) -> Measurement:
    """The measurements from a known lattice of each window, with their evidence as of lattices that are searched for.

    It is 0 where the window does not show the lattice itself.
    """
    searched = settings.SETTINGS.odds.even_evidence - posterior_settings.SETTINGS.known.even_evidence
    measured = measured_from(view, basis)
    same = same_lattice(torch.nan_to_num(measured.basis)[:, None], basis[:, None].double())[:, 0, 0]
    return replace(measured, evidence=torch.where(same & (measured.evidence > 0), measured.evidence + searched, 0.0))

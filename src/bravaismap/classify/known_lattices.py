"""Known lattices: those that a frame shows, asked of its windows in which the measurement found none.

The best of all lattices fits any noise by chance, so that a window must give much evidence for one that was searched
for. Of a lattice that the rest of its frame shows nothing is searched, and less evidence is enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.classify import posterior_settings
from bravaismap.classify.proposals import same_lattice
from bravaismap.measure import settings
from bravaismap.measure.measurement import Measurement, measure_from

__all__ = ["measure_known"]


def measure_known(images: Tensor, bases: Tensor) -> Measurement:
    """Measure which of the lattices of a frame a window shows, and how much.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    bases : tensor, shape (lattices, 2, 2)
        Primitive vectors in px, rows, columns (y, x).

    Returns
    -------
    Measurement
        Of the lattice of most evidence in each window. The evidence is that against none as if it had been searched
        for, so that it is worth as much as that of other windows; 0 where the window does not show the lattice itself.
    """
    searched = settings.SETTINGS.odds.even_evidence - posterior_settings.SETTINGS.known.even_evidence
    best: Measurement | None = None
    for basis in bases.double():
        measured = measure_from(images, basis.expand(len(images), 2, 2))
        same = same_lattice(torch.nan_to_num(measured.basis)[:, None], basis.expand(len(images), 1, 2, 2))[:, 0, 0]
        shown = torch.where(same & (measured.evidence > 0), measured.evidence + searched, 0.0)
        measured = Measurement(**{**vars(measured), "evidence": shown})
        if best is None:
            best = measured
            continue
        rows = torch.nonzero(measured.evidence > best.evidence).squeeze(1)
        best = best.put(measured.take(rows), rows)
    assert best is not None
    return best

"""The known lattices of a frame: what its windows agree on, asked of those in which none was found.

Nothing but the frame itself is looked at, so that the answer does not depend on which frames were mapped before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify import posterior_settings
from bravaismap.classify.answer import Answer
from bravaismap.classify.models import LatticeClassifier
from bravaismap.conventions import CLASSES, NONE, Floats
from bravaismap.local.lattices import gathered_lattices
from bravaismap.windows import WindowGrid

__all__ = ["certain_lattices", "with_known_lattices"]

#: Probability of none above which all lattices together are less probable.
_MORE_PROBABLE = 0.5


def certain_lattices(answer: Answer, independent: float) -> Floats:
    """Return the lattices that the windows of a frame show beyond doubt, (n, 2, 2), in px.

    Parameters
    ----------
    answer : Answer
        For the windows, with `cells`.
    independent : float
        Number of windows that cover the frame side by side: those that overlap show the same evidence.
    """
    cells = answer.cells
    assert cells is not None
    lattices = gathered_lattices(cells.basis, cells.covariance, answer.probability)
    evidence = np.array([cells.evidence[lattices.window == k].sum() for k in range(len(lattices.basis))])
    evidence *= min(1.0, independent / len(cells.evidence))
    return lattices.basis[evidence > posterior_settings.SETTINGS.known.certain_evidence]


def with_known_lattices(
    answer: Answer,
    image: NDArray[Any],
    grid: WindowGrid,
    windows: NDArray[np.intp],
    classifier: LatticeClassifier,
    samples: int,
    seed: int,
) -> Answer:
    """Return the answer for windows of a frame once those without a lattice are asked for the ones it is known to have.

    Parameters
    ----------
    answer : Answer
    image : array, shape (y, x)
        All of it finite.
    grid : WindowGrid
    windows : int array, shape (n,)
        Which windows of the grid the answer is for.
    classifier : LatticeClassifier
    samples, seed : int
        As for :meth:`LatticeClassifier.predict`.
    """
    cells = answer.cells
    assert cells is not None
    empty = _more_probably_none(answer) & np.isfinite(cells.basis).all((1, 2))
    rows = np.flatnonzero(empty)
    if len(rows) in (0, len(empty)):
        return answer
    bases = certain_lattices(answer, image.size / grid.window**2)
    if len(bases) == 0:
        return answer
    down, across = np.divmod(windows[rows], len(grid.left))
    views = np.lib.stride_tricks.sliding_window_view(image, (grid.window, grid.window))
    known = classifier.known(views[grid.top[down], grid.left[across]], bases, samples=samples, seed=seed)
    assert known.cells is not None
    more = ~_more_probably_none(known)
    changed = np.zeros(len(empty), bool)
    changed[rows[more]] = True
    return Answer.interleave(answer[~changed], known[more], changed)


def _more_probably_none(answer: Answer) -> NDArray[np.bool_]:
    """Which windows have none with more than one half, which the evidence says alone, whatever the distortion is."""
    return np.asarray(answer.probability[:, CLASSES.index(NONE)] > _MORE_PROBABLE)

"""Visible lattices: accuracy of a model on the windows in which the true lattice leaves evidence.

A lattice that is too faint, too large or too disordered for its window is in the window's label and not in its pixels,
and no model can name it. Whether it is there is asked of the true lattice itself: its evidence, by the same measure and
the same odds as those of a lattice that was searched for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from bravaismap.conventions import NONE
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.scores import with_lattice
from bravaismap.measure.measurement import SMALLEST_SIDE, measure_from
from bravaismap.measure.odds import none_probability
from bravaismap.measure.whole_image import has_parts

__all__ = ["VisibleScore", "score_visible", "visible_lattices", "visible_table"]

_CONFIDENCE = 0.95  # of the interval
_EVEN = 0.5  # probability of none below which a lattice is seen
_WINDOWS_AT_ONCE = 256  # for memory


@dataclass(frozen=True)
class VisibleScore:
    """Score of a model on the windows whose true lattice leaves evidence in them.

    Attributes
    ----------
    lattices : int
        Number of windows with a lattice.
    visible : int
        Number of those whose true lattice is more probable than none.
    right, called_none : int
        Number of the visible ones that are classified right, and as none.
    """

    lattices: int
    visible: int
    right: int
    called_none: int

    @property
    def accuracy(self) -> float:
        """Share of the visible lattices that are classified right; NaN if there are none."""
        return self.right / self.visible if self.visible else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy; NaN if there are no visible lattices."""
        if not self.visible:
            return float("nan"), float("nan")
        low, high = binomtest(self.right, self.visible).proportion_ci(_CONFIDENCE, method="wilson")
        return float(low), float(high)


def visible_lattices(labelled: Labelled) -> NDArray[np.bool_] | None:
    """Return in which windows the true lattice leaves evidence.

    Parameters
    ----------
    labelled : Labelled

    Returns
    -------
    bool array, shape (n,), or None
        False where there is no lattice. None where the true vectors are not known, or images are too large or too
        small to be measured as one window.
    """
    shapes = {image.shape for image in labelled.images}
    if labelled.vectors is None or any(has_parts(shape) or min(shape) < SMALLEST_SIDE for shape in shapes):
        return None
    visible = np.zeros(len(labelled.labels), bool)
    lattices = with_lattice(labelled.vectors)
    for shape in shapes:
        rows = np.flatnonzero(lattices & np.array([image.shape == shape for image in labelled.images]))
        for first in range(0, len(rows), _WINDOWS_AT_ONCE):
            part = rows[first : first + _WINDOWS_AT_ONCE]
            images = torch.from_numpy(np.stack([labelled.images[i] for i in part]).astype(np.float32))
            with torch.inference_mode():
                evidence = measure_from(images, torch.from_numpy(labelled.vectors[part])).evidence.numpy()
            visible[part] = none_probability(evidence) < _EVEN
    return visible


def score_visible(
    probability: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    visible: NDArray[np.bool_],
) -> VisibleScore:
    """Score answers on the visible lattices.

    Parameters
    ----------
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
        The true classes, as positions in `classes`.
    classes : sequence of str
    visible : bool array, shape (n,)
        As :func:`visible_lattices` gives it.
    """
    names = np.array(classes)
    answers, truth = names[probability.argmax(axis=1)], names[labels]
    rows = visible & (truth != NONE)
    return VisibleScore(
        lattices=int((truth != NONE).sum()),
        visible=int(rows.sum()),
        right=int((answers == truth)[rows].sum()),
        called_none=int((answers[rows] == NONE).sum()),
    )


def visible_table(score: VisibleScore) -> str:
    """Return the score on visible lattices as text: their number, and how many are right and called none."""
    low, high = score.interval
    return "\n".join(
        [
            "  lattices that leave evidence in their window",
            f"    windows                    {score.visible} of {score.lattices}",
            f"    right                      {100 * score.accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
            f"    called none                {score.called_none}",
        ]
    )

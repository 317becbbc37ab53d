"""Classifier: what every model can do, and the record of what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer
from bravaismap.errors import InputError

__all__ = ["Classifier", "ModelRecord"]


@dataclass(frozen=True)
class ModelRecord:
    """What a model is: all that its users need to know of it besides its answers.

    Attributes
    ----------
    name : str
        As the run card states it.
    classes : tuple of str
        In the order of the probabilities.
    weights_sha256 : str
        Hash of the weights; empty for a model without.
    description : str
        In a line.
    smallest_side : int
        Side of the smallest image that it takes, in px.
    movie_samples : int
        Draws or passes for each window of a movie when their number is not given.
    measures_cells : bool
        Whether its answers hold the primitive cell. Such a model takes an image of any shape, others a square.
    settings : mapping
        What its answers depend on besides the weights, for the run card.
    """

    name: str
    classes: tuple[str, ...]
    weights_sha256: str
    description: str
    smallest_side: int
    movie_samples: int
    measures_cells: bool
    settings: Mapping[str, Any]

    def frame(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images (n, y, x) in the shape that the model takes: whole, or their central squares.

        Raises
        ------
        InputError
            If they are smaller than the smallest that it takes.
        """
        height, width = images.shape[1:]
        self.check_side(height, width)
        if self.measures_cells:
            return images
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images[:, top : top + side, left : left + side]

    def check_side(self, height: int, width: int) -> None:
        """Raise `InputError` if an image or window is smaller than the smallest that the model takes."""
        least = self.smallest_side
        if min(height, width) < least:
            raise InputError(
                f"an image of {height} × {width} px was given; the model {self.name} needs at least {least} × {least}"
            )


class Classifier(Protocol):
    """A model: a record of what it is, and answers."""

    @property
    def record(self) -> ModelRecord:
        """What it is."""

    def predict(self, images: NDArray[np.floating], *, samples: int, seed: int) -> Answer:
        """Classify images (n, y, x) of the shape that the record asks for."""

"""Classifier: the protocol of all models, and the record that describes a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray
from torch import Tensor

from bravaismap.classify.answer import Answer
from bravaismap.conventions import Floats
from bravaismap.errors import InputError

__all__ = ["Classifier", "ModelRecord"]


@dataclass(frozen=True)
class ModelRecord:
    """The description of a model: all that a caller needs to know besides its answers.

    Attributes
    ----------
    name : str
        Name in the run card.
    classes : tuple of str
        In the order of the probabilities.
    weights_sha256 : str
        Hash of the weights; empty for a model without weights.
    description : str
        One line.
    smallest_side : int
        Side of the smallest image that the model takes, in px.
    movie_samples : int
        Default number of draws or passes for each window of a movie.
    measures_cells : bool
        Whether the answers hold primitive cells. Such a model takes an image of any shape, others a square.
    settings : mapping
        What the answers depend on besides the weights, for the run card.
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
        """Return images (n, y, x) as the model takes them: whole, or their central squares.

        Raises
        ------
        InputError
            If the images are smaller than the smallest that the model takes.
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
        smallest = self.smallest_side
        if min(height, width) < smallest:
            raise InputError(
                f"an image of {height} × {width} px was given; the model {self.name} needs at least "
                f"{smallest} × {smallest}"
            )


class Classifier(Protocol):
    """A model: a record that describes it, and a method that classifies images."""

    @property
    def record(self) -> ModelRecord:
        """Description of the model."""

    def predict(self, images: Floats | Tensor, *, samples: int, seed: int) -> Answer:
        """Return the answer for images (n, y, x) of the shape that `ModelRecord.frame` gives.

        They are a tensor only if the model has an attribute `device`, which says where, and that is not the processor.
        """

"""How right a model is on labelled windows: accuracy, calibration, errors of cells, and the best that is possible."""

from bravaismap.evaluate.answers import Answers, answer, evaluate
from bravaismap.evaluate.labelled import Labelled, read_labelled

__all__ = ["Answers", "Labelled", "answer", "evaluate", "read_labelled"]

"""Scores of models on labelled windows: accuracy, calibration, errors of cells, and the information limit."""

from bravaismap.evaluate.answers import Answers, answer, evaluate
from bravaismap.evaluate.labelled import Labelled, read_labelled

__all__ = ["Answers", "Labelled", "answer", "evaluate", "read_labelled"]

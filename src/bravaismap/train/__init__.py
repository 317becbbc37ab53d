"""Training of networks on simulated windows, and their calibration."""

from bravaismap.train.training import TrainingPlan, train

__all__ = ["TrainingPlan", "train"]

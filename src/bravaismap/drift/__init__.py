"""Drift of the specimen from frame to frame: found by correlation, and taken out."""

from bravaismap.drift.alignment import align, register

__all__ = ["align", "register"]

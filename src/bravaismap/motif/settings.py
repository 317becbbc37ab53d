"""Settings of a motif that are not those of a classification: the only copy of their defaults."""

from __future__ import annotations

__all__ = ["SYSTEMATIC"]

#: Errors of structure factors besides noise that are allowed for in an image, as a fraction of their size: aberrations,
#: tips and scans break the symmetry of crystals of known structure by about so much.
SYSTEMATIC = 0.2

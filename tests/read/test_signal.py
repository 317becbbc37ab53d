"""Units of length and time in every spelling."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.read import signal


@pytest.mark.parametrize(
    ("step", "unit", "expected"),
    [
        (1e-9, "m", 1.0), (2.0, "µm", 2000.0), (2.0, "μm", 2000.0), (2.0, "micron", 2000.0), (0.1, "nm", 0.1),
        (1.0, "Å", 0.1), (1.0, "\u212b", 0.1), (1.0, "Angstrom", 0.1), (20.0, "pm", 0.02), (0.3, "[n_m]", 0.3),
        (-0.3, "nm", 0.3), (2.0, "\\u00B5m", 2000.0), (1.0, "1/nm", None), (1.0, "nm^-1", None), (1.0, "", None),
        (1.0, "px", None), (0.0, "nm", None), (np.nan, "nm", None), (None, "nm", None), (1.0, "Mm", None),
        (1.0, "mrad", None),
        (1.0, "\\u00C5", 0.1), (1.0, "\\u212B", 0.1), (2.0, "\\u03BCm", 2000.0), (1.0, "A\u030a", 0.1),
        (2.0, "Âµm", 2000.0), (1.0, "nm/px", 1.0), (1.0, "nm per pixel", 1.0), (1.0, "nm\0", 1.0), (1.0, "㎚", 1.0),
    ],
)  # fmt: skip
def test_lengths(step: float | None, unit: str, expected: float | None) -> None:
    assert signal.nanometres(step, unit) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("step", "unit", "expected"), [(1.0, "s", 1.0), (40, "ms", 0.04), (2, "min", 120), (1, "", None), (1, "nm", None)]
)
def test_times(step: float, unit: str, expected: float | None) -> None:
    assert signal.seconds(step, unit) == (expected if expected is None else pytest.approx(expected))

"""Common parts of figures: pictures of frames in grey."""

from __future__ import annotations

import numpy as np

from bravaismap.show.axes import leveled_picture


def test_tilt_and_levels_of_rows_are_taken_out_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((80, 90))
    atoms = np.cos(2 * np.pi * x / 7.3) * np.cos(2 * np.pi * y / 9.1)
    np.testing.assert_array_equal(leveled_picture(atoms), atoms)
    step = np.where(y > 40, 3.0, 0.0) + 0.1 * atoms
    np.testing.assert_array_equal(leveled_picture(step), step)
    for hidden in (atoms + 0.5 * y - 0.2 * x, atoms + 8 * rng.normal(size=(80, 1)), 1e-12 * (atoms + y)):
        seen = leveled_picture(hidden)
        assert np.corrcoef(seen.ravel(), atoms.ravel())[0, 1] > 0.95 > np.corrcoef(hidden.ravel(), atoms.ravel())[0, 1]
    missing = np.where(x < 10, np.nan, atoms + y)
    np.testing.assert_array_equal(np.isnan(leveled_picture(missing)), x < 10)
    assert np.isnan(leveled_picture(np.full((4, 4), np.nan))).all()

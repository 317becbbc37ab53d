"""A frame classified again at another distortion is what reclassify gives."""

from __future__ import annotations

import numpy as np

import bravaismap as bm
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.distortion_trial import reclassified_frame, reclassified_window


def test_classified_anew_is_reclassify(result: PhaseMap) -> None:
    expected = bm.reclassify(result, 0.004)
    frame = reclassified_frame(result.isel(time=[1]), 0.004)
    for name in ("probability", "label", "entropy", "a", "gamma", "deviation", "fraction", "fraction_std"):
        np.testing.assert_array_equal(frame[name].values[0], expected[name].values[1], err_msg=name)
    assert frame.attrs == expected.attrs
    one = reclassified_window(result.isel(time=[1]), 1, 2, 0.004)
    # draws are worked out in single precision, and a window alone in other vectors than among others
    np.testing.assert_allclose(one["probability_std"], expected["probability_std"][1, 1, 2], rtol=1e-6, atol=1e-8)
    same = result.isel(time=[0])
    assert reclassified_frame(same, result.attrs["distortion"]) is same

"""What the windows of a region hold."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.conventions import CLASSES
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.region_statistics import region_statistics, region_table


def test_region_statistics(result: PhaseMap) -> None:
    frame = result.isel(time=[1])
    y, x = result["y"].values, result["x"].values
    region = Region(y[0] - 0.01, y[1] + 0.01, x[1] - 0.01, x[2] + 0.01)
    found = region_statistics(frame, region)
    inside = result.isel(time=1, y=slice(0, 2), x=slice(1, 3))
    assert found.windows == 4
    np.testing.assert_allclose(found.fraction, inside["probability"].mean(("y", "x")), rtol=1e-6)
    np.testing.assert_array_equal(found.count, [(inside["label"] == i).sum() for i in range(len(CLASSES))])
    best = int(found.count.argmax())
    chosen = inside["a"].values[inside["label"].values == best]
    assert found.cell["a"][best] == pytest.approx(np.median(chosen), rel=1e-6)
    assert found.spread["a"][best] == pytest.approx(chosen.std(ddof=1), rel=1e-4)
    table = region_table(found, "nm")
    assert table[0][:5] == ["phase", "area", "windows", "mean probability", "a (nm)"]
    chosen = frame["phase"].values[0][
        np.ix_(*((frame[f"p{dim}"] >= low) & (frame[f"p{dim}"] <= high) for dim, low, high in (
            ("y", region.y0, region.y1), ("x", region.x0, region.x1),
        )))
    ]  # fmt: skip
    assert found.area is not None
    np.testing.assert_allclose(found.area, [(chosen == i).mean() for i in range(len(CLASSES))])
    windows = frame.drop_vars([name for name in frame.data_vars if "px" in frame[name].dims])
    assert region_table(region_statistics(windows, region), "nm")[0][:3] == ["phase", "windows", "mean probability"]
    assert len(table) == 1 + len(CLASSES)


def test_region_of_the_whole_frame_is_the_frame(result: PhaseMap) -> None:
    found = region_statistics(result.isel(time=[0]), None)
    np.testing.assert_allclose(found.fraction, result["fraction"][0], atol=1e-6)
    np.testing.assert_allclose(found.fraction_std, result["fraction_std"][0], atol=1e-6)
    np.testing.assert_array_equal(found.area, result["area_fraction"][0])


def test_orientations_about_the_end_of_their_period_have_a_median(result: PhaseMap) -> None:
    frame = result.isel(time=[0]).copy(deep=True)
    frame["label"][:] = CLASSES.index("hexagonal")
    turned = np.where(np.arange(frame["label"].size).reshape(frame["label"].shape) % 2, 59.0, 121.5)
    frame["orientation"][:] = turned
    found = region_statistics(frame, None)
    i = CLASSES.index("hexagonal")
    expected = np.median(np.where(turned == 59.0, 59.0, 61.5)) % 60
    assert found.cell["orientation"][i] == pytest.approx(expected, abs=0.01)
    assert found.spread["orientation"][i] < 2

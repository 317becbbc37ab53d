"""Scores by fault, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from bravaismap.evaluate.fault_scores import FaultScore, fault_table, score_faults

CLASSES = ("square", "hexagonal", "none")
ANSWERS = np.eye(3)[[0, 1, 2, 2, 0, 2]]
LABELS = np.array([0, 0, 1, 1, 2, 2])
FAULTS = ("rows", "rows+dirt", "dirt", "", "fringes", "rows + hum")


def test_images_count_for_each_of_their_faults() -> None:
    assert score_faults(ANSWERS, LABELS, CLASSES, FAULTS) == (
        FaultScore("dirt", True, 2, 0, 1),
        FaultScore("no fault", True, 1, 0, 1),
        FaultScore("rows", True, 2, 1, 0),
        FaultScore("fringes", False, 1, 0, 0),
        FaultScore("hum", False, 1, 1, 1),
        FaultScore("rows", False, 1, 1, 1),
    )


def test_interval_is_that_of_wilson() -> None:
    one, z = FaultScore("rows", True, 40, 31, 0), norm.ppf(0.975)
    p, n = 31 / 40, 40
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert one.accuracy == 31 / 40
    assert one.interval == pytest.approx((middle - half, middle + half))
    assert FaultScore("rows", True, 3, 3, 0).interval[1] == pytest.approx(1)


def test_table_has_a_part_for_lattices_and_one_for_none() -> None:
    lines = fault_table(score_faults(ANSWERS, LABELS, CLASSES, FAULTS)).splitlines()
    assert [line.split()[0] for line in lines] == ["lattices", "dirt", "no", "rows", "no", "fringes", "hum", "rows"]
    assert lines[3].split()[1:4] == ["2", "50.0", "%"]
    assert len({line.index("%") for line in lines if "%" in line and "interval" not in line}) == 1  # one column
    only = fault_table(score_faults(ANSWERS[4:], LABELS[4:], CLASSES, FAULTS[4:]))
    assert "lattices by fault" not in only

"""Areas: their errors are those of uncertain pixels and of boundaries."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.local.area import area_fraction


def test_the_error_of_an_area_is_that_of_its_uncertain_pixels() -> None:
    probability = torch.full((2, 100, 100), 0.5)
    area = area_fraction(probability, torch.ones(100, 100), torch.tensor([0, 1]), 2, 10.0, 4.0, 2)
    points = max(100.0, 4 * np.pi * 16) / 4
    assert float(area.fraction[0]) == pytest.approx(0.5)
    assert float(area.fraction_std[0]) == pytest.approx(np.sqrt(0.25 * points / 1e4), rel=1e-4)


def test_the_error_of_an_area_is_that_of_its_boundary_but_not_of_what_is_masked() -> None:
    first = (torch.arange(100) < 40).float().expand(100, 100)
    probability, labels = torch.stack([first, 1 - first]), torch.tensor([0, 1])
    whole = area_fraction(probability, torch.ones(100, 100), labels, 2, 10.0, 4.0, 2)
    assert float(whole.fraction_std[0]) == pytest.approx(100 * 0.1 * 10 / 2 / 1e4, rel=1e-4)
    seen = torch.ones(100, 100)
    seen[:, 60:] = 0
    half = area_fraction(probability, seen, labels, 2, 10.0, 4.0, 2)
    assert half.fraction.tolist() == pytest.approx([40 / 60, 20 / 60])
    assert half.fraction_std.tolist() == pytest.approx([100 * 0.1 * 10 / 2 / 6e3] * 2, rel=1e-4)
    seen[:, 30:] = 0
    alone = area_fraction(probability, seen, labels, 2, 10.0, 4.0, 2)
    assert alone.fraction.tolist() == pytest.approx([1, 0])
    assert alone.fraction_std.tolist() == pytest.approx([0, 0], abs=1e-9)

"""What the neighbourhood of a pixel says of vacancies and of gaps between grains."""

from __future__ import annotations

import pytest
import torch

from bravaismap.local.neighbourhood import nearby, without_gaps, without_vacancies

ROWS, COLUMNS, CELL = 60, 80, 6.0


def parted(width: int) -> torch.Tensor:
    """Two grains with a strip of none of a width between them, (3, rows, columns)."""
    x = torch.arange(COLUMNS).expand(ROWS, COLUMNS)
    none = (x - COLUMNS // 2).abs() < width / 2
    return torch.stack([(x < COLUMNS // 2) & ~none, (x >= COLUMNS // 2) & ~none, none]).float()


@pytest.mark.parametrize(("width", "kept"), [(2, 0.0), (30, 1.0)])
def test_gaps_of_less_than_half_a_cell_are_the_grains_and_wide_strips_are_none(width: int, kept: float) -> None:
    probability = parted(width)
    left = without_gaps(probability, nearby(probability, torch.ones(ROWS, COLUMNS), CELL))
    torch.testing.assert_close(left.sum(0), torch.ones(ROWS, COLUMNS))
    assert float(left[-1].sum() / probability[-1].sum()) == pytest.approx(kept, abs=0.02)
    assert float(left[0].sum()) == pytest.approx(float(left[1].sum()), rel=0.05)  # each grain takes its half


def test_a_slit_in_one_crystal_stays() -> None:
    strip = parted(2)
    slit = torch.stack([strip[:2].sum(0), torch.zeros_like(strip[0]), strip[2]])
    left = without_gaps(slit, nearby(slit, torch.ones(ROWS, COLUMNS), CELL))
    torch.testing.assert_close(left, slit)
    alone = torch.stack([strip[:2].sum(0), strip[2]])
    assert without_gaps(alone, alone) is alone


def test_single_vacancies_are_none_and_those_of_a_void_change_nothing() -> None:
    crystal = torch.zeros(2, ROWS, COLUMNS)
    crystal[0], vacant = 1.0, torch.zeros(1, ROWS, COLUMNS)
    vacant[0, 28:33, 38:43] = 1.0
    near = nearby(crystal, torch.ones(ROWS, COLUMNS), CELL)
    told = without_vacancies(crystal, near, vacant)
    torch.testing.assert_close(told[1], vacant[0])
    torch.testing.assert_close(told.sum(0), torch.ones(ROWS, COLUMNS))
    beside_a_void = torch.stack([torch.full_like(near[0], 0.4), torch.full_like(near[0], 0.6)])
    torch.testing.assert_close(without_vacancies(crystal, beside_a_void, vacant), crystal)


def test_masked_points_do_not_count_in_a_neighbourhood() -> None:
    probability, seen = parted(2), torch.ones(ROWS, COLUMNS)
    seen[:, COLUMNS // 2 :] = 0
    near = nearby(probability, seen, CELL)
    assert float(near[1, :, : COLUMNS // 2].max()) == 0.0
    torch.testing.assert_close(near.sum(0)[:, : COLUMNS // 2], torch.ones(ROWS, COLUMNS // 2))

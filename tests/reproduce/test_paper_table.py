"""The table beside the paper: verdicts, and growth in the paper's units."""

from __future__ import annotations

import pytest

from bravaismap.reproduce import paper_table


@pytest.mark.parametrize(
    ("value", "paper", "better", "tolerance", "expected"),
    [
        (0.851, 0.85, "more", 0.02, "agrees"), (0.95, 0.85, "more", 0.02, "better"), (0.7, 0.85, "more", 0.02, "worse"),
        (30.0, 188.0, "less", 0.12, "better"), (250.0, 188.0, "less", 0.12, "worse"),
        (1.31, 1.6, "same", 0.02, "differs"), (None, 1.0, "more", 0.0, "not applicable"),
    ],
)  # fmt: skip
def test_verdicts(value: float | None, paper: float, better: str, tolerance: float, expected: str) -> None:
    row = paper_table._row("q", "", paper, {"m": value}, ["m"], better, tolerance)
    assert row["verdicts"] == {"m": expected}


def test_a_growth_parameter_agrees_if_the_papers_lies_within_its_interval() -> None:
    fit = {"value": 0.045, "low": 0.044, "high": 0.046, "low_95": 0.041, "high_95": 0.049}
    fits = {"near": fit, "far": fit | {"low_95": 0.043}, "open": fit | {"high_95": None}, "refused": None}
    row = paper_table._growth_row("rho", "the film", fits, [*fits, "unasked"])
    expected = ["agrees", "differs", "not determined", "not determined", "not applicable"]
    assert list(row["verdicts"].values()) == expected
    assert (row["unit"], row["paper"], row["values"]["near"]) == ("1/s", 0.042, 0.045)


def test_a_growth_parameter_of_areas_agrees_if_that_of_the_true_voids_lies_within_its_interval() -> None:
    fit = {"value": 0.068, "low": 0.067, "high": 0.069, "low_95": 0.065, "high_95": 0.071}
    true = {"value": 0.066}
    row = paper_table._growth_row("C", "the film, areas", {"default": fit}, ["default"], true)
    assert row["verdicts"] == {"default": "agrees"}
    assert (row["quantity"], row["paper"]) == ("C from the film, areas (its voids: 0.066)", 0.059)
    assert paper_table._growth_row("C", "it", {"default": fit}, ["default"])["verdicts"] == {"default": "differs"}


def test_growth_table_is_in_square_nanometres() -> None:
    fit = {key: {"value": v, "low": v / 2, "high": 2 * v} for key, v in (("A0", 2e-5), ("rho", 0.04), ("C", 0.06))}
    film = {"area_nm2": 200.0, "fits": {"true voids": fit, "flat": {"refused": "rho is not determined"}}}
    paper, truth, flat = paper_table.growth_table(film)
    assert paper["A0_nm2"] == pytest.approx(0.004, abs=1e-4)
    assert paper["rho_nm2"] == pytest.approx(9, abs=0.1)
    assert (truth["A0_nm2"], truth["rho_nm2"]) == (pytest.approx(0.004), pytest.approx(8))
    assert flat == {"source": "flat", "refused": "rho is not determined"}

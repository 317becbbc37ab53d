"""The benchmark of plane groups: what it draws has the group it says, and a small run is written down."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bravaismap.lattice import reciprocal
from bravaismap.motif.plane_groups import PLANE_GROUPS, group_named

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the benchmark as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("plane_groups")


@pytest.mark.parametrize("name", ["p1", "pg", "c2mm", "p4gm", "p6mm"])
def test_motifs_have_their_group(benchmark: ModuleType, name: str) -> None:
    """Structure factors of drawn motifs obey every operation of the group, about the origin they were shifted by."""
    group = group_named(name)
    drawn = benchmark.draw(group, np.random.default_rng(4))
    assert 2 <= len(drawn.weight) <= max(8, len(group.matrices))
    assert benchmark.apart(drawn) > 4
    metric = drawn.basis @ drawn.basis.T
    orders = np.array([[1, 0], [2, -1], [1, 3], [0, 2]])
    factors = drawn.factors(orders)
    intensities = [np.abs(drawn.factors(orders @ w)) for w in group.matrices]
    np.testing.assert_allclose(intensities, np.tile(np.abs(factors), (len(group.matrices), 1)), atol=1e-12)
    for w in group.matrices:
        np.testing.assert_allclose(w.T @ metric @ w, metric, atol=1e-9 * metric.max())


def test_counts_follow_the_structure_factors(benchmark: ModuleType) -> None:
    drawn = benchmark.draw(group_named("p2gg"), np.random.default_rng(1))
    image, seen, coordinates = benchmark.counted(drawn, 100.0, 1e4, 0.03, np.random.default_rng(2))
    assert abs(np.linalg.det(seen)) == pytest.approx(abs(np.linalg.det(drawn.basis)), rel=1e-3)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    g = reciprocal(seen)
    np.testing.assert_allclose(coordinates[0], g[0, 0] * y + g[0, 1] * x, atol=1e-9)
    order = np.array([[1, 1]])
    wave = np.exp(2j * np.pi * (coordinates[0] + coordinates[1]))
    taper = np.outer(np.hanning(len(image)), np.hanning(len(image)))
    found = (image * wave * taper).sum() / taper.sum()
    assert abs(found - 1e4 * drawn.factors(order)[0]) < 0.05 * 1e4 * np.abs(drawn.factors(order)[0]) + 20


def test_no_posterior_is_calibrated_where_the_truth_chooses(benchmark: ModuleType) -> None:
    """The exact posterior of a difference is calibrated over all cases, and far from it over those of one truth."""
    error = benchmark.exact_posterior(cases=20_000)
    assert error["all"] < 0.01
    assert error["chosen"] > 0.2


@pytest.mark.slow
def test_a_small_run_is_written_down(benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--motifs", "1", "--counts", "50", "100", "--sizes", "96", "--json", str(tmp_path / "groups.json")])
    written = json.loads((tmp_path / "groups.json").read_text(encoding="utf-8"))
    assert written["images"] == len(PLANE_GROUPS)
    assert written["limit"]["right"] > 0.6
    assert written["image"]["96"] > 0
    everything = written["measured"]["all"]
    assert everything["images"] <= len(PLANE_GROUPS)
    assert 0 <= everything["error"] <= 1
    assert everything["by_chance"] < everything["by_chance_95"]
    assert "breaking above 5 σ" in capsys.readouterr().out

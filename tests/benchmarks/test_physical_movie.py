"""The sputtered film of the benchmark on physical images, small: its truth by hand, and what is found of it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import bravaismap as bm

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("physical_movie")


def gaussian_atoms() -> dict[str, np.ndarray]:
    """Return the images of atoms as Gaussians of weight Z^1.7."""
    y, x = np.mgrid[-13:14, -13:14]
    spot = np.exp(-(y**2 + x**2) / (2 * 1.8**2))
    return {"W": spot, "Mo": (42 / 74) ** 1.7 * spot, "S2": 2 * (16 / 74) ** 1.7 * spot}


@pytest.mark.slow
def test_voids_and_cell_of_the_sputtered_film(benchmark: ModuleType) -> None:
    model = benchmark.SputteredFilm(frames=6, size=256, frame_time=12.0, opened=12.0, first=4, rho=0.09, seed=1)
    truth = model.movie(gaussian_atoms())
    true, hole = truth["void_fraction"].values, truth["hole_fraction"].values
    assert (np.diff(hole) >= 0).all()
    assert (true >= hole).all()
    assert true[-1] > 0.1
    grown = hole[-1] / hole[2]
    assert np.log(grown) / 36 == pytest.approx(0.09, abs=0.02)  # in e-folds per second, of a few hundred atoms
    result = bm.map_phases(truth["image"], window=64, step=16, samples=0)
    hexagonal = result["label"].values[0] == list(result["lattice"].values).index("hexagonal")
    assert hexagonal.mean() > 0.9
    assert float(np.median(result["a"].values[0][hexagonal])) == pytest.approx(0.3153, rel=0.005)
    found = benchmark.curves(model, truth, result)
    assert set(found) == {"truth", "the hole alone", "area", "mean probability", "intensity alone"}
    np.testing.assert_array_equal(found["truth"], true)
    assert found["area"][-1] == pytest.approx(true[-1], rel=0.07)
    assert abs(found["area"][3] / true[3] - 1) < abs(found["mean probability"][3] / true[3] - 1)


def test_the_eye_needs_as_many_counts_an_atom_however_fine_the_pixels(benchmark: ModuleType) -> None:
    def dots(spacing: int) -> np.ndarray:
        line = np.exp(-((np.arange(256) % spacing - spacing / 2) ** 2) / (2 * (spacing / 6) ** 2))
        return line[:, None] * line

    coarse, fine = (benchmark.counts_for_the_eye(dots(spacing)) for spacing in (12, 24))
    assert coarse / fine == pytest.approx(4, rel=0.1)
    faint = 0.5 + 0.5 * dots(12)
    assert benchmark.counts_for_the_eye(faint) > 3 * coarse
    # smoothed, the counts of an atom stand five standard deviations above the gaps
    noisy = np.random.default_rng(0).poisson(coarse * dots(12), (50, 256, 256))
    best = max(
        (seen[:, 66:190:12, 66:190:12].mean() - seen[:, 60:190:12, 60:190:12].mean()) / seen[:, 60::12, 60::12].std()
        for seen in (benchmark.gaussian_filter(noisy.astype(float), (0, w, w)) for w in (1.5, 2.0, 2.5))
    )
    assert best > 5

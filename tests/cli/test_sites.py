"""Sites on the command line: tables that a spreadsheet reads, figures, and what is asked for without a movie."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bravaismap.lattice.basis import basis_from_cell

Run = Callable[..., "object"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_sites_of_a_mapped_movie(run: Run, tmp_path: Path, crystal: Callable[..., np.ndarray]) -> None:
    movie, store, folder = tmp_path / "film.npy", tmp_path / "film.zarr", tmp_path / "out"
    image = crystal((128, 128), basis_from_cell(9.0, 9.0, np.pi / 2, 0.2), 1.6)
    y, x = np.mgrid[:128, :128]
    frames = np.stack([image, image * (np.hypot(y - 64, x - 60) > 20)])
    np.save(movie, np.random.default_rng(2).poisson(30 * frames + 3).astype(np.float32))
    assert run("map", movie, "-o", store, "--window", 64, "--step", 32, "--pixel-size", 0.03).code == 0
    refused = run("export", store, "--sites")
    assert refused.code != 0
    assert "--movie" in refused.err
    done = run("export", store, "--sites", "--movie", movie, "-o", folder)
    assert done.code == 0, done.err
    assert sorted(path.name for path in folder.iterdir()) == [
        "film_site_counts.csv", "film_site_events.csv", "film_sites.csv", "film_sites_0000.png", "film_sites_0001.png",
    ]  # fmt: skip
    sites, counts = rows_of(folder / "film_sites.csv"), rows_of(folder / "film_site_counts.csv")
    assert list(sites[0])[:8] == ["frame", "time", "track", "y_nm", "x_nm", "y_std_nm", "x_std_nm", "amplitude"]
    assert [row["time"] for row in counts] == ["0", "1"]
    gone = sum(row["state"] == "vacant" for row in sites if row["frame"] == "1")
    assert gone == pytest.approx(np.pi * 20**2 / 81, abs=4)
    assert float(counts[1]["vacant"]) == pytest.approx(gone, abs=2)
    opened = [row for row in rows_of(folder / "film_site_events.csv") if row["kind"] == "open"]
    assert len(opened) == pytest.approx(gone, abs=1)
    assert "vacant" in done.out
    assert f"{len(opened)} open" in done.out

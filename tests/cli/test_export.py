"""What `export` does with several options of which one cannot be met."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[..., "object"]


def test_what_is_refused_leaves_the_rest_written(run: Run, tmp_path: Path) -> None:
    movie, store, folder = tmp_path / "noise.npy", tmp_path / "noise.zarr", tmp_path / "out"
    np.save(movie, np.random.default_rng(1).poisson(20, (96, 96)).astype(np.float32))
    assert run("map", movie, "-o", store, "--window", 64, "--step", 32, "--samples", 0).code == 0
    done = run("export", store, "--strain", "--figures", "--csv", "--straighten", "--movie", movie, "-o", folder)
    assert done.code == 2
    assert "no strain of the windows: no window of the result shows a lattice" in done.err
    assert "not written: no frame that was asked for shows a lattice; strain is that of a lattice" in done.err
    assert "error: no frame that was asked for shows a lattice; only a crystal can be straightened" in done.err
    written = {path.name for path in folder.iterdir()}
    assert {"noise_fractions.csv", "noise_labels_0000.png", "noise_pixels_0000.png"} <= written
    assert not any("cells" in name or "shapes" in name for name in written)  # there are none to show
    run("export", store, "--motif", "--movie", movie).refused("shows a lattice; only a crystal has cells to average")

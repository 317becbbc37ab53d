"""Every block of Python in README and on the pages runs, in order, on files of the names that the pages give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from instrument_files import dm_bytes, sxm_bytes

import bravaismap as bm

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What a block names that needs a cluster or a GPU.
ELSEWHERE = ("dask_jobqueue", "dask_kubernetes", '"cuda"')
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.name != "ecosystem.md" and BLOCK.search(path.read_text(encoding="utf-8"))  # has a test of its own
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files that the pages name: a film in several formats, and its map."""
    folder = tmp_path_factory.mktemp("pages")
    frames = bm.simulate_film(2, 128, seed=4)["image"].values.astype(np.uint16)
    step = (0.0287, "nm")
    movie = dm_bytes(4, [(frames, (step, step, (2.25, "s")))], False)
    for name in ("movie", "my_movie", "decomposition"):
        (folder / f"{name}.dm4").write_bytes(movie)
    (folder / "film.dm4").write_bytes(dm_bytes(4, [(np.tile(frames, (30, 2, 2)), (step, step, (2.25, "s")))], False))
    (folder / "scan.sxm").write_bytes(sxm_bytes([*frames[:2].astype(np.float32)]))
    (folder / "run3").mkdir()
    for number, frame in enumerate(frames):
        tifffile.imwrite(folder / "run3" / f"frame{number}.tif", frame)
    tifffile.imwrite(folder / "HAADF [3].tif", frames[0])
    with h5py.File(folder / "beamline.h5", "w") as file:
        file["entry/data/stack"] = frames
    bm.map_phases(bm.read(folder / "my_movie.dm4"), output=folder / "my_movie-phases" / "my_movie.zarr")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore:.*pixel")  # of a scan as small as this
@pytest.mark.usefixtures("no_figures")
def test_blocks_run(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    movie = bm.read("my_movie.dm4")
    result = bm.open_result("my_movie-phases/my_movie.zarr")
    names: dict[str, Any] = {"bm": bm, "movie": movie, "image": movie[0], "result": result}
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    runnable = [block for block in blocks if not any(word in block for word in ELSEWHERE)]
    assert runnable
    for block in runnable:
        exec(compile(block, page, "exec"), names)  # the page is ours

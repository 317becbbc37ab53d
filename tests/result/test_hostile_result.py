"""Results that came from elsewhere: what they declare is not believed, and nothing outside of them is read."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.errors import BravaismapError, InputError
from bravaismap.result.live_store import LiveStore

#: How many damaged stores are tried; more by hand, for a long run.
EXAMPLES = int(os.environ.get("BRAVAISMAP_FUZZ", "60"))


@pytest.fixture(scope="module")
def good(small: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "good.zarr"
    bm.map_phases(small["image"], window=32, step=8, samples=0, output=path)
    return path


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "result.zarr"))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    about = json.loads(path.read_text(encoding="utf-8"))
    change(about)
    path.write_text(json.dumps(about), encoding="utf-8")


def edit_card(store: Path, **entries: Any) -> None:
    def change(about: dict[str, Any]) -> None:
        card = json.loads(about["attributes"]["run_card"]) | entries
        about["attributes"]["run_card"] = json.dumps(card)

    edit(store / "zarr.json", change)


def reshape(store: Path, sizes: dict[str, int], *, chunks: bool = True) -> None:
    """Declare other sizes of dimensions, all consistent with each other."""
    for path in store.glob("*/zarr.json"):
        about = json.loads(path.read_text(encoding="utf-8"))
        dims = about["dimension_names"]
        about["shape"] = [sizes.get(dim, size) for dim, size in zip(dims, about["shape"], strict=True)]
        if chunks:
            piece = [size if dim != "time" else 1 for dim, size in zip(dims, about["shape"], strict=True)]
            about["chunk_grid"]["configuration"]["chunk_shape"] = piece
        path.write_text(json.dumps(about), encoding="utf-8")


def test_a_good_result_is_opened(store: Path, small: xr.Dataset) -> None:
    result = bm.open_result(store)
    pixels = {"py": 24, "px": 24, "number": 33}
    assert result.sizes == {"time": 3, "y": 3, "x": 3, "lattice": 6, "vector": 2, "component": 2, "pair": 10} | pixels
    again = bm.map_phases(small["image"], window=32, step=8, samples=0)
    xr.testing.assert_equal(result.load(), again)


_OPEN = """
import resource, sys, time
from pathlib import Path
from bravaismap.errors import InputError
from bravaismap.result.open import open_result

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
start = time.monotonic()
for path in sys.argv[1:]:
    try:
        open_result(path)
    except InputError as error:
        assert Path(path).name in str(error), error
    else:
        raise SystemExit(f"{path} was opened")
assert time.monotonic() - start < 20, time.monotonic() - start
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_huge_sizes_are_refused_in_little_memory_and_time(good: Path, tmp_path: Path) -> None:
    paths = []
    for i, sizes in enumerate(
        [
            {"time": 10**12},
            {"time": 2**63 - 1},
            {"y": 10**6, "x": 10**6},
            {"x": 10**9},
            {"lattice": 10**9},
            {"pair": 10**12},
            {"time": 10**7, "y": 10**5},
        ]
    ):
        for chunks in (True, False):
            paths.append(shutil.copytree(good, tmp_path / f"huge-{i}-{chunks}.zarr"))
            reshape(paths[-1], sizes, chunks=chunks)
    for i, piece in enumerate(([1, 1, 1], [10**6, 10**6, 10**6])):
        paths.append(shutil.copytree(good, tmp_path / f"pieces-{i}.zarr"))
        grid = {"name": "regular", "configuration": {"chunk_shape": piece}}
        edit(paths[-1] / "entropy" / "zarr.json", lambda about, grid=grid: about.update(chunk_grid=grid))
    paths.append(shutil.copytree(good, tmp_path / "metadata.zarr"))
    with (paths[-1] / "label" / "zarr.json").open("a") as file:
        file.write(" " * 2**25)
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, *map(str, paths)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("name", ["probability", "label", "fraction", "time", "x", "lattice", "frame_done"])
def test_missing_variable(store: Path, name: str) -> None:
    shutil.rmtree(store / name)
    with pytest.raises(InputError, match=r"result\.zarr"):
        bm.open_result(store)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("probability", {"data_type": "complex64"}),
        ("probability", {"data_type": "int32", "fill_value": 0}),
        ("label", {"data_type": "uint64", "fill_value": 0}),
        ("x", {"data_type": "int8", "fill_value": 0}),
        ("entropy", {"data_type": "string", "fill_value": ""}),
        ("entropy", {"shape": [3, 3, 4]}),
        ("entropy", {"shape": [3, 3]}),
        ("entropy", {"shape": [-1, 3, 3]}),
        ("entropy", {"shape": "3"}),
        ("entropy", {"dimension_names": None}),
        ("entropy", {"dimension_names": ["time", "x", "y"]}),
        ("entropy", {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}),
        ("entropy", {"codecs": [{"name": "numcodecs.pickle"}]}),
        ("entropy", {"codecs": []}),
        ("entropy", {"node_type": "group"}),
        ("entropy", {"zarr_format": 2}),
        ("entropy", {"attributes": {"units": {"a": 1}}}),
        ("entropy", {"attributes": {"long_name": 3}}),
        ("x", {"attributes": {"units": "furlong"}}),
        ("x", {"attributes": {}}),
        ("lattice", {"attributes": {}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 5], "flag_meanings": "a b c d e"}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 5], "flag_meanings": "a b c d e e"}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 9], "flag_meanings": "a b c d e f"}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 5], "flag_meanings": "a b c d e ../f"}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 5], "flag_meanings": "a b c d e \x1b[2J"}}),
        ("lattice", {"attributes": {"flag_values": [0, 1, 2, 3, 4, 5], "flag_meanings": 7}}),
    ],
)
def test_variable_that_is_not_what_it_should_be(store: Path, name: str, change: dict[str, Any]) -> None:
    edit(store / name / "zarr.json", lambda about: about.update(change))
    with pytest.raises(InputError, match=r"result\.zarr"):
        bm.open_result(store)


def test_attributes_that_would_change_values_are_not_followed(store: Path) -> None:
    expected = bm.open_result(store).load()
    edit(
        store / "entropy" / "zarr.json", lambda about: about["attributes"].update(scale_factor=1e9, coordinates="label")
    )
    edit(store / "time" / "zarr.json", lambda about: about["attributes"].update(units="days since 1900", calendar="?"))
    found = bm.open_result(store).load()
    np.testing.assert_array_equal(found["entropy"], expected["entropy"])
    np.testing.assert_array_equal(found["time"], expected["time"])


@pytest.mark.parametrize(
    "entries",
    [
        {"window": "128"},
        {"window": -1},
        {"step": True},
        {"frame_size": [1e9]},
        {"frame_size": "big"},
        {"pixel_size_nm": -0.1},
        {"pixel_size_nm": float("inf")},
        {"frame_time_s": {}},
    ],
)
def test_run_card_that_no_run_was_given(store: Path, entries: dict[str, Any]) -> None:
    edit_card(store, **entries)
    with pytest.raises(InputError, match="run card has the"):
        bm.open_result(store)


@pytest.mark.parametrize("card", ["[" * 100_000, "1" * 5000, "[]", "nul", 3, None])
def test_run_card_that_is_none(store: Path, card: Any) -> None:
    edit(store / "zarr.json", lambda about: about["attributes"].update(run_card=card))
    with pytest.raises(InputError, match="run card is missing or damaged"):
        bm.open_result(store)


def test_unknown_variables(store: Path) -> None:
    shutil.copytree(store / "entropy", store / "doubt")
    assert "doubt" in bm.open_result(store)
    edit(store / "doubt" / "zarr.json", lambda about: about.update(shape=[10**9, 3, 3]))
    with pytest.raises(InputError, match="doubt"):
        bm.open_result(store)
    shutil.rmtree(store / "doubt")
    shutil.copytree(store / "entropy", store / "inner" / "deep")
    (store / "inner" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(InputError, match="inner"):
        bm.open_result(store)


@pytest.mark.parametrize("where", ["zarr.json", "label/zarr.json", "label", "label/c", "x/c/0", "more"])
def test_links_out_of_a_store_are_not_followed(store: Path, tmp_path: Path, where: str) -> None:
    inside, outside = store / where, tmp_path / "outside"
    if inside.exists():
        inside.rename(outside)
    else:
        outside.mkdir()
    try:
        inside.symlink_to(outside)
    except OSError:
        pytest.skip("links are not permitted here")
    with pytest.raises(InputError, match="a link to elsewhere"):
        bm.open_result(store)


def test_a_link_to_a_store_is_followed(store: Path, tmp_path: Path) -> None:
    try:
        (tmp_path / "here.zarr").symlink_to(store)
    except OSError:
        pytest.skip("links are not permitted here")
    assert bm.open_result(tmp_path / "here.zarr").sizes["time"] == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system here")
@pytest.mark.parametrize("where", ["zarr.json", "label/zarr.json", "time/c/0"])
def test_pipes_are_not_waited_for(store: Path, where: str) -> None:
    (store / where).unlink()
    os.mkfifo(store / where)
    with pytest.raises(InputError, match="no file"):
        bm.open_result(store)


def test_names_with_separators_in_consolidated_metadata_are_not_followed(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store / "entropy", tmp_path / "secret")

    def change(about: dict[str, Any]) -> None:
        inner = about["consolidated_metadata"]["metadata"]
        inner["../secret"] = inner["entropy"]
        inner["/etc"] = inner["entropy"]

    edit(store / "zarr.json", change)
    assert not [name for name in bm.open_result(store).variables if "secret" in str(name) or "etc" in str(name)]


def test_live_results_are_checked_too(small: xr.Dataset, tmp_path: Path) -> None:
    first = bm.map_phases(small["image"][:1], window=32, step=8, samples=0)
    path = tmp_path / "live.zarr"
    live = LiveStore(path, first, first.attrs)
    live.append(first, "frame_0.tif")
    assert bm.open_result(path).sizes["time"] == 1  # longer arrays than frames
    live.close()
    assert bm.open_result(path).sizes["time"] == 1
    edit(path / "entropy" / "zarr.json", lambda about: about.update(shape=[10**9, 3, 3]))
    with pytest.raises(InputError, match="entropy"):
        bm.open_result(path)
    (path / "frame_done" / "frames.jsonl").write_bytes(b"\xff\xfe\x00")
    edit(path / "entropy" / "zarr.json", lambda about: about.update(shape=[1, 3, 3]))
    with pytest.raises(InputError, match=r"live\.zarr"):
        bm.open_result(path)


def damage(store: Path, rng: random.Random) -> tuple[Path, str]:
    """Damage one file of a store in one way, and say which and how."""
    files = sorted(p for p in store.rglob("*") if p.is_file())
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    way = rng.choice(("flip", "cut", "number", "swap", "remove"))
    if way == "flip":
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        content = content[: rng.randrange(len(content))]
    elif way == "number" and path.name == "zarr.json":
        place = rng.choice([i for i, byte in enumerate(content) if byte in b"0123456789"])
        content[place : place + 1] = str(rng.choice((0, -1, 7, 10**9, 2**63, 1e300, "NaN", "[]", '"x"'))).encode()
    elif way == "swap":
        content = bytearray(rng.choice(files).read_bytes())
    path.unlink()
    if way != "remove":
        path.write_bytes(bytes(content))
    return path, way


@pytest.mark.filterwarnings("ignore:Object at")  # zarr's own words on a file that is missing
def test_damaged_at_random(store: Path) -> None:
    rng = random.Random(os.environ.get("BRAVAISMAP_FUZZ_SEED", "5"))
    whole = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    refused = 0
    for _ in range(EXAMPLES):
        ways = [damage(store, rng) for _ in range(rng.randint(1, 2))]
        try:
            result = bm.open_result(store)
            assert {*result["label"].dims} == {"time", "y", "x"}
            repr(result[["label"]])
        except BravaismapError as error:
            refused += "\n" not in str(error)
        except Exception as error:
            raise AssertionError(f"{ways}: {error!r}") from error
        for path, _ in ways:
            path.write_bytes(whole[path])
    assert 0.3 * EXAMPLES < refused < EXAMPLES

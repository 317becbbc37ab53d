"""The wheel and the source distribution: they build, and hold what they should and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "bravaismap"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build both from the source tree, without a network, and return them by their ending."""
    pytest.importorskip("build", reason="build is not installed (extra dev)")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.suffix: path for path in folder.iterdir()}


def test_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    files = {name for name in names if ".dist-info/" not in name}
    wanted = {".py", ".typed", ".yaml", ".json", ".safetensors", ".toml"}
    source = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix in wanted]
    assert files == {f"bravaismap/{path.relative_to(PACKAGE).as_posix()}" for path in source}
    assert {"bravaismap/py.typed", "bravaismap/interop/napari.yaml", "bravaismap/weights/dcnn.safetensors"} < files
    cards = {name.removesuffix(".json") for name in files if name.endswith(".json")}
    assert cards == {name.removesuffix(".safetensors") for name in files if name.endswith(".safetensors")}
    about = {name.split(".dist-info/")[1] for name in names if ".dist-info/" in name}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert built[".whl"].stat().st_size < 20e6


def test_metadata_of_the_wheel(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        (entries,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        about = message_from_string(archive.read(metadata).decode())
        points = archive.read(entries).decode()
    assert about["Name"] == "bravaismap"
    assert about["License-Expression"] == "GPL-3.0-or-later"
    assert about["Requires-Python"] == ">=3.11"
    assert {"video", "stm", "hyperspy", "napari", "dev"} <= set(about.get_all("Provides-Extra", []))
    assert "bravaismap = bravaismap.cli:main" in points
    assert "[napari.manifest]\nbravaismap = bravaismap.interop:napari.yaml" in points


def test_source_distribution_is_complete(built: dict[str, Path]) -> None:
    with tarfile.open(built[".gz"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    needed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt", "Makefile"}
    assert needed <= names
    for folder in ("src/bravaismap", "tests", "docs", "examples", "benchmarks"):
        assert any(name.startswith(f"{folder}/") for name in names)
    source = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    assert source <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".zarr", ".mp4"))]
    assert built[".gz"].stat().st_size < 25e6


def test_descriptions_are_rendered_by_an_index(built: dict[str, Path]) -> None:
    pytest.importorskip("twine", reason="twine is not installed (extra dev)")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2

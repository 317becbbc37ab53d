"""The documentation builds without a warning and without a network, its examples run, and its pages fetch nothing."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

#: Runs Sphinx in a process in which every connection fails.
OFFLINE = """
import socket, sys

def refuse(*_, **__):
    raise OSError("the documentation was built with a network connection")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def test_constants_of_the_mathematics_are_those_of_the_code() -> None:
    from bravaismap.classify import posterior_settings
    from bravaismap.measure.settings import SETTINGS

    text = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    odds, factors, evidence = SETTINGS.odds, SETTINGS.covariance, SETTINGS.evidence
    low, high = evidence.ring_range
    errors, distortion = posterior_settings.SETTINGS.errors, posterior_settings.SETTINGS.distortion
    (clear, _), (rare, factor) = errors.scales
    for said in (
        f"{odds.slope:g}\\,(E - {odds.even_evidence:g})",
        f"q(E) = {errors.least_mistaken:g} + \\frac{{{errors.more_mistaken:g}}}"
        f"{{1 + e^{{(E - {errors.mistaken_evidence:g}) / {errors.mistaken_width:g}}}}}",
        f"{clear:g}\\, C_\\Sigma + {rare:g} \\cdot ({factor:g}\\, C_\\Sigma)",
        f"\\delta_0 = {distortion.calibrated:g}$",
        f"\\max(\\delta_0, {distortion.straightest_part:g}\\,D)",
        f"probability {distortion.calibrated_share:g} and has",
        f"m = {distortion.near_miss:g}\\,(D - \\delta_0)",
        f"{distortion.near_miss_frequency:g} + {1 - distortion.near_miss_frequency:g} \\prod",
        f"\\to\\; {factors.factor:g} \\left(1 + \\frac{{{factors.few_cells:g}}}{{n}}\\right)",
        f"$\\nu = {evidence.freedom:g}$",
        f"what {evidence.visible_cells:g} cells",
        f"${low:g} < E < {high:g}$",
        f"at {evidence.broad_worth:g} of their worth",
    ):
        assert said in text, said


def test_metric_of_the_mathematics_is_that_of_the_code() -> None:
    from bravaismap.lattice.basis import basis_from_cell
    from bravaismap.lattice.shape import hyperbolic_distance, shape

    basis = basis_from_cell(1.0, 1.3, 1.35, 0.4)  # far from the sides, where a shape would be folded back
    linear = np.array([[1.02, 0.01], [-0.015, 0.99]])
    tau, moved = shape(basis), shape(basis @ linear)
    along = np.linalg.svd(linear, compute_uv=False)
    assert float(hyperbolic_distance(tau, moved)) == pytest.approx(np.log(along[0] / along[1]), rel=1e-9)


#: The pages are built once, by one process, for all tests that read them.
reads_the_site = pytest.mark.xdist_group("site")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a copy of the documentation, and return the folder of its pages."""
    pytest.importorskip("sphinx_gallery")
    folder = tmp_path_factory.mktemp("docs")
    unwanted = shutil.ignore_patterns("made", "_build", "__pycache__")
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", str(folder / "docs"), str(folder / "html")]
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *options], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return folder / "html"


@pytest.mark.slow
@reads_the_site
def test_every_page_is_there(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    written = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert written <= pages
    for name in ("classify", "map_phases", "read", "fit_growth", "strain_map"):
        assert f"made/api/bravaismap.{name}" in pages
    contents = (site / "index.html").read_text(encoding="utf-8")
    assert all(word in contents for word in ("Start here", "Tutorials", "How to", "Limits", "Gallery", "Functions"))


@pytest.mark.slow
@reads_the_site
def test_examples_drew_and_printed(site: Path) -> None:
    folders = {
        "tutorials": ROOT / "docs" / "tutorials",
        "gallery": ROOT / "examples",
        "limits": ROOT / "docs" / "limits",
    }
    for name, sources in folders.items():
        for source in sources.glob("*.py"):
            page = (site / "made" / name / f"{source.stem}.html").read_text(encoding="utf-8")
            assert "sphx-glr-script-out" in page or "sphx-glr-single-img" in page, source
            assert "Traceback" not in page
    assert "hexagonal" in (site / "made" / "tutorials" / "image.html").read_text(encoding="utf-8")


@pytest.mark.slow
@reads_the_site
def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)\"", text)
        assert fetched == [], page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", text), sheet


@pytest.mark.slow
@reads_the_site
def test_formulas_need_no_script(site: Path) -> None:
    text = (site / "mathematics.html").read_text(encoding="utf-8")
    assert text.count("<math") > 40
    assert not re.search(r"<script[^>]*mathjax", text, flags=re.IGNORECASE)
    assert not re.search(r"\\(?:frac|tau|sum|sigma)\b", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


@pytest.mark.slow
def test_accuracy_page_is_written_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["accuracy.py", "-n", "24", "-o", str(tmp_path)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(ROOT / "docs" / "accuracy.py"), run_name="__main__")
    made, kept = ((folder / "accuracy.md").read_text(encoding="utf-8") for folder in (tmp_path, ROOT / "docs"))
    assert made.startswith("# Accuracy\n\n24 windows of 128 px of each kind, seed 7")
    assert "`python docs/accuracy.py -n 24`" in made
    assert [line for line in made.splitlines() if line.startswith("#")] == [
        line for line in kept.splitlines() if line.startswith("#")
    ]
    assert sum(line.startswith("| **") for line in made.splitlines()) == 12
    assert {path.name for path in (tmp_path / "images").iterdir()} == {
        "reliability_simulated.png", "reliability_realistic.png"
    }  # fmt: skip

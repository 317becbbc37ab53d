"""The viewer in a live JupyterLab, in a real browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import bravaismap as bm
from bravaismap.simulate.writing import write_film

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
]

#: Brings the frame into view and returns a place on it.
PLACE = """() => {
    const doc = Bokeh.documents.find(one => one.get_model_by_name('frame'))
    const view = Bokeh.index.find_one(doc.get_model_by_name('frame'))
    view.el.scrollIntoView()
    const box = view.el.getBoundingClientRect()
    return [box.x + box.width / 3, box.y + box.height / 3]
}"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """Write a notebook that shows a result and views it, and return its path."""
    write_film(bm.simulate_film(3, 128, seed=1), tmp_path / "film.h5")
    movie = bm.read(tmp_path / "film.h5", dataset="image")
    bm.map_phases(movie, window=64, samples=0, output=tmp_path / "film.zarr")
    cells = [
        "import bravaismap as bm\nresult = bm.open_result('film.zarr')\nresult",
        "bm.view(result, movie='film.h5', dataset='image')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "view.ipynb")
    return tmp_path / "view.ipynb"


@pytest.fixture
def address(notebook: Path) -> Iterator[str]:
    """Serve JupyterLab for this computer alone, and return the address of the notebook."""
    from bravaismap.viewer.addresses import free_port

    port = free_port("127.0.0.1")
    options = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.token=", "--ServerApp.password="]
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={notebook.parent}"]
    environment = {**os.environ, "HOME": str(notebook.parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:  # fmt: skip
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                    break
                except OSError:
                    time.sleep(1)
            yield f"http://127.0.0.1:{port}/lab/tree/{notebook.name}"
        finally:
            process.terminate()


def test_view_in_a_notebook(address: str) -> None:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.goto(address)
        page.locator(".jp-Notebook").first.wait_for(timeout=90_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)  # the kernel has started
        page.get_by_role("menuitem", name="Run").first.click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator(".bravaismap-time").filter(has_text="frame 0").wait_for(timeout=180_000)
        page.locator('img[alt="map of the last frame"]').wait_for(timeout=10_000)
        told = page.locator(".bravaismap-window").filter(has_text="window in row")
        deadline = time.monotonic() + 60
        while not told.is_visible():  # a click before the kernel listens to the plot is lost
            assert time.monotonic() < deadline
            page.mouse.click(*page.evaluate(PLACE))
            page.wait_for_timeout(5000)
        browser.close()

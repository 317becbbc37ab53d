"""Make docs/images/viewer.png: the viewer on a simulated film that decomposes under the beam.

python docs/picture_of_the_viewer.py [PATH]

Needs the extra `viewer`, playwright, and Chromium or Chrome.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import bravaismap as bm
from bravaismap.files import replacing
from bravaismap.viewer.movie_source import open_source
from bravaismap.viewer.server import free_port, serve

PATH = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/viewer.png")
FRAMES, SHOWN = 16, 14
PLACE = """([x, y]) => {
    const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name('frame'));
    const box = view.el.getBoundingClientRect();
    return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
}"""


def photograph(url: str, result: bm.phases.PhaseMap) -> bytes:
    """Open the page, look at a window at the edge of the void, and return a picture of the page."""
    browser = next(path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name)))
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = started.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        slider = page.locator("input[type=range]").first
        slider.focus()
        for _ in range(SHOWN):
            slider.press("ArrowRight")
        page.locator(".bravaismap-time").filter(has_text=f"frame {SHOWN} of").wait_for()
        label = result["label"].isel(time=SHOWN)
        crystal = (label == bm.CLASSES.index("hexagonal")).values
        beside = crystal[:, 1:] & ~crystal[:, :-1]
        row, column = next(zip(*beside.nonzero(), strict=True), (5, 5))
        place = float(result["x"][column + 1]), float(result["y"][row])
        page.mouse.click(*page.evaluate(PLACE, list(place)))
        page.locator(".bravaismap-window").filter(has_text="verdict").wait_for()
        page.mouse.move(640, 790)
        time.sleep(1)
        picture = page.screenshot()
        started.close()
    return picture


with tempfile.TemporaryDirectory() as folder:
    film = bm.simulate_film(FRAMES, 512, seed=3)["image"]
    result = bm.map_phases(film, output=Path(folder) / "film.zarr")
    source, port = open_source(Path(folder) / "film.zarr", film), free_port("127.0.0.1")
    server = serve(source, port=port, wait=False)
    time.sleep(2)
    shot = photograph(f"http://127.0.0.1:{port}", result)
    server.stop()
    source.close()

PATH.parent.mkdir(parents=True, exist_ok=True)
with replacing(PATH) as temporary:
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT).save(
        temporary, optimize=True
    )
print(f"wrote {PATH}, {PATH.stat().st_size / 1000:.0f} kB")

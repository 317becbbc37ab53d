"""Time the viewer on a film of 512² at step 16: until the first picture is there, and what Python does for a frame.

The first picture is timed by the clock of a real Chromium, which runs already, if there is one and Playwright is
installed.

python benchmarks/viewer.py
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from machine import machine

import bravaismap as bm
from bravaismap.simulate.writing import write_film
from bravaismap.viewer.interaction import Session
from bravaismap.viewer.result_source import StoredResult

FRAMES, SIZE, STEP = 12, 512, 16


def timed(action: Callable[[], object]) -> float:
    """Return how long an action takes, in ms."""
    started = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - started)


def frame_changes(session: Session, order: range) -> list[float]:
    return [timed(lambda frame=frame: setattr(session.page.player, "value", frame)) for frame in order]


def report(what: str, times: list[float]) -> None:
    print(f"{what:<58} median {np.median(times):5.0f} ms, largest {max(times):5.0f} ms")


#: When the browser drew something first, in s since 1970, as it says itself.
PAINTED = """() => performance.getEntriesByName('first-contentful-paint').map(
    entry => (performance.timeOrigin + entry.startTime) / 1000)[0]"""

#: Whether the plots are drawn, which take the first picture away.
WHOLE = "() => window.Bokeh?.documents?.length > 0 && document.getElementById('first-picture') == null"


def opening(store: Path, film: Path) -> None:
    """Print how long it takes from the command to the first picture and to the whole page, five times over."""
    browser = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser = None
    if browser is None:
        print("no Chromium or no Playwright: the first picture is not timed")
        return
    command = [sys.executable, "-m", "bravaismap.cli", "view", str(store), "--movie", str(film), "--dataset", "image"]
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        times = np.array([opened(started, [*command, "--no-browser", "--quiet"]) for _ in range(5)])
        started.close()
    names = ("from the command to the address", "from the command to the first picture", "from the command to the page",
             "processor time until the first picture", "processor time until the page")  # fmt: skip
    for name, column in zip(names, times.T, strict=True):
        print(f"{name:<58} median {np.median(column):5.2f} s, largest {column.max():5.2f} s")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def used(pid: int) -> float:
    """Return the processor time of a process in s."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def opened(browser: object, command: list[str]) -> tuple[float, float, float, float, float]:
    """Return the seconds until the address, the picture and the page, and of the processor until the last two."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "300"}) as process:
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        address = time.time() - start
        page.goto(url, wait_until="commit")
        painted = page.wait_for_function(PAINTED, timeout=60_000).json_value() - start
        before = used(process.pid)
        page.wait_for_function(WHOLE, timeout=60_000)
        whole, after = time.time() - start, used(process.pid)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    page.close()
    return address, painted, whole, before, after


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        film, store = Path(folder) / "film.h5", Path(folder) / "film.zarr"
        write_film(bm.simulate_film(FRAMES, SIZE, seed=0), film)
        movie = bm.read(film, dataset="image")
        bm.map_phases(movie, step=STEP, output=store)
        opening(store, film)
        source = StoredResult(store, movie)
        while source.update():
            pass
        session = Session(source)
        report(f"a frame of {SIZE}² not read before", frame_changes(session, range(1, FRAMES // 2)))
        session.window.choose(12, 12)
        report("the same with a window open", frame_changes(session, range(FRAMES // 2, FRAMES)))
        report("a frame read before", frame_changes(session, range(FRAMES - 2, 0, -1)))
        report("another distortion", [
            timed(lambda d=d: setattr(session.page.distortion, "value", d)) for d in (1.5, 1.0, 0.5, 0.3)
        ])  # fmt: skip
        session.curves.close()
        report("a click on a window", [timed(lambda i=i: session.window.choose(i, i)) for i in range(2, 12)])
        source.close()


if __name__ == "__main__":
    main()

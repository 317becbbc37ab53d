"""The viewer as a person uses it: in a real browser, through the command line."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest

import bravaismap as bm
from bravaismap.simulate.writing import write_film

pytest.importorskip("panel", reason="the extra `viewer` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine"),
]

#: Where a point of a plot lies on the screen.
PLACE = """([name, x, y]) => {
    const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name));
    const box = view.el.getBoundingClientRect();
    return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)];
}"""
#: Where a plot lies on the screen.
BOX = """name => {
    const box = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(name)).el.getBoundingClientRect();
    return {left: box.left, right: box.right, top: box.top, bottom: box.bottom, width: box.width, height: box.height};
}"""
#: A column of the data that a plot draws.
COLUMN = """([name, column]) => {
    const plot = Bokeh.documents[0].get_model_by_name(name);
    const sources = plot.renderers.map(one => one.data_source).filter(one => one.data.get
        ? one.data.has(column) : column in one.data);
    const data = sources[sources.length - 1].data;
    return Array.from(data.get ? data.get(column) : data[column]);
}"""


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "TERM": "dumb", "COLUMNS": "300"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a film of six frames of 192 px and its result, and return their folder."""
    folder = tmp_path_factory.mktemp("film")
    write_film(bm.simulate_film(6, 192, seed=1), folder / "film.h5")
    movie = bm.read(folder / "film.h5", dataset="image")
    bm.map_phases(movie, window=96, step=32, output=folder / "film.zarr")
    return folder


@contextmanager
def served(*arguments: object) -> Iterator[str]:
    """Start ``bravaismap view`` and end it with Ctrl-C, which must be clean."""
    command = [sys.executable, "-m", "bravaismap.cli", "view", *map(str, arguments), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://127.0.0.1:" not in line:
            raise AssertionError(process.communicate(timeout=30))
        try:
            yield next(word for word in line.split() if word.startswith("http"))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert (process.returncode, out.strip()) == (0, "stopped"), err
        assert "Traceback" not in err


@pytest.fixture(scope="module")
def shown(film: Path) -> Iterator[str]:
    """Serve the film and return the address."""
    with served(film / "film.zarr", "--movie", film / "film.h5", "--dataset", "image") as url:
        yield url


@contextmanager
def opened(browser: Any, url: str, wide: int = 1280, high: int = 800) -> Iterator[Any]:
    """Open the page; at the end nothing may have been asked of another host, nor any error reported."""
    tab = browser.new_page(viewport={"width": wide, "height": high}, accept_downloads=True)
    asked: list[str] = []
    wrong: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: asked.append(socket.url))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.set_default_timeout(60_000)
    tab.goto(url, wait_until="commit")
    tab.wait_for_selector("#first-picture img", state="attached")  # before the plots
    tab.wait_for_selector("#first-picture", state="detached")  # away when they are drawn
    text(tab, "time").filter(has_text="frame 0 of 0 to").wait_for(timeout=60_000)
    yield tab
    tab.close()
    hosts = {urlparse(one).netloc for one in asked if not one.startswith(("data:", "blob:"))}
    assert hosts == {urlparse(url).netloc}
    assert any(one.startswith("ws://") for one in asked)
    assert wrong == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=list(ARGUMENTS))
        yield started
        started.close()


def text(page: Any, name: str) -> Any:
    return page.locator(f".bravaismap-{name}")


def says(page: Any, name: str, what: str) -> None:
    """Wait until a text of the page holds something."""
    playwright.expect(text(page, name)).to_contain_text(what, timeout=60_000)


def place(page: Any, plot: str, x: float, y: float) -> tuple[float, float]:
    left, top = page.evaluate(PLACE, [plot, x, y])
    return left, top


def page_fits_a_small_screen_and_says_what_to_do(page: Any) -> None:
    says(page, "header", "6 frames of 192 × 192 px")
    says(page, "window", "Click on the frame")
    says(page, "phases", "hexagonal")
    says(page, "fit", "when you press fit")  # nothing is fitted that nobody asked for
    wide, high = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert (wide, high) == (1280, 800)


@pytest.mark.parametrize(("wide", "high"), [(1024, 768), (1920, 1080), (2560, 1440)])
def test_page_uses_the_window_of_the_browser(browser: Any, shown: str, tmp_path: Path, wide: int, high: int) -> None:
    with opened(browser, shown, wide, high) as page:
        says(page, "phases", "hexagonal")
        page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('curves').width != 694")
        page.wait_for_timeout(500)
        page.screenshot(path=tmp_path / f"{wide}.png")
        assert page.evaluate("document.documentElement.scrollWidth") == wide  # nothing is cut
        frame, curves = (page.evaluate(BOX, name) for name in ("frame", "curves"))
        assert frame["right"] <= curves["left"]  # side by side
        assert curves["right"] > 0.95 * wide  # nothing is left empty
        assert frame["width"] > 0.4 * wide or frame["height"] > 0.6 * high
        page.set_viewport_size({"width": 800, "height": 700})
        page.wait_for_function("name => Bokeh.documents[0].get_model_by_name(name).width > 750", arg="curves")
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") == 800
        assert page.evaluate(BOX, "curves")["top"] > page.evaluate(BOX, "frame")["bottom"]  # below one another


def test_keys_names_and_a_frame_beside(browser: Any, shown: str, film: Path) -> None:
    with opened(browser, shown) as page:
        says(page, "phases", "hexagonal")
        page.keyboard.press("ArrowRight")
        says(page, "time", "frame 1 of 0 to 5")
        page.keyboard.press("End")
        says(page, "time", "frame 5 of 0 to 5")
        page.keyboard.press("Home")
        says(page, "time", "frame 0 of 0 to 5")
        for name in ("play", "pause", "next frame", "first frame"):
            playwright.expect(page.get_by_role("button", name=name, exact=True)).to_have_count(1)
        playwright.expect(page.get_by_label("frame", exact=True).first).to_have_attribute("title", "frame")
        page.get_by_role("textbox", name="frame beside").or_(page.locator("input[type=text]").first).first.fill("5")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => Bokeh.documents[0].get_model_by_name('beside')?.title.text.startsWith('frame 5 of 0 to 5')"
        )
        assert page.evaluate("Bokeh.documents[0].get_model_by_name('beside').visible")
        page.get_by_role("button", name="fit", exact=True).click()
        says(page, "fit", "none")
        page.locator("input[type=checkbox]").first.check()
        says(page, "sites", " vacant (")


def step_by_keyboard_and_play(page: Any) -> None:
    slider = page.locator("input[type=range]").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    says(page, "time", "frame 1 of 0 to 5")
    page.keyboard.press("ArrowLeft")
    says(page, "time", "frame 0 of 0 to 5")
    page.locator("button.play").first.click()
    says(page, "time", "frame 5 of 0 to 5")
    says(page, "time", "t = 11.25 s")
    page.locator("button.pause").first.click()  # it stops by itself, one interval later


def click_on_a_curve(page: Any) -> None:
    page.mouse.click(*place(page, "curves", 4.6, 0.5))
    says(page, "time", "frame 2 of 0 to 5")
    playwright.expect(page.locator("input[type=range]").first).to_have_value("2")


def click_on_the_frame(page: Any, film: Path) -> None:
    result = bm.open_result(film / "film.zarr")
    row, column, frame = 1, 2, 2
    page.mouse.click(*place(page, "frame", float(result["x"][column]), float(result["y"][row])))
    says(page, "window", f"row {row}, column {column}")
    one = result.isel(time=frame, y=row, x=column).load()
    says(page, "window", f"{float(one['a']):.3f}"[:5])
    says(page, "window", "verdict")
    shown = page.evaluate(COLUMN, ["bars", "p"])
    np.testing.assert_allclose(shown, one["probability"].values, atol=1e-6)
    orders = [label for label in page.evaluate(COLUMN, ["spectrum", "text"]) if label]
    assert {"1 0", "0 1", "−1 0", "0 −1"} <= set(orders)


def change_the_distortion(page: Any, film: Path) -> None:
    result = bm.open_result(film / "film.zarr")
    handle = page.locator(".noUi-handle").nth(1)
    handle.focus()
    for _ in range(15):
        page.keyboard.press("ArrowLeft")
    sharp = bm.reclassify(result, 0.005)
    share = 100 * float(sharp["fraction"].sel(lattice="hexagonal")[2])
    says(page, "phases", f"{share:.1f} ±")
    playwright.expect(text(page, "progress")).not_to_contain_text("left", timeout=60_000)
    wanted = sharp["fraction"].sel(lattice="hexagonal").values
    page.wait_for_function(
        "([code, last]) => Math.abs((eval(code))(['curves', 'f3'])[5] - last) < 1e-6", arg=[COLUMN, float(wanted[-1])]
    )


def select_a_region(page: Any, film: Path) -> None:
    result = bm.open_result(film / "film.zarr")
    y, x = result["y"].values, result["x"].values
    page.mouse.move(*place(page, "frame", x[0] - 0.1, y[0] - 0.1))
    page.mouse.down()
    page.mouse.move(*place(page, "frame", x[1] + 0.1, y[1] + 0.1), steps=5)
    page.mouse.up()
    says(page, "region", "4 windows")
    says(page, "region", "orientation (°)")
    page.get_by_role("button", name="whole frame").click()
    says(page, "region", "Whole frame")


def find_the_motif_of_a_window(page: Any, film: Path) -> None:
    """Ask for the motif of the whole frame, then of a window that is clicked while motifs are shown."""
    result, movie = bm.open_result(film / "film.zarr"), bm.read(film / "film.h5", dataset="image")
    page.get_by_role("button", name="motif", exact=True).click()
    says(page, "motif", "press “find the motif”")
    page.get_by_role("button", name="find the motif").click()
    group = str(bm.motif_map(result, movie, frames=[2], distortion=0.005)["plane_group"].values[0])
    says(page, "motif", "cells averaged")
    says(page, "motif", f"{group} ")
    says(page, "motif", "frame 2 of 0 to 5")
    picture = text(page, "motif").locator("img")
    playwright.expect(picture).to_be_visible()
    assert picture.evaluate("one => one.naturalWidth") > 500
    page.mouse.click(*place(page, "frame", float(result["x"][2]), float(result["y"][1])))
    playwright.expect(page.get_by_role("combobox", name="motif of")).to_have_value("window")
    page.get_by_role("button", name="find the motif").click()
    says(page, "motif", ", window ")
    says(page, "motif", "Wyckoff")


def save(page: Any, path: Path, view: str, ending: str) -> bytes:
    """Save a view and return the file."""
    page.get_by_role("button", name="save", exact=True).click()
    page.locator("select").last.select_option(view)
    with page.expect_download() as download:
        page.get_by_text(f"save {ending.upper()}").first.click()
    frame = "" if view == "fraction curves" else "_frame0002"
    assert download.value.suggested_filename == f"film{frame}_{view.replace(' ', '-')}.{ending}"
    download.value.save_as(path)
    return path.read_bytes()


def test_a_session(browser: Any, film: Path, tmp_path: Path) -> None:
    movie = ("--movie", film / "film.h5", "--dataset", "image")
    with served(film / "film.zarr", *movie) as url, opened(browser, url) as page:
        page_fits_a_small_screen_and_says_what_to_do(page)
        step_by_keyboard_and_play(page)
        click_on_a_curve(page)
        click_on_the_frame(page, film)
        change_the_distortion(page, film)
        select_a_region(page, film)
        find_the_motif_of_a_window(page, film)
        rows = list(csv.DictReader(save(page, tmp_path / "csv", "fraction curves", "csv").decode().splitlines()))
        assert len(rows) == 6
        sharp = bm.reclassify(bm.open_result(film / "film.zarr"), 0.005)
        found = [float(row["hexagonal"]) for row in rows]
        np.testing.assert_allclose(found, sharp["fraction"].sel(lattice="hexagonal").values, atol=1e-6)
        assert save(page, tmp_path / "png", "frame with map", "png").startswith(b"\x89PNG")
        assert b"<svg" in save(page, tmp_path / "svg", "window", "svg")[:1000]
        assert save(page, tmp_path / "motif", "motif", "csv").startswith(b"plane_group,probability,misfit")


def test_a_movie_is_mapped_meanwhile(browser: Any, film: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", bm.read(film / "film.h5", dataset="image").values[:3])
    options = ("--window", 96, "--step", 32, "--pixel-size", 0.05, "--frame-time", 2)
    with served(tmp_path / "film.npy", *options) as url, opened(browser, url) as page:
        says(page, "header", "0.05 nm per px")
        says(page, "header", "3 frames of 192 × 192 px")  # by itself, when all are mapped
        says(page, "phases", "hexagonal")
        shares = page.evaluate(COLUMN, ["curves", "f3"])
        expected = bm.open_result(film / "film.zarr")["area_fraction"].sel(lattice="hexagonal").values[:3]
        np.testing.assert_allclose(shares, expected, atol=0.02)

"""The page without a browser: what its widgets and plots hold, the server's address, the command."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.errors import InputError
from bravaismap.result.phase_map import PhaseMap

pn = pytest.importorskip("panel", reason="the extra `viewer` is not installed")

from bravaismap.classify.settings import Settings  # noqa: E402
from bravaismap.viewer.downloads import view_file  # noqa: E402
from bravaismap.viewer.html_fragments import header_html, table_html  # noqa: E402
from bravaismap.viewer.interaction import Session  # noqa: E402
from bravaismap.viewer.look import VIEWS  # noqa: E402
from bravaismap.viewer.movie_source import MappedMovie, open_beside  # noqa: E402
from bravaismap.viewer.result_source import HeldResult  # noqa: E402


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    return bm.simulate_film(3, 128, seed=1)["image"]


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> PhaseMap:
    return bm.map_phases(movie, window=64, step=32)


@pytest.fixture
def session(result: PhaseMap, movie: xr.DataArray) -> Any:
    opened = Session(HeldResult(result, movie))
    opened.panel()
    yield opened
    opened.curves.close()


def text(session: Session, name: str) -> str:
    return str(session.page.text[name].object)


def test_the_slider_moves_the_cursor_and_a_click_on_a_curve_the_slider(session: Session, result: PhaseMap) -> None:
    session.page.player.value = 2
    assert session.page.curves._cursor.location == pytest.approx(float(result["time"][2]))
    assert "frame 2 of 0 to 2" in text(session, "time")
    share = 100 * float(result["area_fraction"].sel(lattice="hexagonal")[2])
    assert f"{share:.1f} ±" in text(session, "phases")
    assert "area" in text(session, "phases")
    session._timed(type("Tap", (), {"x": 2.0}))
    assert session.page.player.value == 1
    assert session.index == 1


def test_a_click_shows_the_window(session: Session, result: PhaseMap) -> None:
    assert "Click on the frame" in text(session, "window")
    x, y = float(result["x"][1]), float(result["y"][2])
    session.window.choose_at(y, x)
    assert session.window.place == (2, 1)
    assert (session.page.row.value, session.page.column.value) == (2, 1)
    assert "row 2, column 1" in text(session, "window")
    shown = session.page.window._bar_data.data["p"]
    np.testing.assert_allclose(shown, result["probability"].values[0, 2, 1], rtol=1e-6)
    session.page.column.value = 0  # by keyboard
    assert session.window.place == (2, 0)
    session.window.choose_at(0.0, -9.0)
    assert session.window.place == (2, 0)


def test_every_map_can_be_laid_over(session: Session) -> None:
    seen = set()
    for options in session.page.layer.groups.values():
        for key in options.values():
            session.page.layer.value = key
            numbers = key not in ("label", "phase")
            seen.add(session.page.frame._number_bar.title if numbers else "classes")
    assert len(seen) == 1 + 6 + 5 + 4 + 6
    session.page.opacity.value = 0.2
    assert session.page.frame.overlay.glyph.global_alpha == 0.2


def test_another_distortion(session: Session, result: PhaseMap) -> None:
    session.window.choose(1, 1)
    session.page.distortion.value = 0.4
    expected = bm.reclassify(result, 0.004)
    shown = session.page.window
    np.testing.assert_allclose(shown._bar_data.data["p"], expected["probability"].values[0, 1, 1], rtol=1e-6)
    share = 100 * float(expected["fraction"].sel(lattice="hexagonal")[0])
    assert f"{share:.1f} ±" in text(session, "phases")
    assert "mean probability" in text(session, "phases")
    assert session.page.layer.value == "phase"  # pixels stay those of the result
    assert len(session.page.frame._map.data["image"]) == 1


def test_a_region(session: Session, result: PhaseMap) -> None:
    y, x = result["y"].values, result["x"].values
    box = {"type": "rect", "x0": x[0] - 0.1, "x1": x[0] + 0.1, "y0": y[1] + 0.1, "y1": y[0] - 0.1}
    session._boxed(type("Geometry", (), {"geometry": box, "final": True}))
    assert " 2 windows" in text(session, "region")
    assert session.page.part.value == "region"
    session.page.region.value = "far away"
    assert "expected y0:y1,x0:x1" in text(session, "message")
    session.page.region.value = ""
    assert "Whole frame" in text(session, "region")
    assert text(session, "message") == ""


def show_sites(session: Session, until: Callable[..., None]) -> None:
    """Tick the box of the sites, and wait until they are found."""
    session.page.sites.value = True

    def shown() -> bool:
        session.tick()
        return session.sites.sites is not None

    until(shown)


def test_sites_are_found_when_they_are_asked_for(
    session: Session, result: PhaseMap, movie: xr.DataArray, until: Callable[..., None]
) -> None:
    session.page.player.value = 2
    session.tick()
    assert session.sites.sites is None  # nothing is looked for that nobody asked for
    show_sites(session, until)
    expected = bm.find_sites(result, movie, frames=[2])
    marks = session.page.frame._sites.data
    np.testing.assert_allclose(marks["x"], expected["x"].values)
    large = np.asarray(marks["radius"]) > 0.3 * float(expected.attrs["spacing"])
    marked = (expected["missing"].values > 0) | (expected["state"].values == "substituted")
    np.testing.assert_array_equal(large, marked)
    assert f"{expected.sizes['site']} sites: " in text(session, "sites")
    table = list(csv.DictReader(session_file(session, "sites", "csv")))
    assert {row["frame"] for row in table} == {"2"}
    half = float(movie["x"][-1]) / 2
    session.page.region.value = f":,:{half}"
    region = session.region.region
    y, x = expected["y"].values, expected["x"].values
    inside = int(((x >= region.x0) & (x <= region.x1) & (y >= region.y0) & (y <= region.y1)).sum())
    assert f"{inside} sites: " in text(session, "region")
    session.page.sites.value = False
    assert not session.page.frame._sites.data["x"]


def session_file(session: Session, view: str, ending: str) -> list[str]:
    """Return the lines of a view that is saved."""
    session.page.view.value = view
    return str(session.file(ending).read().decode("utf-8")).splitlines()


def test_sites_say_what_they_need(result: PhaseMap) -> None:
    alone = Session(HeldResult(result))
    alone.page.sites.value = True
    alone.tick()
    assert "give the movie" in text(alone, "sites")
    alone.curves.close()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_saved(session: Session, view: str, result: PhaseMap, until: Callable[..., None]) -> None:
    session.page.view.value = view
    if view == "fit":
        assert session.page.downloads["png"].disabled
        assert "no fit" in text(session, "save")
        session.page.fit.clicks += 1  # nothing is fitted that nobody asked for
        assert "fitting" in text(session, "fit")
        with pytest.raises(InputError, match="no fit"):
            session.file("png")
        return
    if view == "motif":
        assert "find the motif" in text(session, "save")
        session.page.motif.find.clicks += 1
        session.page.motif.wait()
    session.window.choose(0, 1)
    session.tick()
    if view == "sites":
        assert "tick" in text(session, "save")
        show_sites(session, until)
    assert not session.page.downloads["png"].disabled
    assert session.file("png").read(4) == b"\x89PNG"
    assert b"<svg" in session.file("svg").read()
    table = session.file("csv").read().decode("utf-8").splitlines()
    assert len(table) > 3
    if view == "fraction curves":
        assert len(table) == 1 + result.sizes["time"]
    if view == "frame with map":
        assert len(table) == 1 + result.sizes["y"] * result.sizes["x"]


def test_files_are_named_after_the_result_and_the_frame(session: Session) -> None:
    session.page.player.value = 2
    assert session.page.downloads["csv"].filename == "result_frame0002_frame-with-map.csv"
    session.page.view.value = "fraction curves"
    assert session.page.downloads["png"].filename == "result_fraction-curves.png"


def test_tables_have_a_column_for_each_error(session: Session) -> None:
    session.window.choose(1, 1)
    session.page.view.value = "region"
    header, *rows = csv.reader(session.file("csv").read().decode().splitlines())
    assert {"fraction", "fraction_std", "a_nm", "a_std_nm", "gamma_deg", "gamma_std_deg"} <= set(header)
    hexagonal = dict(zip(header, next(row for row in rows if row[0] == "hexagonal"), strict=True))
    assert 0 < float(hexagonal["a_std_nm"]) < float(hexagonal["a_nm"])
    session.page.view.value = "window"
    cells = {row[0]: row for row in csv.reader(session.file("csv").read().decode().splitlines()) if row}
    assert float(cells["γ"][1]) == pytest.approx(60, abs=2)
    assert cells["γ"][2].startswith("0.")


def test_a_saved_frame_has_outlines_only_where_they_were_asked_for(session: Session) -> None:
    session.window.choose(1, 1)
    session.page.view.value = "frame with map"
    assert session._look().window is None
    session.page.outlined.value = True
    assert session._look().window is not None


def test_brightness_gamma_and_the_ends_of_a_scale(session: Session) -> None:
    before = session.page.frame._grey.data["image"][0].astype(int)
    session.page.gamma.value = 0.5
    assert (session.page.frame._grey.data["image"][0] >= before).all()
    session.page.brightness.value = (10, 90)
    after = session.page.frame._grey.data["image"][0]
    assert (after == 255).mean() == pytest.approx(0.1, abs=0.02)
    session.page.layer.value = "a"
    session.page.limits.value = "0.2:0.4"
    assert (session.page.frame._mapper.low, session.page.frame._mapper.high) == (0.2, 0.4)


def test_another_frame_or_another_result_beside_the_first(
    session: Session, result: PhaseMap, movie: xr.DataArray
) -> None:
    assert session.page.beside is None  # not made before it is needed
    session.page.other.value = 2
    assert session.page.beside.plot.visible
    assert session.page.beside.plot.title.text.startswith("frame 2")
    assert session.page.beside._map.data["image"]
    session.page.other.value = None
    assert not session.page.beside.plot.visible
    coarse = HeldResult(bm.map_phases(movie[:2], window=64, step=64), title="coarse")
    two = Session(HeldResult(result, movie), coarse)
    two.page.player.value = 2
    assert two.page.beside.plot.title.text.startswith("coarse · frame 1")
    assert two.page.beside._grey.data["image"]
    two.page.layer.value = "probability:hexagonal"
    assert two.page.beside._map.data["image"][0].max() <= 1
    two.curves.close()


def test_a_result_of_other_frames_is_not_shown_beside(result: PhaseMap, movie: xr.DataArray) -> None:
    first = HeldResult(result, movie, "whole")
    assert open_beside(result, first).card == first.card
    part = bm.map_phases(movie[:1, :96], window=64, step=32)
    columns = movie.sizes["x"]
    with pytest.raises(InputError, match=rf"have 96 × {columns} px, those of whole {movie.sizes['y']} × {columns} px"):
        open_beside(part, first)


def test_the_page_of_a_result_needs_neither_torch_nor_a_fit() -> None:
    code = (
        "import sys, bravaismap.viewer.server, bravaismap.viewer.movie_source; "
        "print([name for name in ('torch', 'lmfit', 'scipy.stats', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_fit_can_be_saved(session: Session) -> None:
    from bravaismap.viewer.fraction_curves import fit_of

    time = ("time", np.arange(30.0), {"units": "s"})
    values = 0.01 * np.exp(0.1 * np.arange(30)) + np.random.default_rng(0).normal(0, 0.002, 30)
    data = {
        "fraction": (("time", "lattice"), values[:, None]),
        "fraction_std": (("time", "lattice"), values[:, None] / 9),
    }
    session.growth.fit = fit_of(xr.Dataset(data, coords={"time": time, "lattice": ["none"]}), "none", "exponential")
    look = session._look()
    assert view_file(look, "fit", "png").read(4) == b"\x89PNG"
    table = view_file(look, "fit", "csv").read().decode().splitlines()
    assert [line.partition(",")[0] for line in table[-3:]] == ["A0", "rho", "C"]


def test_a_result_without_its_movie_says_how_to_give_it(result: PhaseMap) -> None:
    session = Session(HeldResult(result))
    session.window.choose(0, 0)
    assert "--movie" in text(session, "movie")
    assert session.page.frame._map.data["image"]
    assert not session.page.frame._grey.data["image"]
    assert session.page.frame.overlay.glyph.global_alpha == 1
    assert "hexagonal" in text(session, "window")
    for view in ("frame with map", "window", "region"):
        session.page.view.value = view
        assert session.file("png").read(4) == b"\x89PNG"


def test_a_movie_is_mapped_under_the_eyes(movie: xr.DataArray) -> None:
    source = MappedMovie(movie, settings=Settings(window=64, step=32))
    session = Session(source)
    assert "being mapped" in text(session, "message")
    assert session.page.frame._grey.data["image"]
    session.page.player.value = 1
    assert source.map_next() == 1
    session.tick()
    assert text(session, "message") == ""
    assert "1 mapped of 3 frames" in text(session, "header")
    assert session.page.frame._map.data["image"]
    session.page.player.value = 0
    assert "not mapped yet (1 of 3 are)" in text(session, "message")


def test_a_network_measures_no_cells(movie: xr.DataArray, weights: Path) -> None:
    session = Session(HeldResult(bm.map_phases(movie[:1], window=64, step=32, model=weights, samples=3), movie[:1]))
    assert session.page.distortion.disabled
    assert set(session.page.layer.groups) == {"Class", "Probability of", "Map of"}
    session.window.choose(0, 0)
    assert "this model measures none" in text(session, "window")
    session.page.view.value = "shapes"
    assert "no shapes" in text(session, "save")


def test_names_from_a_file_are_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    assert "<script>" not in header_html(evil, {"model": evil}, "1 frame")
    assert "<script>" not in table_html([["phase"], [evil]], ("none",))


def test_colours_are_those_of_the_package(session: Session) -> None:
    assert session.page.frame._class_bar.color_mapper.palette == [COLORS[name] for name in CLASSES]
    assert session.page.frame._class_bar.title == "phase of every pixel"
    session.page.layer.value = "label"
    assert session.page.frame._class_bar.title == "most probable class"
    session.page.layer.value = "phase"


def test_a_single_image(movie: xr.DataArray) -> None:
    source = MappedMovie(movie[0], settings=Settings(window=64, step=32))
    session = Session(source)
    assert source.map_next() == 0
    session.tick()
    assert session.page.player.disabled
    assert "1 frame of 128 × 128 px" in text(session, "header")
    session.window.choose(1, 1)
    assert session.file("png").read(4) == b"\x89PNG"

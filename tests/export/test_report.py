"""The report of a result: a page that needs nothing else, with the numbers of the result and nothing but text in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.conventions import CLASSES, display_name
from bravaismap.errors import InputError, OutputError
from bravaismap.export.html_page import bullets, cell, page, table
from bravaismap.export.report import PAPER, export_report, report
from bravaismap.result.phase_map import percent, with_error

HOSTILE = '"><script src="http://evil.example/x.js"></script><img src=x onerror=alert(1)> $\\frac{'


class Page(HTMLParser):
    """What a page holds: tags with their attributes, text, headings, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag in ("h1", "h2"):
            self.headings.append("")
        if tag not in ("img", "br", "meta"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self._inside:
            return
        self.text.append(data)
        if "td" in self._inside or "th" in self._inside:
            self.rows[-1][-1] += (" | " if "small" in self._inside else "") + data
        elif {"h1", "h2"} & set(self._inside):
            self.headings[-1] += data

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == first)


def film(frames: int = 12, *, cells: bool = True, unit: str = "nm", grow: bool = True, **attributes: Any) -> xr.Dataset:
    """Return a result of which everything is known: none grows exponentially from 2 %."""
    rng, classes = np.random.default_rng(4), len(CLASSES)
    maps, size = ("time", "y", "x"), (frames, 3, 4)
    none = 0.02 + (0.001 * np.exp(0.5 * np.arange(frames)) if grow else 0)
    none = np.clip(none + 0.0005 * rng.standard_normal(frames), 0, 1)
    probability = np.zeros((*size, classes), np.float32)
    probability[..., 3] = (1 - none)[:, None, None]
    probability[..., 5] = none[:, None, None]
    label = np.full(size, 3, np.int8)
    label[:, 0, 0] = 4
    data: dict[str, Any] = {
        "probability": ((*maps, "lattice"), probability),
        "probability_std": ((*maps, "lattice"), 0.1 * probability),
        "entropy": (maps, rng.random(size)),
        "mutual_information": (maps, 0.1 * rng.random(size)),
        "label": (maps, label),
        "fraction": (("time", "lattice"), probability.mean((1, 2), dtype=float)),
        "fraction_std": (("time", "lattice"), np.full((frames, classes), 0.001)),
    }
    if cells:
        for name, value, error, units in (
            ("a", 0.3152, 4e-4, unit), ("b", 0.3155, 5e-4, unit), ("gamma", 60.1, 0.2, "degree"),
            ("orientation", 12.0, 0.3, "degree"),
        ):  # fmt: skip
            data[name] = (maps, rng.normal(value, error, size).astype(np.float32), {"units": units})
            data[f"{name}_std"] = (maps, np.full(size, error, np.float32), {"units": units})
        basis = np.broadcast_to(np.array([[0.0, 0.315], [0.273, 0.158]], np.float32), (*size, 2, 2))
        data["basis"] = ((*maps, "vector", "component"), basis, {"units": unit})
    clock = {"units": "s" if unit == "nm" else "frame"}
    card = {
        "version": "0.1.0", "model": "lattice", "distortion": 0.02, "input": "film.dm4", "window": 64, "step": 16,
        "frame_size": [96, 112], "pixel_size_nm": 0.02 if unit == "nm" else None,
        "frame_time_s": 2.25 if unit == "nm" else None,
    } | attributes  # fmt: skip
    return xr.Dataset(
        data,
        coords={
            "time": ("time", np.arange(frames) * (2.25 if unit == "nm" else 1.0), clock),
            "y": ("y", np.arange(3) * 0.3 + 0.6, {"units": unit}),
            "x": ("x", np.arange(4) * 0.3 + 0.6, {"units": unit}),
            "lattice": list(CLASSES),
        },
        attrs=card,
    )


@pytest.fixture(scope="module")
def result() -> xr.Dataset:
    return film()


@pytest.fixture(scope="module")
def text(result: xr.Dataset) -> str:
    return report(result, np.random.default_rng(0).random((12, 96, 112)), times=[0, -1])


def test_page_needs_nothing_else(text: str) -> None:
    found = Page(text)
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data"):
            assert str(attributes.get(name, "data:")).startswith("data:image/png;base64,") or name not in attributes
    assert "url(" not in text
    assert "@import" not in text
    policies = [a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    pictures = [attributes for tag, attributes in found.tags if tag == "img"]
    assert len(pictures) == 2 + 2 * 5
    assert all(attributes["alt"] for attributes in pictures)
    assert "@media print" in text


def test_page_has_the_numbers_of_the_result(text: str, result: xr.Dataset) -> None:
    found = Page(text)
    assert found.headings[:4] == ["Phases of film.dm4", "Phases", "Kinetics", "Maps at t = 0.00 s"]
    for i, name in enumerate(CLASSES):
        one = result.isel(lattice=i)
        fraction, std = one["fraction"].values, one["fraction_std"].values
        row = found.row(display_name(name))
        assert row[2:4] == [percent(fraction[k], std[k]) for k in (0, -1)]
        low, high = 100 * fraction.min(), 100 * fraction.max()
        assert row[4] == f"{100 * fraction.mean():.1f} % | {low:.1f} to {high:.1f} %"
    first = result.isel(time=0).where(result["label"].isel(time=0) == 3)
    rows = [row for row in found.rows if row[:2] == ["hexagonal", "11"]]
    assert len(rows) == 2
    for text_of, name in zip(rows[0][2:], ("a", "b", "gamma"), strict=True):
        shown = with_error(float(first[name].median()), float(first[f"{name}_std"].median()))
        assert text_of == f"{shown} | between windows {float(first[name].std(ddof=1)):.2g}"
    assert found.row("window") == ["window", "64"]
    assert found.row("pixel_size_nm") == ["pixel_size_nm", "0.02"]
    assert PAPER in found.words
    assert re.search(r"numpy \d", found.words)
    assert "12 of 12 frames are mapped" in found.words


def test_kinetics_are_those_of_fit(text: str, result: xr.Dataset) -> None:
    from bravaismap.kinetics.dose import physical_growth
    from bravaismap.kinetics.growth import compare_laws, fit_growth
    from bravaismap.kinetics.laws import printed

    curve = result.sel(lattice="none")
    growth = fit_growth(curve["fraction"], std=curve["fraction_std"])
    assert float(growth["value"].sel(parameter="rho")) == pytest.approx(0.5 / 2.25, rel=0.02)
    found = Page(text)
    for name in growth["parameter"].values:
        one = growth.sel(parameter=name)
        row = found.row(printed(str(name)))
        assert row[1] == printed(f"{float(one['value']):.4g}")
        assert row[2] == printed(" to ".join(f"{end:.4g}" for end in one["interval"].values[0]))
    assert "A₀ exp(ρ t) + C fitted to the mean probability of none" in found.words
    rate = physical_growth(growth, 96 * 112 * 0.02**2)["value"].sel(quantity="sputtering_rate")
    assert found.row("sputtering rate")[1] == f"{float(rate):.4g}"
    laws = compare_laws(curve["fraction"], std=curve["fraction_std"])
    assert [row[0] for row in found.rows if row[0] in laws["law"].values] == list(laws["law"].values)


def test_growth_that_is_not_determined_says_why() -> None:
    from bravaismap.kinetics.growth import fit_growth

    flat = film(grow=False, cells=False)
    with pytest.raises(InputError) as refused:
        fit_growth(flat["fraction"].sel(lattice="none"), std=flat["fraction_std"].sel(lattice="none"))
    words = Page(report(flat, times=[])).words
    assert f"No law of growth was fitted to the mean probability of none: {refused.value}." in words


def test_few_frames_are_fitted_and_the_laws_not_compared() -> None:
    page = Page(report(film(5), times=[])).words
    assert "fitted to the mean probability of none" in page
    assert "The laws were not compared: 5 frames left; expected at least 6" in page


def test_attributes_of_a_hostile_result_stay_text() -> None:
    evil = film(3, input=HOSTILE, model=HOSTILE, version=HOSTILE, window=HOSTILE, **{HOSTILE: HOSTILE})
    evil = evil.assign_coords(lattice=[*CLASSES[:2], HOSTILE, *CLASSES[3:]])
    evil["time"].attrs["units"] = evil["y"].attrs["units"] = evil["x"].attrs["units"] = HOSTILE
    evil["a"].attrs["units"] = HOSTILE
    evil["label"][:] = 2
    text = report(evil, times=[0])
    found = Page(text)
    assert not {"script", "iframe"} & {tag for tag, _ in found.tags}
    assert all(set(a) <= {"alt", "src"} and str(a["src"])[:5] == "data:" for tag, a in found.tags if tag == "img")
    assert found.row(HOSTILE) is not None
    assert found.headings[0] == f"Phases of {HOSTILE}"


def test_run_card_of_odd_values_is_shown_as_it_is() -> None:
    odd = film(2, cells=False, pixel_size_nm="wide", frame_time_s=[1], distortion=None, drift="much", more={"a": [1]})
    del odd.attrs["window"], odd.attrs["frame_size"]
    found = Page(report(odd, times=[]))
    assert found.row("pixel_size_nm") == ["pixel_size_nm", "wide"]
    assert found.row("more") == ["more", '{"a": [1]}']
    assert found.row("distortion") == ["distortion", "not known"]


@pytest.mark.parametrize(
    "card",
    [
        {"frame_size": "large", "pixel_size_nm": 0.02},
        {"frame_size": [96, 112], "pixel_size_nm": -1.0},
        {"frame_size": [96], "pixel_size_nm": 0.02, "drift": {"dy_px": ["a", "b"], "dx_px": None}},
    ],
)
def test_run_card_that_cannot_be_gives_no_areas(card: dict[str, Any]) -> None:
    found = Page(report(film(12, cells=False, **card), times=[]))
    assert "Areas in nm² need the pixel size, which is not known." in found.words
    assert "Drift of the specimen" not in found.headings


def test_unfinished_result_says_how_far_it_is() -> None:
    some = film(5, cells=False)
    for name in ("probability", "probability_std", "fraction", "fraction_std", "entropy", "mutual_information"):
        some[name][3:] = np.nan
    some["label"][3:] = -1
    found = Page(report(some))
    assert "3 of 5 frames are mapped; the others are not mapped yet, or were never measured (NaN)." in found.words
    assert [text for text in found.headings if text.startswith("Maps")] == [
        "Maps at t = 0.00 s", "Maps at t = 2.25 s", "Maps at t = 4.50 s"
    ]  # fmt: skip
    assert "mean of 3 frames" in found.words
    none = report(some.isel(time=[3, 4]))
    words = Page(none).words
    assert "0 of 2 frames are mapped;" in words
    assert "There is nothing to show." in words
    assert "<img" not in none


def test_unknown_pixel_size_stays_px() -> None:
    found = Page(report(film(8, unit="px"), times=[0]))
    assert "Pixel size not known: lengths are in px" in found.words
    assert "Time between frames not known: frames are counted" in found.words
    assert found.row("pixel_size_nm") == ["pixel_size_nm", "not known"]
    assert any(row[2:5] == ["a (px)", "b (px)", "γ (°)"] for row in found.rows)
    assert "Areas in nm² need the pixel size, which is not known." in found.words
    assert not re.search(r"\d nm", found.words)


def test_drift_is_drawn_where_the_movie_was_aligned() -> None:
    drift = {"dy_px": [0.0, 3.0, 6.0], "dx_px": [0.0, -4.0, -8.0], "area_px": [0, 1, 2, 3], "max_shift_px": 9.0}
    found = Page(report(film(3, cells=False, drift=drift), times=[]))
    assert "Drift of the specimen" in found.headings
    assert "Farthest: 10.0 px." in found.words
    assert not any(row and row[0] == "drift" for row in found.rows)
    assert "Drift of the specimen" not in Page(report(film(3, cells=False), times=[])).headings


def test_one_frame_has_no_curves() -> None:
    found = Page(report(film(1)))
    assert found.headings == ["Phases of film.dm4", "Phases", "Maps", "How it was made", "How to cite"]


def test_pixels_come_first_where_the_result_holds_them() -> None:
    rows, columns = np.mgrid[:96, :96]
    image = np.cos(2 * np.pi * rows / 9) + np.cos(2 * np.pi * columns / 9)
    mapped = bm.map_phases(image, window=48, step=24, samples=0)
    pictures = [attributes["alt"] for tag, attributes in Page(report(mapped, image[None])).tags if tag == "img"]
    assert pictures[:2] == [
        "Phase of each pixel, and the area ± σ of each class.",
        "Most probable class of each window.",
    ]
    without = mapped.drop_vars("phase")
    assert "Phase of each pixel" not in report(without)


def test_own_classes() -> None:
    own = film(4, cells=False).isel(lattice=slice(0, 3)).assign_coords(lattice=["1T", "2H, bent", "other"])
    found = Page(report(own, times=[]))
    assert found.row("2H, bent")[1] == ""
    assert "No class is called none" in found.words


def test_what_is_refused(result: xr.Dataset) -> None:
    with pytest.raises(InputError, match="frame 12 was asked for"):
        report(result, times=[12])
    with pytest.raises(InputError, match="2 images were given for a result of 12 frames"):
        report(result, np.zeros((2, 96, 112)), times=[0])
    with pytest.raises(InputError, match="the result has no fraction, fraction_std"):
        report(result.drop_vars(["fraction", "fraction_std"]))


def test_parts_of_a_page_are_text() -> None:
    made = page("<b>", [table(["<i>", "b"], [[cell("<u>", ("<s>", '"x'), color='"><p')]]), *bullets(["a < b"])])
    assert {tag for tag, _ in Page(made).tags} == {
        "html", "head", "meta", "title", "style", "body", "table", "tr", "th", "td", "span", "br", "small", "ul", "li"
    }  # fmt: skip
    assert bullets([]) == []


def test_report_is_written_whole(tmp_path: Path) -> None:
    small = film(2, cells=False)
    assert export_report(small, tmp_path / "new") == [tmp_path / "new" / "report.html"]
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        export_report(small, tmp_path / "file")


@pytest.mark.usefixtures("no_figures")
def test_command_line(run: Callable[..., Any], small: xr.Dataset, tmp_path: Path) -> None:
    movie = tmp_path / "small.npy"
    np.save(movie, small["image"].values)
    store = tmp_path / "out" / "small.zarr"
    assert run("map", movie, "-o", store, "--window", 32, "--samples", 0).code == 0
    done = run("export", store, "--report", "--movie", movie)
    assert done.code == 0, done.err
    assert done.out.split() == ["wrote", str(tmp_path / "out" / "small-phases" / "small_report.html")]
    found = Page((tmp_path / "out" / "small-phases" / "small_report.html").read_text(encoding="utf-8"))
    assert found.row("input")[1] == str(movie)
    assert "3 of 3 frames are mapped" in found.words

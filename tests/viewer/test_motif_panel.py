"""The motif in the viewer: of a frame, a region and a window, on demand, with a message for all that is missing."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.phases.motifs import motif_map
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.frame_geometry import Region

pytest.importorskip("panel", reason="the extra `viewer` is not installed")

from bravaismap.viewer.interaction import Session
from bravaismap.viewer.look import ShownFrame
from bravaismap.viewer.motif_panel import Place, motifs_of
from bravaismap.viewer.result_source import HeldResult


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    return bm.simulate_film(2, 160, seed=1)["image"]


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> PhaseMap:
    return bm.map_phases(movie, window=80, step=40)


@pytest.fixture
def session(result: PhaseMap, movie: xr.DataArray) -> Iterator[Session]:
    opened = Session(HeldResult(result, movie))
    opened.panel()
    yield opened
    opened.close()


def said(session: Session) -> str:
    return str(session.page.motif._text.object)


def find(session: Session) -> str:
    """Press the button, and return what is shown when the motif is there."""
    session.page.motif.find.clicks += 1
    session.page.motif.wait()
    session.tick()
    return said(session)


def test_nothing_is_worked_out_until_asked(session: Session) -> None:
    session.tick()
    assert "find the motif" in said(session)
    assert session.page.motif.motif is None


def test_the_motif_of_a_frame_is_that_of_the_library(session: Session, result: PhaseMap, movie: xr.DataArray) -> None:
    session.page.player.value = 1
    session.page.motif.find.clicks += 1
    assert "frame 1 of 0 to 1" in said(session)
    assert session.page.motif.find.disabled
    session.page.motif.find.clicks += 1  # one at a time
    session.page.motif.wait()
    session.tick()
    assert not session.page.motif.find.disabled
    expected = motif_map(result, movie, frames=[1])
    largest = expected["0"].to_dataset()
    xr.testing.assert_identical(session.page.motif.motif, largest)
    text = said(session)
    group = str(expected["plane_group"].values[0])
    assert f"{group} {100 * float(expected['probability'].sel(group=group)[0]):.1f} %" in text
    assert text.count("<td>") >= 6 * largest.sizes["column"]
    assert 'src="data:image/png;base64,iVBOR' in text
    session.page.player.value = 0  # the page goes on; what is shown says of which frame it is
    assert "frame 1 of 0 to 1" in said(session)


def test_a_region_and_a_window(session: Session, result: PhaseMap, movie: xr.DataArray) -> None:
    y, x = result["y"].values, result["x"].values
    session.page.part.value = "motif"
    session.page.region.value = str(Region(y[0] - 0.2, y[-1], x[0] - 0.2, x[1]))
    assert (session.page.part.value, session.page.motif.of.value) == ("motif", "region")
    assert "region" in find(session)
    r = session.region.region
    assert r is not None
    part = {"y": slice(r.y0, r.y1), "x": slice(r.x0, r.x1)}
    expected = motif_map(result, movie, frames=[0], region=part)["0"].to_dataset()
    xr.testing.assert_identical(session.page.motif.motif, expected)
    whole = motif_map(result, movie, frames=[0])["cells"].values[0]
    assert float(expected.attrs["cells"]) < 0.8 * whole
    session.page.whole.clicks += 1
    assert session.page.motif.of.value == "whole frame"
    session.window.choose_at(float(y[0]), float(x[0]))
    assert (session.page.part.value, session.page.motif.of.value) == ("motif", "window")
    assert "window" in find(session)
    assert session.page.motif.motif is not None
    cells = float(session.page.motif.motif.attrs["cells"])
    assert cells < 0.5 * whole


def test_what_is_missing_is_said(session: Session, result: PhaseMap, movie: xr.DataArray) -> None:
    session.page.motif.of.value = "region"
    assert "drag over the frame" in find(session)
    session.page.motif.of.value = "window"
    assert "click on the frame" in find(session)
    assert session.page.motif.motif is None
    y, x = result["y"].values, result["x"].values
    session.page.region.value = str(Region(y[0] - 0.02, y[0] + 0.02, x[0] - 0.02, x[0] + 0.02))
    session.page.motif.of.value = "region"
    text = find(session)
    assert "message" in text
    assert "cells" in text
    without = Session(HeldResult(result))
    assert "give the movie" in find(without)
    without.close()


def test_without_pixels_the_lattice_is_that_of_the_image(result: PhaseMap, movie: xr.DataArray) -> None:
    coarse = bm.map_phases(movie[:1], window=80, step=40, pixels=False)
    region = Region(0.0, 3.0, 0.0, 4.0)
    pixels = movie.values[0]
    place = Place(ShownFrame(0, pixels, coarse, coarse, 0.02), region, None, "frame 0")
    [(name, motif)] = motifs_of(place, region)
    assert name == "crystal"
    size = float(result.attrs["pixel_size_nm"])
    lines = [size * np.arange(side) <= end for side, end in zip(pixels.shape, (3.0, 4.0), strict=True)]
    xr.testing.assert_identical(motif, bm.motif(movie[:1], mask=lines[0][:, None] & lines[1], distortion=0.02))


def test_a_motif_is_saved_with_a_column_for_each_error(session: Session) -> None:
    find(session)
    session.page.view.value = "motif"
    rows: list[list[str]] = list(csv.reader(session.file("csv").read().decode().splitlines()))
    motif: Any = session.page.motif.motif
    probability = {row[0]: float(row[1]) for row in rows[1:18]}
    assert probability["p6mm"] == pytest.approx(float(motif["probability"].sel(group="p6mm")))
    head = next(i for i, row in enumerate(rows) if row[:1] == ["site"])
    table = [dict(zip(rows[head], row, strict=True)) for row in rows[head + 1 :]]
    np.testing.assert_allclose([float(row["x_std"]) for row in table], motif["x_std"].values, rtol=1e-6)

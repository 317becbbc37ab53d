"""Motifs of a mapped movie: a change of the plane group, a void that does not count, regions, frames, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from patterns import draw

from bravaismap.errors import InputError
from bravaismap.export.motif import export_motif_map
from bravaismap.export.report import report
from bravaismap.motif.motif import motif
from bravaismap.motif.plane_groups import PLANE_GROUPS
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.motifs import motif_map
from bravaismap.show.motif import plot_motif_map

SIZE, AREA, PIXEL = 160, 22.0**2 * np.sqrt(0.75), 0.015
VOID = slice(50, 100)
PLANE_GROUP_NAMES = [group.name for group in PLANE_GROUPS]
ORDERS = ("h", "k", "amplitude", "amplitude_std")
OPTIONS: dict[str, Any] = {"distortion": 0.005, "systematic": 0.05}


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    """Return four frames of a monolayer that drifts and has a void; in the last two both columns are alike."""
    rng = np.random.default_rng(0)
    frames = []
    for i in range(4):
        heights = (1.0, 0.45) if i < 2 else (1.0, 1.0)
        drawn = draw(
            "p3m1", [(1 / 3, 2 / 3), (2 / 3, 1 / 3)], heights=heights, counts=6.0, size=SIZE, seed=i,
            origin=tuple(rng.random(2)), present=lambda p: ~((p > VOID.start) & (p < VOID.stop)).all(axis=1),
        )  # fmt: skip
        frames.append(drawn.image.astype(np.float32) + rng.poisson(1.0, (SIZE, SIZE)))
    return as_movie(np.stack(frames), pixel_size=PIXEL)


@pytest.fixture(scope="module")
def result(movie: xr.DataArray) -> xr.Dataset:
    return map_phases(movie, window=80, step=40, samples=0)


@pytest.fixture(scope="module")
def motifs(result: xr.Dataset, movie: xr.DataArray) -> xr.DataTree:
    return motif_map(result, movie, together=2, **OPTIONS)


def test_a_transformation_shows_at_the_same_lattice(motifs: xr.DataTree) -> None:
    assert list(motifs["plane_group"].values) == ["p3m1", "p6mm"]
    assert list(motifs["phase"].values) == ["hexagonal"] * 2
    assert list(motifs["domain"].values) == [0, 0]
    assert list(motifs["first_frame"].values) == [0, 2]
    assert list(motifs["last_frame"].values) == [1, 3]
    np.testing.assert_allclose(motifs["probability"].sum("group"), 1)
    for name, value in (("a", 22 * PIXEL), ("b", 22 * PIXEL), ("gamma", 120.0)):
        assert (np.abs(motifs[name] - value) < 4 * motifs[f"{name}_std"]).all()
        assert (motifs[f"{name}_std"] < 0.01 * value).all()
    heights = [np.sort(motifs[str(i)]["height"].values)[::-1] for i in (0, 1)]
    np.testing.assert_allclose(heights[0], [6, 2.7], rtol=0.15)
    np.testing.assert_allclose(heights[1], [6, 6], rtol=0.15)
    assert "motif" not in motifs["0"].to_dataset().sizes


def test_voids_are_left_out(motifs: xr.DataTree) -> None:
    whole, void = 2 * SIZE**2 / AREA, 2 * (VOID.stop - VOID.start) ** 2 / AREA
    assert (motifs["cells"] > 0.85 * (whole - void)).all()
    assert (motifs["cells"] < whole - 0.6 * void).all()


def test_more_frames_are_surer(result: xr.Dataset, movie: xr.DataArray, motifs: xr.DataTree) -> None:
    alone = motif_map(result, movie, together=1, frames=[0, 1], **OPTIONS)
    assert alone.sizes["motif"] == 2
    errors = [tree["0"]["amplitude_std"].values[:10].mean() for tree in (motifs, alone)]
    assert errors[0] < 0.8 * errors[1]
    assert list(alone["first_frame"].values) == list(alone["last_frame"].values) == [0, 1]


def test_one_frame_has_the_motif_of_its_image() -> None:
    """One number for one thing: of a film without voids, `motif_map` and `motif` say the same, errors included."""
    heights, counts = (1.0, 0.45), 20.0
    drawn = draw("p3m1", [(1 / 3, 2 / 3), (2 / 3, 1 / 3)], heights=heights, counts=counts, size=SIZE, origin=(0.3, 0.1))
    image = as_movie(drawn.image[None].astype(np.float32), pixel_size=PIXEL)
    alone = motif(image, **OPTIONS)
    mapped = motif_map(map_phases(image, window=80, step=40, samples=0), image, **OPTIONS)["0"].to_dataset()
    assert mapped.attrs["plane_group"] == alone.attrs["plane_group"] == "p3m1"
    for name in ("a", "b", "gamma", "height", "width", "probability"):
        np.testing.assert_allclose(mapped[name], alone[name], rtol=1e-3, atol=1e-3)
    for name in ("height_std", "width_std", "x_std"):
        np.testing.assert_allclose(mapped[name], alone[name], rtol=0.02)
    for name in ("a_std", "b_std", "gamma_std"):  # of the quarters of an image, of which few pixels are not mapped
        np.testing.assert_allclose(mapped[name], alone[name], rtol=0.15)
    held = [
        {(h, k): row for h, k, *row in zip(*(data[name].values for name in ORDERS), strict=True)}
        for data in (mapped, alone)
    ]
    shared = sorted(held[0].keys() & held[1].keys())  # those at the noise may be in one alone
    assert len(shared) > 60
    values = np.array([[own[order] for order in shared] for own in held])
    np.testing.assert_allclose(values[0], values[1], atol=2e-3 * values[0].max())
    assert mapped.attrs["cells"] == pytest.approx(alone.attrs["cells"], rel=1e-3)


def test_a_region(result: xr.Dataset, movie: xr.DataArray) -> None:
    calls: list[int] = []
    half = motif_map(
        result, movie, together=2, region={"x": slice(None, SIZE * PIXEL / 2)}, progress=calls.append, **OPTIONS
    )
    whole = SIZE**2 / AREA
    assert (half["cells"] < whole).all()
    assert (half["cells"] > 0.6 * whole).all()
    assert calls == [2, 4]


def test_files_and_figure(motifs: xr.DataTree, tmp_path: Path) -> None:
    paths = export_motif_map(motifs, tmp_path)
    names = [f"motif_{part}_lattice0.{kind}" for part in ("0000-0001", "0002-0003") for kind in ("cif", "npz", "png")]
    assert [path.name for path in paths] == ["motifs.csv", "motifs.png", *names]
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    head, first = (line.split(",") for line in lines[:2])
    row = dict(zip(head, first, strict=True))
    assert row["plane_group"] == "p3m1"
    assert float(row["a_nm"]) == pytest.approx(0.33, abs=0.003)
    assert float(row["probability_p3m1"]) == pytest.approx(float(motifs["probability"].sel(group="p3m1")[0]))
    figure = plot_motif_map(motifs)
    curves = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_allclose(curves["p3m1"], 100 * motifs["probability"].sel(group="p3m1"))
    assert [ax.get_title() for ax in figure.axes[1:]] == ["frames 0 to 1", "frames 2 to 3"]


def test_report_has_a_section(result: xr.Dataset, movie: xr.DataArray) -> None:
    text = report(result, movie, times=[0])
    assert "<h2>Motifs</h2>" in text
    assert "p6mm" in text
    assert "<h2>Motifs</h2>" not in report(result, times=[0])


def test_commands(movie: xr.DataArray, run: Callable[..., Any], tmp_path: Path) -> None:
    source, target = tmp_path / "film.npy", tmp_path / "film.zarr"
    np.save(source, movie.values)
    mapped = run("map", source, "-o", target, "--window", 80, "--step", 40, "--samples", 0, "--pixel-size", PIXEL)
    assert mapped.code == 0, mapped.err
    given = ("--movie", source, "--together", 2, "--systematic", 0.05, "--distortion", 0.005)
    outcome = run("motif", target, *given, "-o", tmp_path / "o")
    assert outcome.code == 0, outcome.err
    assert "p3m1" in outcome.out
    assert "p6mm" in outcome.out
    assert (tmp_path / "o" / "film_motifs.csv").exists()
    answer = json.loads(run("motif", target, *given, "--json").out)
    assert [row["plane_group"] for row in answer["motifs"]] == ["p3m1", "p6mm"]
    assert answer["motifs"][0]["cell"]["unit"] == "nm"
    outcome = run("export", target, "--motif", "--movie", source, "-o", tmp_path / "e")
    assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "e").glob("film_motif_*.cif"))) >= 2
    run("export", target, "--motif").refused("--motif was given without --movie")
    run("motif", target, *given, "--region", "1:2").refused("--region 1:2", "y0:y1,x0:x1")
    run("motif", source, "--together", 2).refused("--together 2", "no result")
    answer = json.loads(run("motif", source, "--frame", -1, "--json").out)
    assert set(answer["probability"]) == set(PLANE_GROUP_NAMES)
    assert len(answer["columns"]) == 2
    source.rename(tmp_path / "moved.npy")
    run("motif", target).refused("no longer at", "--movie")


def test_errors(result: xr.Dataset, movie: xr.DataArray) -> None:
    for options, message in (
        ({"together": 0}, "together = 0"),
        ({"region": {"y": slice(90, 100)}}, "holds no pixel"),
        ({"region": {"y": slice(0, 0.3), "x": slice(0, 0.3)}}, "30 cells"),
        ({"frames": [9]}, "frames 0 to 3"),
    ):
        with pytest.raises(InputError, match=message):
            motif_map(result, movie, **options)
    with pytest.raises(InputError, match="expected"):
        motif_map(result, movie[:, :100])

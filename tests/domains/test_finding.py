"""Domains on maps whose regions are known, and through time on sequences whose story is known."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.domains.finding import domain_count, domain_maps, find_domains
from bravaismap.domains.regions import Plane, drawn_areas, regions_of
from bravaismap.domains.tracking import LinkedFrame, link_frames
from bravaismap.errors import InputError
from bravaismap.export.figures import export_domains
from bravaismap.show.domains import outline_segments, plot_domains
from bravaismap.show.style import SMALL
from bravaismap.windows import window_grid

NONE, HEXAGONAL = CLASSES.index("none"), CLASSES.index("hexagonal")
SIDE, WINDOW, STEP = 128, 32, 8


def result_of(none: np.ndarray, pixel_size: float | None = 0.1) -> xr.Dataset:
    """Return a result whose windows are `none` with a probability, else hexagonal; (time, y, x)."""
    grid = window_grid((SIDE, SIDE), WINDOW, STEP)
    probability = np.zeros((*none.shape, len(CLASSES)))
    probability[..., NONE], probability[..., HEXAGONAL] = none, 1 - none
    y, x = (centres * (pixel_size or 1.0) for centres in grid.centers)
    maps = ("time", "y", "x")
    return xr.Dataset(
        {
            "probability": ((*maps, "lattice"), probability),
            "label": (maps, probability.argmax(-1)),
            "fraction": (("time", "lattice"), probability.mean((1, 2))),
            "a": (maps, np.full(none.shape, 11 * (pixel_size or 1.0)), {"units": "nm" if pixel_size else "px"}),
        },
        coords={"time": ("time", 2.0 * np.arange(len(none)), {"units": "s"}), "y": y, "x": x, "lattice": list(CLASSES)},
        attrs={
            "frame_size": [SIDE, SIDE], "window": WINDOW, "step": STEP, "pixel_size_nm": pixel_size, "model": "lattice",
        },
    )  # fmt: skip


def empty(frames: int = 1) -> np.ndarray:
    return np.zeros((frames, 13, 13))


def voids(result: xr.Dataset, **options: object) -> xr.Dataset:
    found = find_domains(result, **options)
    return found.isel(row=(found["lattice"] == "none").values)


def test_a_square_void_is_measured() -> None:
    none = empty()
    none[0, 4:8, 5:9] = 1.0
    found = voids(result_of(none), draws=20)
    assert found.sizes["row"] == 1
    one = found.isel(row=0)
    assert float(one["area"]) == pytest.approx((4 * 0.8) ** 2)
    assert float(one["area_std"]) == 0
    assert float(one["radius"]) == pytest.approx(3.2 / np.sqrt(np.pi))
    assert float(one["y"]) == pytest.approx((15.5 + 8 * 5.5) * 0.1)
    assert float(one["x"]) == pytest.approx((15.5 + 8 * 6.5) * 0.1)
    assert float(one["perimeter"]) == pytest.approx(4 * 3.2, rel=0.2)  # Crofton's formula cuts corners
    assert not bool(one["edge"])
    assert found["area"].attrs["units"] == "nm²"


def test_areas_of_all_classes_add_up_to_the_frame() -> None:
    none = (np.random.default_rng(0).random((2, 13, 13)) > 0.6).astype(float)
    found = find_domains(result_of(none), thresholds=None, draws=0)
    for frame in (0, 1):
        assert float(found["area"].values[found["frame"].values == frame].sum()) == pytest.approx(12.8**2)
    assert np.isnan(found["area_std"]).all()


def test_hysteresis_needs_a_sure_core() -> None:
    none = empty()
    none[0, 3:6, 3:6], none[0, 4, 4] = 0.5, 0.9
    none[0, 9:11, 9:11] = 0.5
    assert voids(result_of(none), draws=0)["area"].values == pytest.approx([9 * 0.64])
    assert voids(result_of(none), thresholds=None, draws=0)["area"].values == pytest.approx([0.64])
    assert voids(result_of(none), thresholds=(0.4, 0.45), draws=0).sizes["row"] == 2


def test_draws_have_the_expected_area_and_err_together_where_windows_overlap() -> None:
    rng = np.random.default_rng(0)
    probability, basin, weight = np.full((13, 13), 0.3), np.ones((13, 13), int), np.ones((13, 13))
    spread = {}
    for window in (1.0, 4.0):
        areas = drawn_areas(probability, basin, weight, window, 600, rng)[:, 0]
        assert areas.mean() == pytest.approx(0.3 * 169, rel=0.1)
        spread[window] = areas.std()
    assert spread[1.0] == pytest.approx(np.sqrt(0.3 * 0.7 * 169), rel=0.1)  # independent: binomial
    assert spread[4.0] > 2.5 * spread[1.0]


def test_perimeter_of_a_disc() -> None:
    y, x = np.mgrid[:200, :200] - 99.5
    side = np.full(200, 0.5)
    disc = np.hypot(y, x) < 60
    plane = Plane(np.arange(200.0), np.arange(200.0), side, side, 32)
    found = regions_of(disc.astype(int), disc.astype(float), plane, 0, np.random.default_rng(0))
    assert found.perimeter[0] == pytest.approx(2 * np.pi * 30, rel=0.02)
    assert found.radius[0] == pytest.approx(30, rel=0.01)


def tell(story: list[list[str]]) -> list[list[tuple[int, str, str, str]]]:
    """Follow regions drawn with #, and return track, event, parents and fate of each, frame by frame."""
    from scipy.ndimage import label

    frames: list[LinkedFrame] = []
    for picture in story:
        numbers, _ = label(np.array([[letter == "#" for letter in line] for line in picture]))
        frames.append(link_frames(frames[-1] if frames else None, numbers, "none"))
    fates = [frame.fates_before for frame in frames[1:]] + [("end",) * len(frames[-1].tracks)]
    return [
        [
            (track, event, "+".join(map(str, parents)), fate)
            for track, event, parents, fate in zip(frame.tracks, frame.events, frame.parents, ends, strict=True)
        ]
        for frame, ends in zip(frames, fates, strict=True)
    ]


def test_birth_merge_split_and_healing() -> None:
    told = tell([
        ["##....", "##....", "......"],
        ["##..##", "##..##", "......"],
        ["######", "######", "......"],
        ["###.##", "##..##", "......"],
        ["###...", "##....", "......"],
    ])  # fmt: skip
    assert told[0] == [(1, "start", "", "continues")]
    assert told[1] == [(1, "continues", "1", "continues"), (2, "birth", "", "merged")]
    assert told[2] == [(1, "merge", "1+2", "continues")]
    assert told[3] == [(1, "continues", "1", "continues"), (3, "split", "1", "healed")]
    assert told[4] == [(1, "continues", "1", "end")]


def test_a_drifting_region_keeps_its_track() -> None:
    told = tell([["##....."], ["..##..."], ["....##."]])
    assert [frame[0][:2] for frame in told] == [(1, "start"), (1, "continues"), (1, "continues")]
    assert tell([["#......"], ["......#"]])[0][0][3] == "healed"


def test_the_table_of_a_movie(tmp_path: Path) -> None:
    none = empty(3)
    none[1, 2:5, 2:5] = 1
    result = result_of(none)
    found = find_domains(result, draws=0)
    one = found.isel(row=(found["lattice"] == "none").values).isel(row=0)
    assert (str(one["event"].values), str(one["fate"].values), float(one["time"])) == ("birth", "healed", 2.0)
    (path,) = export_domains(found, tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found.sizes["row"] == 4
    assert {"time_s", "area_nm2", "radius_nm", "lattice", "event", "edge"} <= set(rows[0])
    assert float(next(row for row in rows if row["lattice"] == "none")["area_nm2"]) == pytest.approx(9 * 0.64)


# Pixels


def pixels_of(grains: np.ndarray, step: int, pixel_size: float = 0.1) -> xr.Dataset:
    """Return a result whose pixels (time, y, x) are of grain 0, 1, … of hexagonal lattices of 10 px, or −1 of none."""
    result = result_of(empty(len(grains)), pixel_size)
    kept = grains[:, ::step, ::step]
    places = ("time", "py", "px")
    basis = np.full((len(grains), 3, 2, 2), np.nan)
    basis[:, :2] = 10 * pixel_size * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    pixels = {
        "phase": (places, np.where(kept < 0, NONE, HEXAGONAL).astype(np.int8)),
        "frame_lattice": (places, kept.astype(np.int8)),
        "phase_probability": (places, np.full(kept.shape, 1.0, np.float32)),
        "frame_basis": (("time", "number", "vector", "component"), basis),
    }
    axis = np.arange(0, SIDE, step) * pixel_size
    return result.assign(pixels).assign_coords(py=axis, px=axis).assign_attrs(pixel_step=step)


def grown_holes() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([np.where(np.hypot(y - 64, x - 70) < radius, -1, 0) for radius in (14, 22, 30)])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_pixels_are_measured_to_the_edge_of_the_frame(step: int) -> None:
    grains = grown_holes()
    found = find_domains(pixels_of(grains, step))
    holes = found.isel(row=(found["lattice"] == "none").values)
    np.testing.assert_allclose(holes["area"], (grains < 0).sum(axis=(1, 2)) * 0.01, rtol=0.05)
    assert holes["event"].values.tolist() == ["start", "continues", "continues"]
    np.testing.assert_allclose(holes["perimeter"], 2 * np.pi * np.array([1.4, 2.2, 3.0]), rtol=0.08)
    for frame in range(3):
        assert float(found["area"].values[found["frame"].values == frame].sum()) == pytest.approx(12.8**2)
    # sure pixels: what is left is where the boundary lies, 0.1 of a cell
    side = np.sqrt(np.sqrt(0.75))
    np.testing.assert_allclose(holes["area_std"], 0.1 * side * holes["perimeter"])


def test_doubtful_pixels_err_by_the_cell() -> None:
    result = pixels_of(grown_holes()[:1], 1)
    result["phase_probability"][:] = 0.8
    (area,) = voids(result)["area_std"].values
    side = np.sqrt(np.sqrt(0.75))
    boundary = 0.1 * side * float(voids(result)["perimeter"][0])
    cells = np.pi * (14 + 10 * side) ** 2 * 0.01 / side**2  # in the hole and one cell around
    assert np.sqrt(area**2 - boundary**2) == pytest.approx(np.sqrt(0.16 * cells) * side**2, rel=0.05)


def test_edge_of_the_frame_is_no_boundary() -> None:
    grains = np.zeros((2, SIDE, SIDE), int)
    grains[1, :, 32:] = -1  # hexagonal at the left, none at the right, along a straight boundary
    found = find_domains(pixels_of(grains, 1))
    np.testing.assert_allclose(found["perimeter"], [51.2, 32, 44.8], rtol=0.06)
    side = np.sqrt(np.sqrt(0.75))
    np.testing.assert_allclose(found["area_std"], 0.1 * side * np.array([0, 12.8, 12.8]), rtol=0.06)
    grains[1] = np.roll(grown_holes()[0], (-64, 0), (0, 1))  # a hole cut in two by the edge
    halves = voids(pixels_of(grains, 1))
    np.testing.assert_allclose(halves["area_std"], 0.1 * side * np.pi * 1.4, rtol=0.06)


def test_grains_that_touch_are_domains_of_their_own() -> None:
    grains = np.zeros((1, SIDE, SIDE), int)
    grains[:, :, 64:] = 1
    found = find_domains(pixels_of(grains, 1))
    assert found["lattice"].values.tolist() == ["hexagonal", "hexagonal"]
    np.testing.assert_allclose(found["area"], 6.4 * 12.8)
    np.testing.assert_allclose(found["x"], [3.15, 9.55])


def test_specks_are_no_domains_and_single_vacancies_are() -> None:
    grains = np.zeros((1, SIDE, SIDE), int)
    grains[0, 20:29, 20:29] = -1  # about one cell of 87 px
    grains[0, 60:65, 60:65] = -1
    found = voids(pixels_of(grains, 1))
    np.testing.assert_allclose(found["area"], 0.81)
    assert domain_count(found) == 1


# Where domains lie, and the figure


def growing_void(pixel_size: float | None = 0.1) -> xr.Dataset:
    """Return three frames with a void of 4, 6 and 8 windows a side, and a small one in the second frame only."""
    none = empty(3)
    for frame, side in enumerate((4, 6, 8)):
        none[frame, 3 : 3 + side, 4 : 4 + side] = 1.0
    none[1, 11:, 0:2] = 1.0
    return result_of(none, pixel_size)


def sputtered_image() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([np.where(np.hypot(y - 64, x - 70) < radius, 1.0, 20.0) for radius in (14, 22, 30)])


@pytest.mark.parametrize("by_pixel", [False, True])
def test_maps_cover_the_areas_of_the_table(by_pixel: bool) -> None:
    result = pixels_of(grown_holes(), 3) if by_pixel else growing_void()
    found, maps = find_domains(result, draws=0), domain_maps(result, [2, 0])
    assert maps["frame"].values.tolist() == [2, 0]
    assert maps["time"].values.tolist() == [4.0, 0.0]
    for dim in ("y", "x"):
        assert maps[f"{dim}_edge"].values[[0, -1]] == pytest.approx([-0.05, 12.75])
        assert (np.diff(maps[f"{dim}_edge"]) > 0).all()
    cells = np.diff(maps["y_edge"])[:, None] * np.diff(maps["x_edge"])
    counted = 0
    for row in (found.isel(row=i) for i in range(found.sizes["row"])):
        if int(row["frame"]) in (0, 2):
            track = maps["track"].sel(lattice=str(row["lattice"].values)).isel(time=[2, 0].index(int(row["frame"])))
            inside = track.values == int(row["track"])
            assert cells[inside].sum() == pytest.approx(float(row["area"]))
            assert (cells * maps["y"].values[:, None])[inside].sum() / float(row["area"]) == pytest.approx(
                float(row["y"])
            )
            counted += 1
    assert counted == sum(len(np.unique(one[one > 0])) for one in maps["track"].values.reshape(12, *cells.shape))
    with pytest.raises(InputError, match="frame 3 were asked for, which is not mapped"):
        domain_maps(result, [3])


def test_outline_is_the_border_of_the_cells() -> None:
    inside = np.zeros((4, 5), bool)
    inside[1:, 1:3] = True
    segments = outline_segments(inside, [0, 1, 2, 3, 5], [0, 2, 3, 4, 5, 6])
    length = np.abs(np.diff(segments, axis=1)).sum()
    assert length == pytest.approx(2 * (2 + 4))
    assert segments[..., 0].min() == 2
    assert segments[..., 0].max() == 4
    assert (segments[..., 1].min(), segments[..., 1].max()) == (1, 5)
    inside[2, 2] = False
    assert np.abs(np.diff(outline_segments(inside, range(5), range(6)), axis=1)).sum() == 12  # a notch of one cell


@pytest.mark.parametrize("images", [None, sputtered_image()])
def test_figure_of_domains(images: np.ndarray | None) -> None:
    result = growing_void()
    found = find_domains(result, draws=20)
    figure = plot_domains(found, domain_maps(result, [0, 2]), images)
    first, last, areas = figure.axes
    assert [len(ax.collections) for ax in (first, last)] == [2, 2]
    assert [len(ax.images) for ax in (first, last)] == [int(images is not None)] * 2
    assert first.get_title() == "t = 0 s"
    assert first.get_xlim() == pytest.approx((-0.05, 12.75))
    assert first.get_ylim() == pytest.approx((12.75, -0.05))
    (void,) = [text for text in last.texts if text.get_color() == COLORS["none"]]
    assert void.get_text() == "1"
    assert np.hypot(void.get_position()[0] - 8.0, void.get_position()[1] - 7.2) < 1.5  # in the middle of the void
    curves = [line for line in areas.lines if line.get_color() == COLORS["none"] and len(line.get_xdata()) == 3]
    np.testing.assert_allclose(curves[0].get_xdata(), [0, 2, 4])
    np.testing.assert_allclose(curves[0].get_ydata(), [10.24, 23.04, 40.96])
    assert [line.get_marker() for line in areas.lines].count("o") == 1  # the small one heals
    assert areas.get_yscale() == "linear"
    assert areas.get_ylabel() == "area (nm²)"
    assert areas.get_xlabel() == "time (s)"
    assert "healed or vanished" in [text.get_text() for text in figure.legends[0].get_texts()]
    found["area"][0] *= 100
    assert plot_domains(found, domain_maps(result, [0]), images).axes[-1].get_yscale() == "log"
    small = plot_domains(found, domain_maps(result, [0, 1, 2]), images, style=SMALL)
    assert small.get_figwidth() == SMALL.width
    assert len({ax.get_position().y0 for ax in small.axes[:3]}) == 2  # two rows of panels


def test_an_image_has_no_areas_over_time() -> None:
    result = growing_void().isel(time=[1])
    figure = plot_domains(find_domains(result, draws=20), domain_maps(result, [0]))
    (outlines,) = figure.axes
    assert outlines.get_title() == "t = 2 s"


def test_public_names() -> None:
    from bravaismap.kinetics.growth import compare_laws

    assert bm.find_domains is find_domains
    assert bm.compare_laws is compare_laws
    assert {"find_domains", "compare_laws"} <= set(bm.__all__)


def test_what_is_refused() -> None:
    result = result_of(empty())
    with pytest.raises(InputError, match="two rising probabilities"):
        find_domains(result, thresholds=(0.7, 0.3))
    with pytest.raises(InputError, match="1 draws"):
        find_domains(result, draws=1)
    with pytest.raises(InputError, match="frame size"):
        find_domains(result.assign_attrs(frame_size=[1, 1]).drop_attrs())
    result["fraction"][:] = np.nan
    with pytest.raises(InputError, match="no frame of the result is mapped"):
        find_domains(result)


def test_command(run: Callable[..., object], no_figures: None, tmp_path: Path) -> None:
    film = bm.simulate_film(2, 192, seed=3)
    bm.map_phases(film["image"], window=96, step=48, samples=0, output=tmp_path / "film.zarr")
    done = run("export", tmp_path / "film.zarr", "--domains")
    assert done.code == 0, done.err
    assert "domains in 2 frames" in done.out
    shares = bm.open_result(tmp_path / "film.zarr")
    share, spread = (100 * float(shares[f"area_fraction{end}"].sel(lattice="none")[1]) for end in ("", "_std"))
    assert f"none in frame 1: area {share:.1f} ± {spread:.1f} %" in done.out
    assert (tmp_path / "film-phases" / "film_domains.csv").exists()
    assert not (tmp_path / "film-phases" / "film_domains.png").exists()
    np.save(tmp_path / "film.npy", film["image"].values)
    done = run("export", tmp_path / "film.zarr", "--domains", "--figures", "--movie", tmp_path / "film.npy")
    assert done.code == 0, done.err
    assert (tmp_path / "film-phases" / "film_domains.png").stat().st_size > 20_000
    assert "domains.png" in done.out


def test_what_was_never_measured_belongs_to_no_domain() -> None:
    none = empty(2)
    none[:, 2:6, 2:6] = 1.0
    whole, stopped = result_of(none), result_of(none)
    stopped["probability"][1, 8:] = np.nan
    stopped["label"][1, 8:] = -1
    found, expected = find_domains(stopped), find_domains(whole)
    assert set(found["lattice"].values) == {"none", "hexagonal"}
    last = found.isel(row=(found["frame"] == 1).values)
    np.testing.assert_allclose(
        last["area"].values[last["lattice"].values == "none"],
        expected["area"].values[(expected["lattice"].values == "none") & (expected["frame"].values == 1)],
    )
    seen = np.diff(np.concatenate([[0.0], (stopped["y"].values[1:] + stopped["y"].values[:-1]) / 2 + 0.05]))[:8].sum()
    assert float(last["area"].sum()) == pytest.approx(seen * SIDE * 0.1, rel=1e-3)
    grains = np.zeros((2, SIDE, SIDE), int)
    grains[:, 24:56, 24:56] = -1
    pixels = pixels_of(grains, 2)
    pixels["phase"][1, 50:] = -1
    assert len(voids(pixels)["row"]) == 2
    np.testing.assert_allclose(voids(pixels)["area"], 32 * 32 * 0.01)
    whole = find_domains(pixels)
    assert float(whole["area"].values[whole["frame"].values == 1].sum()) == pytest.approx(9.95 * 12.8)

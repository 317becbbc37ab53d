"""What is said before a result is believed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.result.doubt import FEWEST_CELLS, cells_along_image, cells_along_window, doubts
from bravaismap.result.phase_map import PhaseMap


def result(spacing: float, *, window: int = 64, pixel: float | None = None) -> xr.Dataset:
    shape = (1, 2, 3)
    label = np.full(shape, CLASSES.index("hexagonal"))
    label[0, 0, 0] = CLASSES.index("none")
    length = spacing * (pixel or 1.0)
    dims = ("time", "y", "x")
    values = {"a": length, "b": length, "gamma": 60.0}
    return xr.Dataset(
        {"label": (dims, label), **{name: (dims, np.where(label == 3, value, 1e-9)) for name, value in values.items()}},
        attrs={"window": window, "pixel_size_nm": pixel},
    )


@pytest.mark.parametrize("pixel", [None, 0.02])
def test_cells_are_counted_by_their_area(pixel: float | None) -> None:
    area = 16.0**2 * np.sqrt(0.75)
    assert cells_along_window(result(16.0, pixel=pixel)) == pytest.approx(64 / np.sqrt(area))


def test_few_cells_are_said_and_enough_are_not() -> None:
    (line,) = doubts(result(24.0))
    assert "a window of 64 px holds 2.9 cells" in line
    assert "--window" in line
    assert cells_along_window(result(16.0)) > FEWEST_CELLS
    assert doubts(result(16.0)) == []


@pytest.mark.parametrize("pixel", [None, 0.02])
def test_an_image_of_few_cells_is_doubted(pixel: float | None) -> None:
    images = result(24.0, pixel=pixel).isel(time=0, y=0).rename(x="image")
    del images.attrs["window"]
    images.attrs["size"] = [64, 90]
    few = 64 / np.sqrt(24.0**2 * np.sqrt(0.75))
    np.testing.assert_allclose(cells_along_image(images), [np.nan, few, few])
    lines = doubts(images)
    assert len(lines) == 2
    assert lines[0].startswith("image 1 holds 2.9 cells along its shorter side; below 4 ")
    (line,) = doubts(images.isel(image=1))
    assert line.startswith("the image holds 2.9 cells")
    images.attrs["size"] = [200, 200]
    assert doubts(images) == []


def test_nothing_is_said_of_nothing() -> None:
    nothing = result(24.0)
    nothing["label"][:] = CLASSES.index("none")
    assert np.isnan(cells_along_window(nothing))
    assert doubts(nothing) == []
    assert doubts(result(24.0).drop_vars("a")) == []


def test_a_printed_result_says_it() -> None:
    doubtful = result(24.0)
    fraction = (("time", "lattice"), np.full((1, 6), 1 / 6))
    variables = {**doubtful.data_vars, "fraction": fraction, "fraction_std": fraction}
    whole = PhaseMap(variables, coords={"lattice": list(CLASSES), "time": [0]}, attrs=doubtful.attrs)
    assert repr(whole).count("doubt: a window of 64 px holds 2.9 cells") == 1


def test_a_cell_that_is_a_multiple_of_the_others_is_doubted() -> None:
    doubled = result(12.0)
    doubled["b"][0, 1, 1:] = 24.0
    (line,) = doubts(doubled)
    assert "40 % of the windows is 2 times as large" in line
    doubled["b"][0, 1, 1:] = 17.0  # another phase
    assert doubts(doubled) == []


@pytest.mark.parametrize(("distance", "said"), [(3.0, False), (6.0, True), (25.0, False)])
def test_a_scan_that_may_distort_more_than_was_given_is_doubted(distance: float, said: bool) -> None:
    sheared = result(12.0).assign_coords(lattice=list(CLASSES))
    sheared.attrs["distortion"] = 0.02
    assert doubts(sheared) == []
    sheared["label"] = sheared["label"].where(sheared["label"] == CLASSES.index("none"), CLASSES.index("oblique"))
    values = np.full((1, 2, 3, len(CLASSES)), 40.0)
    values[..., CLASSES.index("hexagonal")] = distance
    sheared["deviation"] = (("time", "y", "x", "lattice"), values)
    lines = doubts(sheared)
    assert len(lines) == said
    if said:
        assert "6.0 % from hexagonal" in lines[0]
        assert "far above the 2 % of --distortion" in lines[0]


@pytest.mark.parametrize(("pixel", "said"), [(None, False), (0.02, False), (2.0, True), (2e-4, True)])
def test_cells_that_no_crystal_has_are_doubted(pixel: float | None, said: bool) -> None:
    lines = doubts(result(12.0, pixel=pixel))
    assert len(lines) == said
    assert not said or "check the pixel size" in lines[0]


def with_areas(area: list[float], probability: list[float], *, showing: int = 3) -> xr.Dataset:
    """A frame of three windows, of which some show a lattice with these probabilities."""
    one = result(12.0).isel(y=[1])
    shares = np.tile(np.eye(6)[CLASSES.index("none")], (1, 1, 3, 1))
    shares[..., :showing, :] = probability
    one["probability"] = (("time", "y", "x", "lattice"), shares)
    return one.assign(area_fraction=(("time", "lattice"), [area]))


def test_areas_of_another_class_than_the_windows_are_doubted() -> None:
    oblique = [0.0, 0.0, 0.2, 0.1, 0.7, 0.0]
    (line,) = doubts(with_areas([0, 0, 0, 0.9, 0.1, 0], oblique))
    assert "most of the area is hexagonal, but" in line
    assert "oblique with 70 % and hexagonal with 10 %" in line
    assert doubts(with_areas([0, 0, 0, 0.1, 0.9, 0], oblique)) == []
    assert doubts(with_areas([0, 0, 0, 0.9, 0.1, 0], [0, 0, 0, 0.48, 0.5, 0.02])) == []  # nearly equal
    assert doubts(with_areas([0, 0, 0, 0.48, 0.52, 0], [0, 0, 0, 0.7, 0.2, 0.1])) == []


@pytest.mark.parametrize(
    ("void", "probability", "said"), [(0.1, 0.02, 0), (0.3, 0.02, 0), (0.6, 0.02, 1), (0.3, 0.45, 0), (0.2, 0.45, 1)]
)
def test_areas_that_voids_do_not_explain_are_doubted(void: float, probability: float, said: int) -> None:
    lines = doubts(with_areas([0, 0, 0, 1 - void, 0, void], [0, 0, 0, 1 - probability, 0, probability]))
    start = f"the area of none is {100 * void:.0f} %, its mean probability over windows {100 * probability:.0f} %"
    assert len(lines) == said
    assert all(line.startswith(start) for line in lines)


def test_a_frame_whose_lattice_is_not_known_is_doubted() -> None:
    (line,) = doubts(with_areas([0, 0, 0, 0, 0, 1], [0, 0, 0, 0.9, 0, 0.1], showing=1))
    assert "no lattice of a frame is known, though a single window shows one" in line
    assert "not that there is void" in line
    assert doubts(with_areas([0, 0, 0, 0, 0, 1], [0] * 5 + [1])) == []
    assert doubts(with_areas([np.nan] * 6, [np.nan] * 6)) == []


@pytest.mark.parametrize(("undecided", "said"), [(0.1, 0), (0.3, 1), (1.0, 1)])
def test_pixels_that_may_be_one_phase_as_well_as_another_are_doubted(undecided: float, said: int) -> None:
    probability = np.full((1, 10, 10), 0.99)
    probability.reshape(-1)[: round(100 * undecided)] = 0.6
    one = result(12.0).assign(phase_probability=(("time", "py", "px"), probability))
    lines = doubts(one)
    assert len(lines) == said
    assert all(line.startswith(f"{100 * undecided:.0f} % of the pixels of a frame") for line in lines)
    masked = one.assign(phase_probability=one["phase_probability"] * np.nan)
    assert doubts(masked) == []


@pytest.mark.parametrize(("vague", "said"), [(0, ""), (1, "of 1 of 5 frames"), (4, "of 4 of 5 frames")])
def test_areas_with_large_errors_are_doubted_in_all_frames(vague: int, said: str) -> None:
    std = np.full((5, len(CLASSES)), 0.02)
    std[1 : 1 + vague] = 0.08
    area = np.tile([0, 0, 0, 0.8, 0, 0.2], (5, 1))
    one = xr.concat([result(12.0)] * 5, "time").assign_coords(lattice=list(CLASSES))
    one = one.assign(area_fraction=(("time", "lattice"), area), area_fraction_std=(("time", "lattice"), std))
    lines = doubts(one)
    assert len(lines) == (vague > 0)
    assert all(said in line and "± 8 % of the frame" in line for line in lines)
    unknown = np.tile([0, 0, 0, 0, 0, 1.0], (5, 1))
    assert doubts(one.assign(area_fraction=(("time", "lattice"), unknown))) == []


@pytest.mark.parametrize(("width", "said"), [(5, 1), (40, 0)])
def test_two_lattices_that_are_drawn_in_turns_are_doubted(width: int, said: int) -> None:
    drawn = np.broadcast_to(np.arange(120) // width % 2, (1, 100, 120)).copy()
    drawn[0, :30] = -1
    basis = np.full((1, 3, 2, 2), np.nan)
    basis[0, :2] = np.eye(2) * 12.0
    pixels = {
        "frame_lattice": (("time", "py", "px"), drawn),
        "frame_basis": (("time", "number", "vector", "component"), basis),
    }
    lines = doubts(result(12.0).assign_coords(px=3.0 * np.arange(120)).assign(pixels))
    assert len(lines) == said
    assert all("another lattice within a cell" in line and "two layers" in line for line in lines)
    alone = np.where(drawn > 0, 0, drawn)
    assert (
        doubts(
            result(12.0)
            .assign_coords(px=3.0 * np.arange(120))
            .assign(pixels | {"frame_lattice": (("time", "py", "px"), alone)})
        )
        == []
    )

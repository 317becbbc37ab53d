"""Labels, fractions, and the table that a result prints first."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.classify.answer import label_of
from bravaismap.conventions import CLASSES, UNMAPPED
from bravaismap.phases.fractions import phase_fractions
from bravaismap.result.phase_map import PhaseMap, mapped_frames, percent, phase_table


def mapped(frames: int = 3, *, spread: float = 0.02, unit: str = "s", done: int | None = None) -> PhaseMap:
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(6), (frames, 2, 4)).astype(np.float32)
    fraction = np.array([[0.1, 0.2, 0.05, 0.6 - 0.1 * t, 0.03, 0.02 + 0.1 * t] for t in range(frames)])
    fraction[frames if done is None else done :] = np.nan
    return PhaseMap(
        {
            "probability": (("time", "y", "x", "lattice"), probability),
            "label": (("time", "y", "x"), label_of(probability)),
            "fraction": (("time", "lattice"), fraction),
            "fraction_std": (("time", "lattice"), np.full((frames, 6), spread)),
        },
        coords={
            "time": ("time", np.arange(frames) * 2.25 if unit == "s" else np.arange(frames), {"units": unit}),
            "lattice": list(CLASSES),
        },
        attrs={"model": "m"},
    )


def classified(spread: float = 0.01) -> PhaseMap:
    probability = np.array([[0.01, 0.02, 0.9, 0.05, 0.01, 0.01], [0, 0, 0, 0.2, 0, 0.8]])
    return PhaseMap(
        {
            "probability": (("image", "lattice"), probability),
            "probability_std": (("image", "lattice"), np.full((2, 6), spread)),
            "label": ("image", label_of(probability)),
        },
        coords={"image": [0, 1], "lattice": list(CLASSES)},
    )


# Labels and fractions


def test_label_is_the_most_probable_class() -> None:
    probability = np.random.default_rng(0).dirichlet(np.ones(6), (5, 7))
    labels = label_of(probability)
    assert labels.dtype == np.int8
    np.testing.assert_array_equal(np.take_along_axis(probability, labels[..., None], -1)[..., 0], probability.max(-1))


def test_what_is_not_classified_has_no_label() -> None:
    assert label_of(np.array([[np.nan, np.nan], [0.4, 0.6]])).tolist() == [UNMAPPED, 1]


def test_fraction_is_the_mean_probability_and_its_spread_over_the_passes() -> None:
    passes = np.random.default_rng(0).dirichlet(np.ones(3), (9, 20))  # (passes, windows, classes)
    fraction, spread = phase_fractions(passes.mean(axis=0), passes.sum(axis=1))
    np.testing.assert_allclose(fraction, passes.mean(axis=(0, 1)))
    np.testing.assert_allclose(spread, passes.mean(axis=1).std(axis=0, ddof=1))
    assert fraction.sum() == pytest.approx(1)


def test_one_pass_has_no_spread() -> None:
    probability = np.array([[0.25, 0.75], [0.75, 0.25]])
    fraction, spread = phase_fractions(probability, probability.sum(axis=0, keepdims=True))
    np.testing.assert_allclose(fraction, 0.5)
    assert np.isnan(spread).all()


def test_percent() -> None:
    assert percent(0.1234, 0.0261) == "12.3 ± 2.6 %"
    assert percent(1.0, float("nan")) == "100.0 %"


# The table


def test_table_of_a_map() -> None:
    assert phase_table(mapped()).splitlines() == [
        "phase                 symbol  fraction at 0 s  fraction at 4.5 s",
        "────────────────────  ──────  ───────────────  ─────────────────",
        "square                tp      10.0 ± 2.0 %     10.0 ± 2.0 %",
        "rectangular           op      20.0 ± 2.0 %     20.0 ± 2.0 %",
        "centered rectangular  oc      5.0 ± 2.0 %      5.0 ± 2.0 %",
        "hexagonal             hp      60.0 ± 2.0 %     40.0 ± 2.0 %",
        "oblique               mp      3.0 ± 2.0 %      3.0 ± 2.0 %",
        "none                          2.0 ± 2.0 %      22.0 ± 2.0 %",
    ]


def test_table_of_an_image_and_of_one_without_spread() -> None:
    lines = phase_table(mapped(1, spread=np.nan, unit="frame")).splitlines()
    assert lines[0] == "phase                 symbol  fraction"
    assert lines[5] == "hexagonal             hp      60.0 %"


def test_table_of_an_unfinished_map_ends_with_the_last_frame_mapped() -> None:
    result = mapped(3, done=2)
    assert mapped_frames(result).tolist() == [True, True, False]
    assert "fraction at 2.25 s" in phase_table(result)
    assert "4.5" not in phase_table(result)
    others = "; the others are not mapped yet, or were never measured (NaN)"
    assert repr(result).count(f"\n2 of 3 frames are mapped{others}\n") == 1
    assert result._repr_html_().count(f"<p>2 of 3 frames are mapped{others}</p>") == 1
    assert "are mapped" not in repr(mapped(3)) + mapped(3)._repr_html_()
    nothing = phase_table(mapped(3, done=0))
    assert nothing.splitlines()[0].split() == ["phase", "state"]
    assert nothing.count("not mapped, or not measured") == 6


def test_table_of_images() -> None:
    assert phase_table(classified()).splitlines() == [
        "image  phase                 probability   second",
        "─────  ────────────────────  ────────────  ──────────────────────",
        "0      centered rectangular  90.0 ± 1.0 %  hexagonal 5.0 ± 1.0 %",
        "1      none                  80.0 ± 1.0 %  hexagonal 20.0 ± 1.0 %",
    ]


# A result stays one, whatever is done to it


def test_prints_its_table_first() -> None:
    for result in (mapped(), classified()):
        printed = repr(result)
        assert printed.startswith(phase_table(result))
        assert "<xarray." in printed


def test_a_part_of_a_result_is_a_result() -> None:
    result = mapped()
    part = result.isel(time=slice(1, 3)).sel(lattice=["hexagonal", "none"])
    assert isinstance(part, PhaseMap)
    assert part.attrs == {"model": "m"}
    lines = repr(part).splitlines()
    assert lines[0] == "phase      symbol  fraction at 2.25 s  fraction at 4.5 s"
    assert lines[2] == "hexagonal  hp      50.0 ± 2.0 %        40.0 ± 2.0 %"
    assert lines[4] == ""
    assert isinstance(result.load().copy(), PhaseMap)


@pytest.mark.parametrize(
    "part",
    [
        mapped().isel(time=0),
        mapped().sel(lattice="none"),
        mapped().isel(time=0, lattice=0),
        mapped()[["probability"]],
        mapped()[["fraction"]],
        mapped().drop_vars("fraction"),
        classified().isel(image=0),
        classified().sel(lattice="none"),
        classified().sel(lattice=["none"]),
        classified().drop_vars("label"),
        classified().mean("image"),
        PhaseMap(),
    ],
)
def test_any_part_can_be_printed(part: xr.Dataset) -> None:
    assert isinstance(part, PhaseMap)
    assert "<xarray." in repr(part)

"""The paper's figures on tiny runs: their numbers, their drawings, the report, and going on after an interruption."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES, NONE
from bravaismap.domains.thresholding import relative_difference
from bravaismap.errors import InputError, ModelError
from bravaismap.evaluate.reliability import calibration_error
from bravaismap.lattice.deviation import deviation
from bravaismap.lattice.shape import shape
from bravaismap.reproduce import (
    confidence,
    decomposition,
    decomposition_figures,
    edge_cases,
    energy_transfer,
    feature_map,
    noise_limits,
    paper_table,
    training_curve,
)
from bravaismap.reproduce.graphene import graphene
from bravaismap.reproduce.paper import reproduce
from bravaismap.reproduce.parts import Parts
from bravaismap.reproduce.plan import FULL, QUICK, Contestant, Plan, contestant
from bravaismap.simulate.windows import simulate

TINY = Plan(
    quick=True, images=12, passes=4, noise_images=2, noise_levels=(0.0, 6.0), noise_passes=4, feature_images=36,
    edge_images=2, shears=(0.0, 20.0), every=6, size=192, step=64, small_step=48, film_passes=4, training_images=150,
    training_epochs=2,
)  # fmt: skip
HEXAGONAL, EMPTY = CLASSES.index("hexagonal"), CLASSES.index(NONE)


def silent(*_: object) -> None:
    """Show no progress."""


@pytest.fixture(scope="module")
def default() -> Contestant:
    return contestant("default")


@pytest.fixture(scope="module")
def network(weights: Path) -> Contestant:
    return contestant("quick", str(weights))


# The figures, one by one


def test_training_curve_is_that_of_the_card() -> None:
    numbers = training_curve.training_curve("dcnn-2018")
    summary = training_curve.summarise_training_curve(numbers)
    assert summary["validation_accuracy"] == load_model("dcnn-2018").card.accuracy["validation"]  # type: ignore[union-attr]
    assert (summary["epochs"], summary["images"]) == (30, 24000)
    lines = training_curve.draw_training_curve(numbers).axes[0].lines
    np.testing.assert_allclose(lines[-1].get_ydata(), 100 * numbers["validation_accuracy"])
    assert training_curve.summarise_training_curve(training_curve.training_curve("default")) == {"epochs": 0}


def test_plateau_begins_where_the_accuracy_no_longer_leaves_it() -> None:
    accuracy = np.array([0.5, 0.85, 0.7, 0.84, 0.849, 0.85])
    numbers = {"epoch": np.arange(1, 7.0), "validation_accuracy": accuracy, "training_accuracy": accuracy}
    numbers |= {"seconds": np.full(6, 60.0), "images": 100}
    summary = training_curve.summarise_training_curve(numbers)
    assert summary["plateau_epoch"] == 4
    assert summary["minutes"] == 6


def test_confidence_counts_what_the_model_says(network: Contestant, tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    numbers = confidence.confidence(network, TINY, parts, silent)
    data = simulate(TINY.images, seed=TINY.seed)
    said = network.exact.predict(data["image"].values.astype(np.float32), samples=4, seed=TINY.seed)
    np.testing.assert_allclose(numbers["probability"], said.probability, atol=1e-6)
    summary = confidence.summarise_confidence(numbers)
    right = said.probability.argmax(axis=1) == data["label"].values
    assert summary["wrong"] == (~right).sum()
    assert summary["calibration_error"] == pytest.approx(calibration_error(said.probability.max(axis=1), right))
    assert parts.computed == ["confidence-quick-000"]
    again = Parts(tmp_path)
    np.testing.assert_array_equal(confidence.confidence(network, TINY, again, silent)["label"], numbers["label"])
    assert again.computed == []
    confidence.confidence(network, replace(TINY, passes=5), again, silent)
    assert again.computed == ["confidence-quick-000"]


def test_summary_of_a_known_error_analysis() -> None:
    probability = np.full((4, 6), 0.02)
    for i, (first, second) in enumerate([(0, 1), (1, 0), (2, 3), (5, 4)]):
        probability[i, first], probability[i, second] = 0.7, 0.22
    label = np.array([0, 0, 0, 5])  # right, second, neither, right
    numbers = {"probability": probability, "probability_std": probability / 10, "label": label, "seconds": 0.06}
    summary = confidence.summarise_confidence(numbers | {"passes": 300})
    assert (summary["wrong"], summary["second_right"], summary["wrong_of_1200"]) == (2, 1, 600)
    assert summary["seconds_per_5000_passes"] == pytest.approx(1.0)
    assert summary["mean_sigma_wrong"] == pytest.approx(0.07)
    faultless = confidence.summarise_confidence({**numbers, "label": probability.argmax(axis=1), "passes": 300})
    assert (faultless["wrong"], faultless["second_right_share"], faultless["mean_confidence_wrong"]) == (0, None, None)
    figure = confidence.draw_confidence({"a": numbers | {"passes": 300}})
    assert figure.axes[0].get_title() == "a: 2 wrong of 4"


def test_wrong_spectra_are_boxed_red(network: Contestant, tmp_path: Path) -> None:
    numbers = confidence.confidence(network, TINY, Parts(tmp_path), silent)
    figure = confidence.draw_spectra("quick", numbers, TINY)
    red = sum(ax.spines["top"].get_edgecolor() == (1.0, 0.0, 0.0, 1.0) for ax in figure.axes)
    assert len(figure.axes) == 12
    assert red == confidence.summarise_confidence(numbers)["wrong"]
    for right in (True, False):
        bars = confidence.draw_single_images("quick", numbers, TINY, right=right).axes
        assert len(bars) == 2 * min(6, 12 - red if right else red)


def test_graphene_is_hexagonal_and_as_sheared_as_it_says(default: Contestant) -> None:
    shears = np.array([0.0, 0.05, 0.1])
    images = np.stack([graphene(np.random.default_rng(3), shear=shear) for shear in shears])
    cells = default.exact.predict(images, samples=0, seed=0).cells
    assert cells is not None
    off = deviation(shape(cells.basis))[:, HEXAGONAL]
    np.testing.assert_allclose(off, 2 * np.arcsinh(shears / 2), atol=0.003)


@pytest.mark.parametrize("case", [{"defects": 8}, {"moire": 0.4, "spacing": 14.0}])
def test_defects_and_a_substrate_leave_graphene_hexagonal(default: Contestant, case: dict[str, Any]) -> None:
    clean, changed = (graphene(np.random.default_rng(5), **extra) for extra in ({"spacing": 14.0}, case))
    found = default.instrument.predict(changed[None], samples=0, seed=0)
    assert found.probability[0].argmax() == HEXAGONAL
    power = [np.abs(np.fft.rfft2(image - image.mean()))[:9, :9].sum() / image.std() for image in (clean, changed)]
    if "moire" in case:
        assert power[1] > 3 * power[0]  # a long wave that graphene alone does not have


def test_noise_limits(default: Contestant) -> None:
    numbers = noise_limits.noise_limits(default, TINY, silent)
    assert numbers["probability"].shape == (2, 4, 2, 6)
    summary = noise_limits.summarise_noise_limits(numbers)
    assert summary["sides_px"] == [256, 128, 64, 32]
    assert summary["share_right"][0][0] == 1.0
    assert summary["share_right"][1][3] < 1.0
    assert summary["smallest_known_px"][0] <= 64
    assert len(noise_limits.draw_noise_limits({"default": numbers}).axes) == 2


def test_a_model_that_claims_a_wrong_lattice_does_not_say_so() -> None:
    probability = np.zeros((1, 4, 2, 6))
    probability[0, :2, :, HEXAGONAL] = 0.9  # knows
    probability[0, 2, :, EMPTY] = 0.99  # says that there is none
    probability[0, 3, :, 0] = (0.95, 0.5)  # one is misled, one undecided
    numbers = {"probability": probability, "probability_std": probability, "levels": np.zeros(1), "spacing": 18.0}
    summary = noise_limits.summarise_noise_limits(numbers | {"sides": np.array([256, 128, 64, 32])})
    assert summary["smallest_known_px"] == [128]
    assert summary["wrong_lattice_claimed"] == [[0.0, 0.0, 0.0, 0.5]]
    assert (summary["claimed_where_lost"], summary["says_so"]) == (0.25, False)


def test_feature_map(default: Contestant, network: Contestant) -> None:
    found = {m.name: feature_map.feature_map(m, TINY, silent) for m in (network, default)}
    assert [n["features"] for n in found.values()] == [128, 5]
    for numbers in found.values():
        assert numbers["embedding"].shape == (36, 2)
        np.testing.assert_allclose(numbers["confusion"].sum(axis=1), 1)
    assert np.isfinite(found["default"]["shape"]).any()
    assert not np.isfinite(found["quick"]["shape"]).any()
    assert len(feature_map.draw_feature_map(found).axes) == 5


def test_neighbours_of_separate_classes_are_their_own() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(6), 12)
    apart = rng.normal(0, 0.1, (72, 3)) + 10 * label[:, None]
    np.testing.assert_array_equal(feature_map.neighbour_confusion(apart, label), np.eye(6))
    mixed = apart.copy()
    mixed[label == 1] -= 10  # square and rectangular in one heap
    numbers = {"confusion": feature_map.neighbour_confusion(mixed, label), "label": label, "features": 3}
    summary = feature_map.summarise_feature_map(numbers | {"silhouette": np.where(label == 4, -0.2, 0.5)})
    assert summary["nearest_other_class"]["square"] == "rectangular"
    assert summary["nearest_other_class"]["hexagonal"] is None
    assert summary["most_scattered"] == "oblique"


def test_drift_takes_hexagonal_away(default: Contestant) -> None:
    numbers = edge_cases.edge_cases(default, TINY, None, "", silent)
    summary = edge_cases.summarise_edge_cases(numbers)
    assert summary["hexagonal_without_drift"] > 0.8
    assert summary["hexagonal_lost_at_percent"] == 20
    assert list(summary["cases"]) == ["slight drift", "defects", "Moiré superlattice"]
    assert summary["cases"]["defects"]["first"] == "hexagonal"
    assert len(edge_cases.draw_edge_cases({"default": numbers}).axes) == 6
    curves = edge_cases.draw_drift({"default": numbers}).axes[0].lines
    assert curves[0].get_ydata()[0] == pytest.approx(summary["hexagonal_without_drift"])


def test_edge_cases_of_an_image_of_the_users(default: Contestant, tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    np.save(path, graphene(np.random.default_rng(8), side=200)[:, :180])
    image = edge_cases.read_image(str(path))
    assert image.shape == (180, 180)
    numbers = edge_cases.edge_cases(default, TINY, image, str(path), silent)
    summary = edge_cases.summarise_edge_cases(numbers)
    assert summary["cases"][str(path)]["first"] == "hexagonal"
    assert summary["hexagonal_lost_at_percent"] == 20
    assert edge_cases.draw_edge_cases({"default": numbers}).axes[0].get_title() == "mine.npy"
    with pytest.raises(InputError, match="too small to shear by 20 %"):
        edge_cases.edge_cases(default, TINY, image[:50, :50], "small", silent)


def test_growth_is_recovered_or_the_reason_is_given() -> None:
    time = np.arange(90) * 2.25
    fits = decomposition.growth(
        {"law": (decomposition.paper_law(time, 1), None), "flat": (np.full(90, 0.1) + 1e-3 * np.sin(time), None)}, time
    )
    assert fits["law"]["rho"]["value"] == pytest.approx(0.042, rel=0.15)
    assert fits["law"]["C"]["low"] - 0.002 < 0.059 < fits["law"]["C"]["high"] + 0.002
    assert "not determined" in fits["flat"]["refused"]


@pytest.fixture(scope="module")
def film(default: Contestant, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], xr.Dataset, Any]:
    """Return the truth of the tiny film, its map, and the film."""
    made = decomposition.Decomposition(TINY, silent)
    truth = decomposition.film_truth(made)
    return truth, decomposition.map_film(default, made, tmp_path_factory.mktemp("film")).load(), made


def test_film_is_the_papers(film: tuple[dict[str, Any], xr.Dataset, Any]) -> None:
    truth, result, made = film
    assert truth["time"].tolist() == (np.arange(15) * 13.5).tolist()
    assert result["fraction"].shape == (15, 6)
    half = [made.frames["void"].values[-1][y : y + 128, x : x + 128].mean() >= 0.5 for y in (0, 64) for x in (0, 64)]
    assert truth["half_void"][-1] == np.mean(half)
    kinetics = made.film.kinetics
    assert (kinetics.growth_rate, kinetics.baseline) == (0.042, 0.059)
    assert truth["area_nm2"] == pytest.approx((192 * 0.3153 / 11) ** 2)
    assert FULL.frames * 2.25 == 202.5


def test_film_figures(film: tuple[dict[str, Any], xr.Dataset, Any]) -> None:
    truth, result, made = film
    fits = decomposition.growth({"true voids": (truth["void"], None), "default": (truth["void"], None)}, truth["time"])
    small = {"default": truth["threshold"] / 2}
    sites = {"default": decomposition.film_sites(made, result)["void"]}
    summary = decomposition.summarise_decomposition(truth, {"default": result}, fits, small, sites)
    assert summary["small_windows"]["default"]["relative_to_threshold"] == pytest.approx(0.5)
    assert summary["models"]["default"]["fraction"]["none"] == result["fraction"].values[:, EMPTY].round(5).tolist()
    area = summary["models"]["default"]["area"]
    none = result["area_fraction"].sel(lattice=NONE).values
    assert area["none"] == none.round(5).tolist()
    late = truth["time"] >= 100
    assert area["relative_to_truth"] == relative_difference(none[late], truth["void"][late])
    assert area["relative_to_truth"] < 0.1
    vacant = summary["models"]["default"]["sites"]
    assert len(vacant["vacant"]) == late.sum()
    assert vacant["relative_to_truth"] == relative_difference(sites["default"], truth["void"][late])
    assert vacant["relative_to_truth"] < 0.15
    maps = decomposition_figures.draw_film_maps(truth, {"default": result})
    assert len(maps.axes) == 3 * 4 + 1
    lower = decomposition_figures.draw_fractions(truth, {"default": result}, fits, small).axes[1]
    circles = next(line for line in lower.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(circles.get_ydata(), truth["threshold"])
    assert sum(line.get_linestyle() == "--" for line in lower.lines) == ("rho" in fits["default"])


def test_unmixed_film_and_the_note_on_the_video(film: tuple[dict[str, Any], xr.Dataset, Any]) -> None:
    _, result, made = film
    numbers = decomposition.unmixed_film(made)
    share = np.array([0.1, 0.1, 0.2, 0.4])
    follows = decomposition.summarise_unmixed({"fraction": np.column_stack([1 - share, share])}, 2 * share)
    assert follows["correlation_with_voids"] == pytest.approx([-1, 1])
    assert follows["void_endmember"] == 1
    np.testing.assert_allclose(numbers["abundance"].sum(axis=-1), 1, atol=1e-5)
    assert len(decomposition_figures.draw_unmixed(numbers).axes) == 7
    part = result.isel(time=slice(2))
    plain, noted = (
        list(decomposition_figures.video_frames(part, made.frames["image"][:2], note)) for note in ("", "quick")
    )
    assert plain[0].shape == noted[0].shape
    assert (plain[1][:-40] == noted[1][:-40]).all()
    assert (plain[1][-30:] != noted[1][-30:]).any()
    assert decomposition_figures.note_strip("quick", 500).shape == (30, 500, 3)


def test_energy_transfer_beside_the_paper() -> None:
    numbers = energy_transfer.energy_transfer()
    assert numbers["at_100_kV"] == {"W": {"paper": 1.6, "formula": 1.31}, "S": {"paper": 7.5, "formula": 7.51}}
    assert set(numbers["elements"]) == {"W", "S", "Mo", "Se", "C"}
    assert numbers["voltages_kV"] == [60, 80, 100, 120, 200, 300]
    assert len(energy_transfer.draw_energy_transfer(numbers).axes[0].lines) == 5 + 2 + 1


def test_plans_and_models_that_do_not_fit(tmp_path: Path, weights: Path) -> None:
    assert QUICK.quick
    assert not FULL.quick
    assert (FULL.images, FULL.passes, FULL.feature_images, FULL.frames, FULL.step) == (1200, 5000, 1000, 90, 16)
    card = json.loads(weights.with_suffix(".json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps(card | {"classes": ["a", "b", "c", "d", "e", "f"]}))
    (tmp_path / "mine.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(ModelError, match="expected the classes of the paper"):
        contestant("mine", str(tmp_path / "mine.safetensors"))


# All of it


@pytest.mark.slow
def test_interrupted_half_way_it_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bravaismap.reproduce.paper._DPI", 40)

    def stop(label: str, done: int, _: int) -> None:
        if label == "map the film by default" and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, TINY, progress=stop)
    assert not (tmp_path / "results.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*.npz")}
    assert len(before) >= 9
    for module, name in ((confidence, "_classified"), (noise_limits, "graphene"), (feature_map, "features_of")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("computed again"))
    mapped: list[int] = []

    def note(label: str, done: int, _: int) -> None:
        if label == "map the film by default":
            mapped.append(done)

    results = reproduce(tmp_path, TINY, progress=note)
    assert 4 <= mapped[0] <= 6  # the frames that were mapped are kept, and at most two that waited to be written
    assert all((tmp_path / "parts" / name).stat().st_mtime_ns == time for name, time in before.items())
    _check_report(tmp_path, results)


def _check_report(folder: Path, results: dict[str, Any]) -> None:
    """Assert that the report holds the numbers of results.json, and needs nothing else."""
    stored = json.loads((folder / "results.json").read_text())
    assert stored == results
    page = unescape((folder / "report.html").read_text())
    for row in stored["table"]:
        assert row["quantity"] in page
        assert f">{paper_table.shown(row['paper'], row['unit'])}<" in page
        for name, value in row["values"].items():
            if value is not None and not row["verdicts"][name].startswith("not"):
                assert f">{paper_table.shown(value, row['unit'])}<" in page
    assert page.count('src="data:image/png;base64,') == len(list((folder / "figures").glob("*.png"))) == 16
    assert not re.search(r"<script|<link|src=\"(?!data:)|url\(", page)
    assert "A quick run" in page
    sentences = [s for block in stored["words"].values() for s in block]
    assert len(sentences) > 12
    assert "1.31 eV; the paper prints 1.6 eV" in page


@pytest.mark.slow
def test_reproduce_on_the_command_line(
    run: Callable[..., Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bravaismap.reproduce.QUICK", TINY)
    monkeypatch.setattr("bravaismap.reproduce.paper._DPI", 40)
    np.save(tmp_path / "mine.npy", graphene(np.random.default_rng(8), side=200))
    own = tmp_path / "dcnn-2018.safetensors"
    for suffix in (".safetensors", ".json"):
        own.with_suffix(suffix).write_bytes(weights.with_suffix(suffix).read_bytes())
    done = run(
        "reproduce", "--quick", "--train", "--model", own, "--image", tmp_path / "mine.npy", "-o", tmp_path / "all"
    )
    assert done.code == 0, done.err
    assert "wrong of 1200 simulated images" in done.out
    assert "report.html" in done.out
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert results["models"] == ["dcnn-2018", "dcnn-2018-own"]
    assert results["figures"]["training_curve"]["epochs"] == 2
    trained, given = (results["cards"][name]["weights"] for name in results["models"])
    assert trained != load_model("dcnn-2018").record.weights_sha256
    assert given == load_model(weights).record.weights_sha256
    assert list(results["figures"]["edge_cases"]["dcnn-2018"]["cases"]) == ["mine.npy"]


def test_reproduce_refuses_what_it_cannot_use(run: Callable[..., Any], tmp_path: Path) -> None:
    run("reproduce", "-o", tmp_path / "a", "--image", tmp_path / "no.tif").refused("no.tif")
    run("reproduce", "-o", tmp_path / "a", "--model", "defalt").refused("defalt", "default")
    (tmp_path / "file").write_text("")
    run("reproduce", "-o", tmp_path / "file").refused("file")

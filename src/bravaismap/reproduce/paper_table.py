"""The table "paper / dcnn-2018 / default", and sentences on what agrees with the paper and what does not."""

from __future__ import annotations

from typing import Any

from bravaismap.conventions import display_name
from bravaismap.reproduce.confidence import PAPER_IMAGES, PAPER_SECOND, PAPER_WRONG
from bravaismap.reproduce.decomposition import PAPER_GROWTH
from bravaismap.reproduce.plan import PAPER_MODEL
from bravaismap.reproduce.training_curve import PAPER_ACCURACY, PAPER_PLATEAU

__all__ = ["findings", "growth_table", "paper_table", "shown"]

Row = dict[str, Any]

_PAPER_SECONDS = 60.0
_PAPER_AGREEMENT = 0.20
_PAPER_AREA = 216.0  # nm²
_PAPER_CASES = {
    "slight drift": ("oblique", "oblique first, hexagonal second, large σ"),
    "defects": ("hexagonal", "hexagonal"),
    "Moiré superlattice": ("hexagonal", "hexagonal"),
}
_GROWTH_NAMES = {"A0": "A₀", "rho": "ρ", "C": "C"}


def paper_table(results: dict[str, Any]) -> list[Row]:
    """Return the rows of the table: quantity, unit, the paper's value, ours by model, and a verdict on each of ours.

    What no model takes part in stands once, under the first of them.
    """
    figures, names = results["figures"], results["models"]
    confidence = figures["confidence"]
    film = figures["decomposition"]
    accuracy = figures["training_curve"].get("validation_accuracy")
    images = {confidence[name]["images"] for name in names}
    scaled = "" if images == {PAPER_IMAGES} else f" (scaled from {' and '.join(map(str, sorted(images)))})"
    second = {name: confidence[name]["second_right_share"] for name in names}
    rows = [
        _row("validation accuracy", "%", PAPER_ACCURACY, {PAPER_MODEL: accuracy}, names, "more", 0.02),
        _row(
            f"wrong of {PAPER_IMAGES} simulated images{scaled}", "", PAPER_WRONG,
            {name: confidence[name]["wrong_of_1200"] for name in names}, names, "less", 0.12,
        ),
        _row("second class right, of the wrong ones", "%", PAPER_SECOND / PAPER_WRONG, second, names, "more", 0.12),
        _row(
            "time for 5000 passes (or draws) on one image", "s", _PAPER_SECONDS,
            {name: confidence[name]["seconds_per_5000_passes"] for name in names}, names, "less", 0.2,
        ),
        _row(
            "mean difference from thresholding, t > 100 s", "%", _PAPER_AGREEMENT,
            {name: film["models"][name]["relative_to_threshold"] for name in names}, names, "less", 0.0,
        ),
        _row(
            "the same of areas, pixel by pixel", "%", _PAPER_AGREEMENT,
            {name: film["models"][name].get("area", {}).get("relative_to_threshold") for name in names},
            names, "less", 0.0,
        ),
        _row(
            "the same of vacant sites", "%", _PAPER_AGREEMENT,
            {name: film["models"][name].get("sites", {}).get("relative_to_threshold") for name in names},
            names, "less", 0.0,
        ),
    ]  # fmt: skip
    law = film["fits"].get("the paper's law with noise", {})
    for key in PAPER_GROWTH:
        rows.append(_growth_row(key, "the paper's curve with noise, by no model", {names[0]: law.get(key)}, names))
    for key in PAPER_GROWTH:
        fits = {name: film["fits"].get(name, {}).get(key) for name in names}
        rows.append(_growth_row(key, "the film", fits, names))
    true = film["fits"].get("true voids", {})
    for key in PAPER_GROWTH:
        areas = {name: film["fits"].get(f"{name}, areas") for name in names}
        fits = {name: fit.get(key) for name, fit in areas.items() if fit is not None}
        rows.append(_growth_row(key, "the film, areas", fits, names, true.get(key)))
    for key in PAPER_GROWTH:
        fits = {name: film["fits"].get(f"{name}, windows of 48 px", {}).get(key) for name in film["small_windows"]}
        rows.append(_growth_row(key, "the film, windows of 48 px", fits, names))
    for element, value in figures["energy_transfer"]["at_100_kV"].items():
        ours = {names[0]: value["formula"]}
        quantity = f"energy transfer to {element} at 100 kV, Eq. 1, by no model"
        rows.append(_row(quantity, "eV", value["paper"], ours, names, "same", 0.02))
    return rows


def _row(
    quantity: str, unit: str, paper: float, ours: dict[str, Any], names: list[str], better: str, tolerance: float
) -> Row:
    """Return a row; `better` says whether more or less is better, `tolerance` what still agrees, as a fraction."""
    values = {name: ours.get(name) for name in names}
    verdicts = {name: _verdict(value, paper, better, tolerance) for name, value in values.items()}
    return {"quantity": quantity, "unit": unit, "paper": paper, "values": values, "verdicts": verdicts}


def _verdict(value: float | None, paper: float, better: str, tolerance: float) -> str:
    if value is None:
        return "not applicable"
    if abs(value - paper) <= tolerance * abs(paper):
        return "agrees"
    if better == "same":
        return "differs"
    return "better" if (value > paper) == (better == "more") else "worse"


def _growth_row(
    key: str, source: str, fits: dict[str, Any], names: list[str], true: dict[str, Any] | None = None
) -> Row:
    """Return a row of a parameter; it agrees if its interval holds the paper's value, or `true` where that is known.

    The voids of a film are drawn at random: a few tens of them need not have the rates that were put in.
    """
    paper = PAPER_GROWTH[key]
    expected = paper if true is None else true["value"]
    verdicts = {}
    for name in names:
        fit = fits.get(name)
        if name not in fits:
            verdicts[name] = "not applicable"
        elif fit is None or fit["low_95"] is None or fit["high_95"] is None:
            verdicts[name] = "not determined"
        else:
            verdicts[name] = "agrees" if fit["low_95"] <= expected <= fit["high_95"] else "differs"
    values = {name: fits[name]["value"] if fits.get(name) else None for name in names}
    spans = {name: [fits[name]["low"], fits[name]["high"]] for name in names if fits.get(name)}
    unit = "1/s" if key == "rho" else ""
    held = "" if true is None else f" (its voids: {shown(expected, unit)})"
    quantity = f"{_GROWTH_NAMES[key]} from {source}{held}"
    return {
        "quantity": quantity, "unit": unit, "paper": paper, "values": values, "verdicts": verdicts, "intervals": spans,
    }  # fmt: skip


def growth_table(film: dict[str, Any]) -> list[Row]:
    """Return a row per source of the void fraction: the fitted parameters, also in nm² and nm²/s of the frame."""
    area = film["area_nm2"]
    a0, rho, c = (PAPER_GROWTH[key] for key in ("A0", "rho", "C"))
    rows: list[Row] = [
        {"source": "the paper", "A0": a0, "A0_nm2": a0 * _PAPER_AREA, "rho": rho, "rho_nm2": rho * _PAPER_AREA, "C": c}
    ]
    for name, fit in film["fits"].items():
        if "refused" in fit:
            rows.append({"source": name, "refused": fit["refused"]})
            continue
        row: Row = {"source": name, "A0_nm2": fit["A0"]["value"] * area, "rho_nm2": fit["rho"]["value"] * area}
        for key in ("A0", "rho", "C"):
            row |= {key: fit[key]["value"], f"{key}_interval": [fit[key]["low"], fit[key]["high"]]}
        rows.append(row)
    return rows


def shown(value: float | None, unit: str = "") -> str:
    """Return a value as it is printed."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{100 * value:.1f} %"
    if value and abs(value) < 1e-3:
        text = f"{value:.2e}"
    elif abs(value) >= 100:
        text = f"{value:.0f}"
    else:
        text = f"{value:.3g}"
    return f"{text} {unit}".rstrip().replace("-", "−")


def findings(results: dict[str, Any]) -> dict[str, list[str]]:
    """Return sentences for each figure that say what agrees with the paper and what does not."""
    figures, names = results["figures"], results["models"]
    return {
        "training_curve": _on_training(figures["training_curve"]),
        "confidence": [_on_confidence(name, figures["confidence"][name]) for name in names],
        "noise_limits": [_on_noise(name, figures["noise_limits"][name]) for name in names],
        "feature_map": [_on_features(name, figures["feature_map"][name]) for name in names],
        "edge_cases": [_on_edges(name, figures["edge_cases"][name]) for name in names],
        "decomposition": _on_film(figures["decomposition"], names),
        "energy_transfer": _on_energy(figures["energy_transfer"]),
    }


def _on_training(curve: dict[str, Any]) -> list[str]:
    if not curve.get("epochs"):
        return ["The model card holds no training curve."]
    early = "The paper's network" if curve["epochs"] >= 30 else "In this short training the network"
    return [
        f"{early} ends at a validation accuracy of {100 * curve['validation_accuracy']:.1f} % after {curve['epochs']} "
        f"epochs on {curve['images']} images (the paper: about {100 * PAPER_ACCURACY:.0f} %). It is within 1 % of that "
        f"from epoch {curve['plateau_epoch']} on; the paper's plateau begins after about {PAPER_PLATEAU}."
    ]


def _on_confidence(name: str, found: dict[str, Any]) -> str:
    scaled = "" if found["images"] == PAPER_IMAGES else f"scaled: {found['wrong_of_1200']:.0f} of {PAPER_IMAGES}; "
    text = (
        f"{name}: {found['wrong']} of {found['images']} images are wrong ({scaled}"
        f"the paper: {PAPER_WRONG} of {PAPER_IMAGES}). The second class is right in {found['second_right']} of them"
    )
    if found["wrong"]:
        text += f", {100 * found['second_right_share']:.0f} % (the paper: {PAPER_SECOND}, 63 %; its text says 75 %)"
    wrong, right = found["mean_confidence_wrong"], found["mean_confidence_right"]
    if wrong is not None and right is not None:
        lower = (
            "As in the paper, wrong answers are less confident"
            if wrong < right - 0.05
            else "Wrong answers are as confident"
        )
        text += f". {lower}: mean confidence {wrong:.2f} where wrong, {right:.2f} where right"
    return f"{text}. Calibration error {found['calibration_error']:.3f}."


def _on_noise(name: str, found: dict[str, Any]) -> str:
    parts = []
    for level, side in zip(found["levels"], found["smallest_known_px"], strict=True):
        parts.append(f"{'no window' if side is None else f'down to {side} px'} at noise {level:g}")
    text = f"{name} knows the lattice (4 of 5 answers right) {', '.join(parts)}."
    if found["says_so"] is None:
        return f"{text} It knows everywhere."
    claimed, right = found["claimed_where_lost"], found["share_right_where_lost"]
    says = "it says so" if found["says_so"] else "it does not always say so"
    return (
        f"{text} Where it no longer knows, {says}: {100 * right:.0f} % of the answers are right, and "
        f"{100 * claimed:.0f} % claim a wrong lattice with at least 70 %; the others are none, or undecided."
    )


def _on_features(name: str, found: dict[str, Any]) -> str:
    nearest = found["nearest_other_class"]
    adjacent = nearest["square"] == "rectangular" or nearest["rectangular"] == "square"
    square, rectangular = (display_name(nearest[key] or "no other class") for key in ("square", "rectangular"))
    apart = max(found["silhouette_by_class"], key=lambda key: found["silhouette_by_class"][key] or -1)
    return (
        f"{name}: {100 * found['same_class_neighbours']:.0f} % of the ten nearest neighbours share the class, "
        f"silhouette {found['silhouette']:.2f}. The nearest other class of square is {square}, that of rectangular is "
        f"{rectangular} (the paper: the two are adjacent; {'so here' if adjacent else 'not here'}). The most scattered "
        f"lattice is {display_name(found['most_scattered'])} (the paper: oblique), the most separate class "
        f"{display_name(apart)} (the paper: noise)."
    )


def _on_edges(name: str, found: dict[str, Any]) -> str:
    lost = found["hexagonal_lost_at_percent"]
    if lost is None:
        text = f"{name}: hexagonal stays the first class at every shear tried."
    elif lost == 0:
        text = f"{name}: hexagonal is not the first class, even without more shear."
    else:
        text = f"{name}: hexagonal is no longer the first class from {lost:g} % shear on."
    for case, answer in found["cases"].items():
        text += (
            f" {case[0].upper()}{case[1:]}: {display_name(answer['first'])} {answer['probability']:.2f} ± "
            f"{answer['sigma']:.2f}, then {display_name(answer['second'])} {answer['second_probability']:.2f}"
        )
        first, said = _PAPER_CASES.get(case, ("", "")) if found["simulated"] else ("", "")
        if said:
            text += f" (the paper: {said}; {'as here' if answer['first'] == first else 'not so here'})"
        text += "."
    return text


def _on_film(film: dict[str, Any], names: list[str]) -> list[str]:
    lines = [
        f"The film holds {100 * film['true_void'][-1]:.1f} % of voids at its end. Thresholding differs from the truth "
        f"by {shown(film['threshold_relative_to_truth'], '%')} on average after 100 s."
    ]
    for name in names:
        found, fit = film["models"][name], film["fits"].get(name, {})
        gap = found["relative_to_threshold"]
        within = "within the paper's 20 %" if gap is not None and gap <= _PAPER_AGREEMENT else "beyond the paper's 20 %"
        text = (
            f"{name}: the fraction of none is {found['none_at_the_end']:.3f} at the end and differs from thresholding "
            f"by {shown(gap, '%')} ({within}). "
        )
        if "rho" in fit:
            rate = fit["rho"]
            text += (
                f"The fit gives ρ = {rate['value']:.4f} 1/s ({shown(rate['low'])} to {shown(rate['high'])}); "
                f"{PAPER_GROWTH['rho']} was put in."
            )
        else:
            text += f"No growth law is fitted: {fit.get('refused', 'there is no curve')}."
        lines.append(text)
        if "area" in found:
            lines.append(_on_area(name, found["area"], film["fits"]))
        if "sites" in found:
            lines.append(
                f"{name} site by site, t > 100 s: the share of vacant sites differs from the true voids by "
                f"{shown(found['sites']['relative_to_truth'], '%')} and from thresholding by "
                f"{shown(found['sites']['relative_to_threshold'], '%')}."
            )
    for name, found in film["small_windows"].items():
        fit, side = film["fits"].get(f"{name}, windows of 48 px", {}), film["small_windows_px"]
        gap = shown(found["relative_to_threshold"], "%")
        text = f"{name} by windows of {side} px: the fraction of none differs from thresholding by {gap}"
        if "rho" in fit:
            rate = fit["rho"]
            text += f", and the fit gives ρ = {rate['value']:.4f} 1/s ({shown(rate['low'])} to {shown(rate['high'])})"
        lines.append(f"{text}.")
    unmixed = film["unmixed"]
    lines.append(
        f"Unmixing, which nobody taught, finds {len(unmixed['correlation_with_voids'])} pure spectra. The mean "
        f"abundance of endmember {unmixed['void_endmember'] + 1} follows the true voids best, with a correlation of "
        f"{max(unmixed['correlation_with_voids']):.2f} over time."
    )
    half = 100 * film["half_void_windows"][-1]
    said = ", ".join(f"{name} calls {100 * film['models'][name]['none_at_the_end']:.1f} % none" for name in names)
    lines.append(f"In the last frame {half:.1f} % of the windows are void by half or more; {said}.")
    lines.append(
        "A window of 128 px holds a small void and the lattice around it. A model that looks for the lattice finds it; "
        "the fraction of none is then the share of windows that are mostly void, not the area of the voids, and grows "
        "later. A model that any disturbance puts off counts every window that a void touches."
    )
    return lines


def _on_area(name: str, area: dict[str, Any], fits: dict[str, Any]) -> str:
    gap = area["relative_to_threshold"]
    within = "within" if gap is not None and gap <= _PAPER_AGREEMENT else "beyond"
    text = (
        f"{name} pixel by pixel: the area of none is {area['none'][-1]:.3f} at the end, differs from the true voids by "
        f"{shown(area['relative_to_truth'], '%')} and from thresholding by {shown(gap, '%')} ({within} 20 %)"
    )
    fit, true = fits.get(f"{name}, areas", {}), fits.get("true voids", {})
    if "rho" in fit and "rho" in true:
        said = [f"{_GROWTH_NAMES[k]} = {shown(fit[k]['value'])} for {shown(true[k]['value'])}" for k in ("rho", "C")]
        text += f"; its fit gives {' and '.join(said)} of the fit to the true voids"
    return f"{text}."


def _on_energy(table: dict[str, Any]) -> list[str]:
    tungsten, sulphur = table["at_100_kV"]["W"], table["at_100_kV"]["S"]
    return [
        f"The formula gives {sulphur['formula']:.1f} eV for S at 100 kV, as the paper prints. For W it gives "
        f"{tungsten['formula']:.2f} eV; the paper prints {tungsten['paper']} eV, which is its value at 120 kV."
    ]

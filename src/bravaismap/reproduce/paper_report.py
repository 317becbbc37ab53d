"""The report: one HTML file with everything in it, made from the numbers in results.json and the figures."""

from __future__ import annotations

from html import escape
from typing import Any

from bravaismap.export.html_page import bullets, cell, heading, page, picture, table
from bravaismap.reproduce.paper_table import growth_table, shown

__all__ = ["paper_report"]

#: Headings of the sections, and the figures in each, in the paper's order.
SECTIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "training_curve": ("Fig. 1b: training", [("training_curve", "Accuracy epoch by epoch.")]),
    "confidence": (
        "Fig. 2, 3a–c, Supplementary 1–2: single images, and the confidence of the models",
        [
            ("spectra", "Fig. 2: random simulated images as the network sees them; wrong answers are boxed in red."),
            ("confidence", "Fig. 3a: confidence where the answer is wrong and where it is right."),
            ("wrong", "Fig. 3b and Supplementary 1: images that are wrong; bars are means ± 1 σ over the passes."),
            ("right", "Fig. 3c and Supplementary 2: images that are right."),
        ],
    ),
    "noise_limits": (
        "Fig. 3d–e: noise limits",
        [("noise_limits", "Simulated graphene, whole and in windows of 1/2, 1/4 and 1/8 the side.")],
    ),
    "feature_map": (
        "Fig. 4: feature map",
        [("feature_map", "t-SNE of the features; shapes; classes of the ten nearest neighbours (rows: truth).")],
    ),
    "edge_cases": (
        "Fig. 5: edge cases",
        [
            ("drift", "Probability ± σ against shear by drift, of simulated graphene or of the image given."),
            ("edge_cases", "Single images, and what each model says of them."),
        ],
    ),
    "decomposition": (
        "Fig. 6: a film that decomposes",
        [
            ("film_maps", "Frames with the outline of the true voids, and the probability maps."),
            ("fractions", "Fractions over time; circles: thresholding; dashed: exponential fit; black: the truth."),
            ("unmixed", "The previous method: endmembers of the sliding FFT and their abundances in the last frame."),
        ],
    ),
    "energy_transfer": ("Eq. 1: energy transfer", [("energy_transfer", "Crosses: what the paper prints for 100 kV.")]),
}


def paper_report(results: dict[str, Any], pictures: dict[str, list[tuple[str, bytes]]]) -> str:
    """Return the report as HTML that needs nothing else.

    Parameters
    ----------
    results : dict
        What results.json holds; every number of the report comes from it.
    pictures : dict of str to list of (str, bytes)
        PNG files by the name of the figure, each with the model that it is of (empty for all).
    """
    names = ", ".join(results["models"])
    body = [
        heading("The paper, reproduced", 1),
        "<p>R. K. Vasudevan et al., <i>npj Comput. Mater.</i> <b>4</b>, 30 (2018), "
        f"doi:10.1038/s41524-018-0086-7, beside {escape(names)}; bravaismap {escape(results['version'])}.</p>",
    ]
    if results["quick"]:
        body.append(
            '<p class="note">A quick run: fewer images, passes and frames than the paper. The numbers scatter; run '
            "<code>bravaismap reproduce</code> without <code>--quick</code> for the full ones.</p>"
        )
    body += [heading("Beside the paper"), _table(results), *bullets(results["summary"])]
    for key, (title, figures) in SECTIONS.items():
        body += [heading(title), *bullets(results["words"][key])]
        if key == "decomposition":
            body.append(_growth(results))
        if key == "energy_transfer":
            body.append(_energy(results["figures"]["energy_transfer"]))
        for name, caption in figures:
            body += [picture(data, f"{of}. {caption}" if of else caption) for of, data in pictures.get(name, [])]
        if key == "decomposition" and results["videos"]:
            body.append(f"<p>Supplementary video: {escape(', '.join(results['videos']))}, beside this file.</p>")
    return page("The paper, reproduced", body)


def _table(results: dict[str, Any]) -> str:
    names = results["models"]
    rows = []
    for row in results["table"]:
        cells = [cell(row["quantity"], number=False), cell(shown(row["paper"], row["unit"]))]
        for name in names:
            verdict, value = row["verdicts"][name], row["values"][name]
            text = "–" if verdict.startswith("not") else shown(value, row["unit"])
            between = _between(row.get("intervals", {}).get(name))
            cells.append(cell(text, *between, (verdict, verdict.split()[0])))
        rows.append(cells)
    return table(["", "the paper", *names], rows)


def _growth(results: dict[str, Any]) -> str:
    rows = []
    for row in growth_table(results["figures"]["decomposition"]):
        cells = [cell(row["source"], number=False)]
        if "refused" in row:
            cells.append(cell(row["refused"], number=False, span=5))
        else:
            cells += [
                cell(shown(row[key]), *_between(row.get(f"{key}_interval")))
                for key in ("A0", "A0_nm2", "rho", "rho_nm2", "C")
            ]
        rows.append(cells)
    head = ["A₀ exp(ρt) + C, fitted to", "A₀", "A₀ in nm²", "ρ in 1/s", "ρ in nm²/s", "C"]
    return table(head, rows) + "\n<p><small>Intervals are 68 %; a verdict rests on the 95 % interval.</small></p>"


def _energy(found: dict[str, Any]) -> str:
    rows = []
    for element, values in found["elements"].items():
        printed = found["at_100_kV"].get(element, {}).get("paper")
        rows.append([cell(element, number=False), *(cell(f"{value:.2f}") for value in values), cell(shown(printed))])
    return table(["eV", *(f"{voltage:g} kV" for voltage in found["voltages_kV"]), "the paper, 100 kV"], rows)


def _between(span: list[float] | None) -> list[tuple[str, str]]:
    return [(f"{shown(span[0])} to {shown(span[1])}", "")] if span else []

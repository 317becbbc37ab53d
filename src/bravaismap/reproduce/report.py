"""The report: one HTML file with everything in it, made from the numbers in results.json and the figures."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from bravaismap.reproduce.comparison import growth_table, shown

__all__ = ["report"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; } .number { text-align: right; } small { color: #666; }
img { max-width: 100%; display: block; margin: .8rem 0; } figure { margin: 1rem 0; } figcaption { color: #555; }
.quick { background: #fdecea; border-left: 4px solid #b2182b; padding: .5rem 1rem; }
.agrees, .better { color: #00664b; } .differs, .worse { color: #a8321a; } .not { color: #666; }
"""

#: Headings of the sections, and the figures in each, in the paper's order.
SECTIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "training_curve": ("Fig. 1b: training", [("training_curve", "Accuracy epoch by epoch.")]),
    "confidence": (
        "Fig. 2, 3a–c, Supplementary 1–2: single images, and how sure the models are",
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


def report(results: dict[str, Any], pictures: dict[str, list[tuple[str, bytes]]]) -> str:
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
        "<h1>The paper, reproduced</h1>",
        "<p>R. K. Vasudevan et al., <i>npj Comput. Mater.</i> <b>4</b>, 30 (2018), "
        f"doi:10.1038/s41524-018-0086-7, beside {escape(names)}; bravaismap {escape(results['version'])}.</p>",
    ]
    if results["quick"]:
        body.append(
            '<p class="quick">A quick run: fewer images, passes and frames than the paper. The numbers scatter; run '
            "<code>bravaismap reproduce</code> without <code>--quick</code> for the full ones.</p>"
        )
    body += ["<h2>Beside the paper</h2>", _table(results), *_list(results["summary"])]
    for key, (title, figures) in SECTIONS.items():
        body += [f"<h2>{escape(title)}</h2>", *_list(results["words"][key])]
        if key == "decomposition":
            body.append(_growth(results))
        if key == "energy_transfer":
            body.append(_energy(results["figures"]["energy_transfer"]))
        for name, caption in figures:
            body += [_figure(data, caption, of) for of, data in pictures.get(name, [])]
        if key == "decomposition" and results["videos"]:
            body.append(f"<p>Supplementary video: {escape(', '.join(results['videos']))}, beside this file.</p>")
    content = "\n".join(body)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>The paper, reproduced</title>'
        f"<style>{_STYLE}</style></head><body>\n{content}\n</body></html>\n"
    )


def _table(results: dict[str, Any]) -> str:
    names = results["models"]
    head = "".join(f'<th class="number">{escape(name)}</th>' for name in ("the paper", *names))
    lines = [f"<table><tr><th></th>{head}</tr>"]
    for row in results["table"]:
        cells = [f'<td class="number">{escape(shown(row["paper"], row["unit"]))}</td>']
        for name in names:
            verdict, value = row["verdicts"][name], row["values"][name]
            text = "–" if verdict.startswith("not") else shown(value, row["unit"])
            span = row.get("intervals", {}).get(name)
            between = f"<br><small>{shown(span[0])} to {shown(span[1])}</small>" if span else ""
            word = f'<br><small class="{verdict.split()[0]}">{escape(verdict)}</small>'
            cells.append(f'<td class="number">{escape(text)}{between}{word}</td>')
        lines.append(f"<tr><td>{escape(row['quantity'])}</td>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table>"])


def _growth(results: dict[str, Any]) -> str:
    head = "".join(f'<th class="number">{text}</th>' for text in ("A₀", "A₀ in nm²", "ρ in 1/s", "ρ in nm²/s", "C"))
    lines = [f"<table><tr><th>A₀ exp(ρt) + C, fitted to</th>{head}</tr>"]
    for row in growth_table(results["figures"]["decomposition"]):
        if "refused" in row:
            lines.append(f'<tr><td>{escape(row["source"])}</td><td colspan="5">{escape(row["refused"])}</td></tr>')
            continue
        cells = []
        for key in ("A0", "A0_nm2", "rho", "rho_nm2", "C"):
            span = row.get(f"{key}_interval")
            between = f"<br><small>{shown(span[0])} to {shown(span[1])}</small>" if span else ""
            cells.append(f'<td class="number">{shown(row[key])}{between}</td>')
        lines.append(f"<tr><td>{escape(row['source'])}</td>{''.join(cells)}</tr>")
    return "\n".join(
        [*lines, "</table>", "<p><small>Intervals are 68 %; a verdict rests on the 95 % interval.</small></p>"]
    )


def _energy(table: dict[str, Any]) -> str:
    head = "".join(f'<th class="number">{voltage:g} kV</th>' for voltage in table["voltages_kV"])
    lines = [f'<table><tr><th>eV</th>{head}<th class="number">the paper, 100 kV</th></tr>']
    for element, values in table["elements"].items():
        cells = "".join(f'<td class="number">{value:.2f}</td>' for value in values)
        printed = table["at_100_kV"].get(element, {}).get("paper")
        lines.append(f'<tr><td>{escape(element)}</td>{cells}<td class="number">{shown(printed)}</td></tr>')
    return "\n".join([*lines, "</table>"])


def _list(sentences: list[str]) -> list[str]:
    if not sentences:
        return []
    return ["<ul>", *(f"<li>{escape(sentence)}</li>" for sentence in sentences), "</ul>"]


def _figure(data: bytes, caption: str, of: str) -> str:
    text = f"{of}. {caption}" if of else caption
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><img alt="{escape(text, quote=True)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )

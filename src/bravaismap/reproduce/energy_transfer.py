"""Eq. 1: the largest energy that an electron of the beam can give to an atom, and the paper's printed values."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from bravaismap.kinetics.beam import energy_transfer_table
from bravaismap.show.axes import class_colors, sized

__all__ = ["PAPER_VALUES", "draw_energy_transfer", "energy_transfer"]

#: What the paper prints for 100 kV, in eV.
PAPER_VALUES = {"W": 1.6, "S": 7.5}
_VOLTAGE = 100.0


def energy_transfer() -> dict[str, Any]:
    """Return the table of Eq. 1 in eV, and the paper's values beside ours at 100 kV."""
    table = energy_transfer_table()
    return {
        "voltages_kV": [float(v) for v in table["voltage"].values],
        "elements": {str(e): [round(float(v), 3) for v in table.sel(element=e)] for e in table["element"].values},
        "at_100_kV": {
            name: {"paper": value, "formula": round(float(table.sel(element=name, voltage=_VOLTAGE)), 2)}
            for name, value in PAPER_VALUES.items()
        },
    }


def draw_energy_transfer(numbers: dict[str, Any]) -> Figure:
    """Draw the energy transfer of each element over the voltage, and the paper's values as crosses."""
    figure = Figure(figsize=(6.3, 3.4), layout="constrained")
    ax = figure.subplots()
    colors = class_colors(numbers["elements"])
    for i, (name, values) in enumerate(numbers["elements"].items()):
        color = colors[name]
        ax.plot(numbers["voltages_kV"], values, color=color, marker="osD^v"[i % 5], ms=4, lw=1.4, label=name)
        if name in numbers["at_100_kV"]:
            ax.plot(_VOLTAGE, numbers["at_100_kV"][name]["paper"], color=color, marker="x", ms=9, mew=2, ls="")
    ax.plot([], [], color="0.4", marker="x", ms=8, mew=2, ls="", label="printed in the paper")
    ax.set(xlabel="accelerating voltage (kV)", ylabel="largest energy transfer (eV)", yscale="log")
    ticks = [1, 2, 5, 10, 20, 50]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.set_yticks([], minor=True)
    ax.grid(color="0.9", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return sized(figure)

"""The drawings of Fig. 6: maps beside frames, fractions with the fit, what unmixing finds; and the video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, COLORS, NONE, PROBABILITY_CMAP, display_name
from bravaismap.reproduce.parts import Numbers
from bravaismap.show.axes import draw_map, sized
from bravaismap.show.movie import probability_frames
from bravaismap.show.unmixing import plot_abundances

__all__ = ["draw_film_maps", "draw_fractions", "draw_unmixed", "note_strip", "video_frames"]

_CRYSTAL = "hexagonal"
_PLAIN = {"color": "white", "pad": 1.5}


def draw_film_maps(truth: Numbers, maps: dict[str, xr.Dataset]) -> Figure:
    """Draw some frames with the outline of the true voids, and each model's probability of none and of the crystal."""
    shown = truth["shown"]
    rows = 1 + 2 * len(maps)
    figure = Figure(figsize=(7.4, 1.5 * rows + 0.4), layout="constrained")
    figure.set_layout_engine("constrained", rect=(0.02, 0, 0.98, 1))  # room for labels of two lines
    axes = figure.subplots(rows, len(shown), squeeze=False)
    side = truth["image"].shape[-1] * truth["pixel_size_nm"]
    mesh = None
    for column, index in enumerate(shown):
        top = axes[0, column]
        top.imshow(truth["image"][column], cmap="gray", extent=(0, side, side, 0))
        axis = np.linspace(0, side, truth["image"].shape[-1])
        if truth["outline"][column].any():
            top.contour(axis, axis, truth["outline"][column], [0.5], colors="#E69F00", linewidths=0.8)
        top.set_title(f"t = {truth['time'][index]:.0f} s")
        for block, result in enumerate(maps.values()):
            for line, lattice in enumerate((NONE, _CRYSTAL)):
                ax = axes[1 + 2 * block + line, column]
                values = result["probability"].isel(time=int(index)).sel(lattice=lattice).values
                mesh = draw_map(ax, result, values, PROBABILITY_CMAP)
                ax.set(xlim=(0, side), ylim=(side, 0))
    labels = ["film,\ntrue voids", *(f"{name}:\nP({c})" for name in maps for c in (NONE, _CRYSTAL))]
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_facecolor("0.93")
    if mesh is not None:
        figure.colorbar(mesh, ax=list(axes.flat), label="probability", shrink=0.5, aspect=30)
    return sized(figure, 8.5)


def draw_fractions(
    truth: Numbers, maps: dict[str, xr.Dataset], fits: Numbers, small: dict[str, NDArray[np.floating]]
) -> Figure:
    """Draw the fractions of all classes over time, thresholding as circles, the fits as dashed lines, and the truth.

    `small` holds the fraction of none by smaller windows, of some models.
    """
    figure = Figure(figsize=(7.4, 4.9), layout="constrained")
    axes = figure.subplots(2, len(maps), sharex=True, sharey="row", squeeze=False, height_ratios=(1, 1.25))
    time = truth["time"]
    for column, (name, result) in zip(axes.T, maps.items(), strict=True):
        fraction, std = result["fraction"].values, result["fraction_std"].values
        for ax in column:
            for i, lattice in enumerate(CLASSES):
                color, label = COLORS[lattice], display_name(lattice)
                ax.fill_between(
                    time, fraction[:, i] - std[:, i], fraction[:, i] + std[:, i], color=color, alpha=0.2, lw=0
                )
                ax.plot(time, fraction[:, i], color=color, lw=1.5, label=label)
            ax.plot(time, truth["void"], color="black", lw=1.6, label="true voids")
            ax.plot(time, truth["half_void"], ":", color="black", lw=1.6, label="windows half void (true)")
            ax.plot(time, truth["threshold"], "o", color="black", mfc="none", ms=3.5, mew=0.9, label="thresholding")
            if "area_fraction" in result:
                area = result["area_fraction"].sel(lattice=NONE).values
                ax.plot(time, area, color="#56B4E9", lw=1.6, label="none, areas")
            if name in small:
                ax.plot(time, small[name], "-.", color="0.45", lw=1.4, label="none, 48 px windows")
            for source in (name, f"{name}, windows of 48 px"):
                if "rho" in fits.get(source, {}):
                    a0, rho, c = (fits[source][key]["value"] for key in ("A0", "rho", "C"))
                    with np.errstate(divide="ignore"):  # A₀ of a steep fit may be too small for a number
                        curve = np.exp(np.minimum(np.log(a0) + rho * time, 3.0)) + c
                    ax.plot(time, curve, "--", color="#B2182B", lw=1.6, label="exponential fit")
            ax.grid(color="0.9", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
        column[0].set(ylim=(-0.02, 1.02), title=name)
        top = max(float(truth["void"].max()), float(truth["threshold"].max()), 0.1)
        column[1].set(xlabel="time (s)", ylim=(-0.01, max(1.25 * top, 0.2)))
        if "refused" in fits.get(name, {}):
            column[1].text(
                0.02,
                0.97,
                "no fit to none at 128 px: ρ is not determined",
                transform=column[1].transAxes,
                va="top",
                size=8,
                bbox=_PLAIN,
            )
    for ax, text in zip(axes[:, 0], ("fraction", "fraction, enlarged"), strict=True):
        ax.set_ylabel(text)
    labelled = {text: handle for ax in axes[0] for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        list(labelled.values()), list(labelled), loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )  # fmt: skip
    return sized(figure)


def draw_unmixed(numbers: Numbers) -> Figure:
    """Draw the endmembers and their abundances in the last frame."""
    per, length = {"units": "1/nm"}, {"units": "nm"}
    unmixed = xr.Dataset(
        {
            "abundance": (("time", "y", "x", "endmember"), numbers["abundance"]),
            "fraction": (("time", "endmember"), numbers["fraction"]),
            "spectrum": (("endmember", "ky", "kx"), numbers["spectrum"]),
        },
        {
            "time": ("time", numbers["time"], {"units": "s"}),
            **{name: (name, numbers[name], length) for name in ("y", "x")},
            **{name: (name, numbers[name], per) for name in ("ky", "kx")},
        },
    )
    return plot_abundances(unmixed)


def video_frames(result: xr.Dataset, movie: Any, note: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of the supplementary video, with a note along the bottom where there is something to note."""
    strip = None
    for frame in probability_frames(result, movie):
        if note and strip is None:
            strip = note_strip(note, frame.shape[1])
        if strip is not None:
            frame[-len(strip) :] = strip
        yield frame


def note_strip(text: str, width: int) -> NDArray[np.uint8]:
    """Return a white strip (30, width, 3) with a note at its right end."""
    figure = Figure((width / 100, 0.3), dpi=100)
    figure.text(1 - 10 / width, 0.5, text, ha="right", va="center", size=9, color="#B2182B")
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()

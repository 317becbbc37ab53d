"""Downloads: the current view as figures for print (PNG, SVG) and tables (CSV), made by the library's own exports."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import rc_context
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bravaismap.errors import InputError
from bravaismap.export.sites import site_rows
from bravaismap.export.tables import export_csv
from bravaismap.files import TEXT_AS_TEXT, texts
from bravaismap.result.shares import class_shares
from bravaismap.show.axes import class_colors, class_handles, figure_for_maps, label_axes, scale_bar, sized
from bravaismap.show.cells import plot_shapes
from bravaismap.show.growth import plot_growth
from bravaismap.show.maps import plot_classification, plot_fractions
from bravaismap.show.motif import plot_motif
from bravaismap.show.sites import plot_sites
from bravaismap.show.style import PAGE
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.look import Look, nothing_to_save
from bravaismap.viewer.region_statistics import region_statistics
from bravaismap.viewer.rendering import Overlay
from bravaismap.viewer.window_inspection import WindowView

__all__ = ["view_file"]


_DPI = 200


def view_file(look: Look, what: str, ending: str) -> BytesIO:
    """Return one of `VIEWS` as a file, ``"png"``, ``"svg"`` or ``"csv"``.

    Raises
    ------
    InputError
        If there is nothing to save, with what to do.
    """
    reason = nothing_to_save(what, look.frame, look.growth, look.view, look.sites, look.motif)
    if reason:
        raise InputError(reason)
    return _TABLES[what](look) if ending == "csv" else figure_file(_FIGURES[what](look), ending)


def figure_file(figure: Figure, ending: str) -> BytesIO:
    """Return a figure as a file, ``"png"`` or ``"svg"``."""
    buffer = BytesIO()
    with rc_context(TEXT_AS_TEXT):
        figure.savefig(buffer, format=ending, dpi=_DPI, bbox_inches="tight", pad_inches=0.05)
    buffer.seek(0)
    return buffer


def table_file(rows: Iterable[list[str]]) -> BytesIO:
    """Return rows as a CSV file."""
    buffer = StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return BytesIO(buffer.getvalue().encode("utf-8"))


def window_table(look: Look) -> BytesIO:
    """Return the classes, cell and spots of a window."""
    view, unit, pixel = look.view, look.unit, look.pixel
    assert view is not None
    rows = [["quantity", "value", "std"]]
    for name, p, std in zip(view.classes, view.probability, view.probability_std, strict=True):
        rows.append([f"probability of {name}", f"{p:.6g}", "" if np.isnan(std) else f"{std:.3g}"])
    for name, text in view.lines:
        value, plus, std = text.partition(" ± ")
        rows.append([name, value, std] if plus and "," not in text else [name, text, ""])
    if view.spots is not None:
        rows += [[], [f"k_x_1/{unit}", f"k_y_1/{unit}", "h", "k", "log_likelihood_ratio"]]
        for x, y, h, k, weight in zip(*_columns(view, pixel), strict=True):
            order = ["" if np.isnan(i) else str(int(i)) for i in (h, k)]
            rows.append([f"{x:.6g}", f"{y:.6g}", *order, f"{weight:.4g}"])
    return table_file(rows)


def motif_table(look: Look) -> BytesIO:
    """Return the probabilities of the plane groups, the cell, and the columns of a motif."""
    motif = look.motif
    assert motif is not None
    rows = [["plane_group", "probability", "misfit"]]
    for name, *numbers in zip(*(motif[key].values for key in ("group", "probability", "misfit")), strict=True):
        rows.append([str(name), *texts(np.array(numbers))])
    rows += [[], ["quantity", "value", "std"]]
    for key in ("a", "b", "gamma"):
        rows.append([f"{key}_{motif[key].attrs['units']}", *texts(np.array([motif[key], motif[f"{key}_std"]]))])
    keys = [f"{key}{ending}" for key in ("x", "y", "height", "width") for ending in ("", "_std")]
    rows += [[], ["site", "wyckoff", *keys]]
    for site, letter, *numbers in zip(*(motif[key].values for key in ("site", "wyckoff", *keys)), strict=True):
        rows.append([str(int(site) + 1), str(letter), *texts(np.array(numbers))])
    return table_file(rows)


def frame_figure(look: Look) -> Figure:
    """Draw a frame with its map as the viewer shows it, with the outlines of the window and the region."""
    if look.frame is not None:
        figure = figure_for_maps(look.frame, 1, 1, beside=1.0, below=0.4)
    else:
        figure = Figure(figsize=(4.6, 4.8), layout="constrained")
    ax, whole = figure.subplots(), look.whole
    if look.pixels is not None:
        low, high = np.nanpercentile(look.pixels, (0.5, 99.5))
        ax.imshow(look.pixels, cmap="gray", vmin=low, vmax=high, extent=(whole.x0, whole.x1, whole.y1, whole.y0))
    if look.layer is not None:
        _draw_layer(figure, ax, look.layer, look.opacity if look.pixels is not None else 1.0, look.frame)
    for region, color, style in ((look.window, "#F0E442", "-"), (look.region, "white", "--")):
        if region is not None:
            size = region.x1 - region.x0, region.y1 - region.y0
            for width, ink, dash in ((2.6, "black", "-"), (1.3, color, style)):
                ax.add_patch(Rectangle((region.x0, region.y0), *size, fill=False, ec=ink, lw=width, ls=dash))
    ax.set(xlim=(whole.x0, whole.x1), ylim=(whole.y1, whole.y0), title=look.title)
    units = xr.Dataset(coords={dim: (dim, [0.0], {"units": look.unit}) for dim in ("y", "x")})
    label_axes(ax, units)
    scale_bar(ax, units, PAGE.text)
    return sized(figure)


def region_figure(look: Look) -> Figure:
    """Draw the frame with the region marked beside the fractions in it."""
    assert look.frame is not None
    statistics = region_statistics(look.frame, look.region)
    row = xr.Dataset(
        {"probability": ("lattice", statistics.fraction), "probability_std": ("lattice", statistics.fraction_std)},
        coords={"lattice": list(statistics.classes)},
    )
    pixels = np.zeros((2, 2)) if look.pixels is None else look.pixels
    figure = plot_classification(_placed(pixels, look.whole, look.pixel, look.unit), row)
    ax, region = figure.axes[0], look.region or look.whole
    size = region.x1 - region.x0, region.y1 - region.y0
    ax.add_patch(Rectangle((region.x0, region.y0), *size, fill=False, ec="#F0E442", lw=1.5))
    ax.set(xlim=(look.whole.x0, look.whole.x1), ylim=(look.whole.y1, look.whole.y0))
    figure.axes[-1].set(xlabel="fraction in the region")
    figure.suptitle(look.title, fontsize=9)
    return figure


def window_figure(look: Look) -> Figure:
    """Draw a window, its spectrum with the spots and their indices, and its class probabilities."""
    view = look.view
    assert view is not None
    row = xr.Dataset(
        {"probability": ("lattice", view.probability), "probability_std": ("lattice", view.probability_std)},
        coords={"lattice": list(view.classes)},
    )
    image = np.zeros((2, 2)) if view.pixels is None else view.pixels
    figure = plot_classification(_placed(image, look.window or look.whole, look.pixel, look.unit), row, view.plane)
    if view.plane is not None and view.spots is not None and view.pixels is not None:
        ax, (rows, columns) = figure.axes[1], view.plane.shape
        height, width = view.pixels.shape
        for sign in (1, -1):
            x, y = sign * view.spots.k_x * width + columns // 2, sign * view.spots.k_y * height + rows // 2
            indexed = view.spots.indexed
            ax.scatter(x[indexed], y[indexed], s=18, facecolors="none", edgecolors="#F0E442", linewidths=0.8)
            ax.scatter(x[~indexed], y[~indexed], s=12, marker="x", color="#D55E00", linewidths=0.8)
            for i in np.flatnonzero(indexed):
                text = f"{int(sign * view.spots.h[i])} {int(sign * view.spots.k[i])}".replace("-", "−")
                ax.annotate(text, (x[i], y[i]), (2, 2), textcoords="offset points", color="#F0E442", size=5)
        reach = max(1.3 * float(np.hypot(view.spots.k_x, view.spots.k_y).max(initial=0.1)) * rows, 8.0)
        reach = min(reach, rows / 2)
        ax.set(xlim=(columns // 2 - reach, columns // 2 + reach), ylim=(rows // 2 + reach, rows // 2 - reach))
    figure.suptitle(look.title, fontsize=9)
    return figure


def sites_figure(look: Look) -> Figure:
    """Draw the vacancies and the other atoms of the frame on it, and the amplitude of every site beside it."""
    assert look.sites is not None
    return plot_sites(look.sites, int(look.sites["measured_frame"][0]), look.pixels)


def _draw_layer(figure: Figure, ax: Any, layer: Overlay, opacity: float, frame: xr.Dataset | None) -> None:
    b = layer.bounds
    cmap = ListedColormap(layer.palette)
    drawn = ax.imshow(
        np.ma.masked_invalid(layer.values), cmap=cmap, vmin=layer.low, vmax=layer.high, alpha=opacity,
        extent=(b.x0, b.x1, b.y1, b.y0), interpolation="nearest",
    )  # fmt: skip
    if not layer.names:
        label = f"{layer.title} ({layer.unit})" if layer.unit else layer.title
        figure.colorbar(drawn, ax=ax, label=label, shrink=0.8, aspect=22)
        return
    if frame is not None:
        handles = class_handles(frame.isel(time=0), class_colors(layer.names), layer.values)
        quantity = f"{class_shares(frame).quantity} of the frame"
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2, frameon=False, handlelength=1.4, title=quantity
        )


def _columns(view: WindowView, pixel: float) -> tuple[Any, ...]:
    spots = view.spots
    assert spots is not None
    return spots.k_x / pixel, spots.k_y / pixel, spots.h, spots.k, spots.weight


def _exported(data: xr.Dataset, name: str, *, windows: bool) -> BytesIO:
    with tempfile.TemporaryDirectory() as folder:
        export_csv(data, folder, windows=windows)
        return BytesIO((Path(folder) / name).read_bytes())


def _placed(image: NDArray[Any], bounds: Region, pixel: float, unit: str) -> xr.DataArray:
    """Return an image with the positions of its pixels."""
    begins = zip(("y", "x"), (bounds.y0, bounds.x0), image.shape, strict=True)
    axes = {dim: (dim, begin + (np.arange(n) + 0.5) * pixel, {"units": unit}) for dim, begin, n in begins}
    return xr.DataArray(image, axes, ("y", "x"))


def _fit_table(look: Look) -> BytesIO:
    growth = look.growth
    assert growth is not None
    rows = [["time", "fraction", "sigma", "curve"]]
    rows += [[f"{value:.8g}" for value in row] for row in zip(
        *(growth[name].values for name in ("time", "fraction", "sigma", "curve")), strict=True
    )]  # fmt: skip
    rows += [[], ["parameter", "value", "low_68", "high_68", "unit"]]
    for name in growth["parameter"].values:
        parameter = growth.sel(parameter=name)
        ends = [f"{float(end):.6g}" for end in parameter["interval"].isel(level=0)]
        rows.append([str(name), f"{float(parameter['value']):.6g}", *ends, str(parameter["unit"].values)])
    return table_file(rows)


def _region_rows(look: Look) -> BytesIO:
    assert look.frame is not None
    statistics = region_statistics(look.frame, look.region)
    columns = {
        "windows": statistics.count, "fraction": statistics.fraction, "fraction_std": statistics.fraction_std,
    }  # fmt: skip
    for name, median in statistics.cell.items():
        of = look.unit if name in ("a", "b") else "deg"
        columns |= {f"{name}_{of}": median, f"{name}_std_{of}": statistics.error[name]}
        columns[f"{name}_scatter_{of}"] = statistics.spread[name]
    rows = [["phase", *columns]]
    for i, name in enumerate(statistics.classes):
        rows.append([name, *texts(np.array([float(column[i]) for column in columns.values()]))])
    return table_file(rows)


def _frame_rows(look: Look) -> BytesIO:
    assert look.frame is not None
    return _exported(look.frame, "windows.csv", windows=True)


_FIGURES: dict[str, Callable[[Look], Figure]] = {
    "frame with map": frame_figure,
    "fraction curves": lambda look: plot_fractions(look.curves),
    "fit": lambda look: plot_growth(look.growth),  # type: ignore[arg-type]
    "window": window_figure,
    "region": region_figure,
    "sites": sites_figure,
    "motif": lambda look: plot_motif(look.motif),  # type: ignore[arg-type]
    "shapes": lambda look: plot_shapes(look.frame, 0),  # type: ignore[arg-type]
}
_TABLES: dict[str, Callable[[Look], BytesIO]] = {
    "frame with map": _frame_rows,
    "fraction curves": lambda look: _exported(look.curves, "fractions.csv", windows=False),
    "fit": _fit_table,
    "window": window_table,
    "region": _region_rows,
    "motif": motif_table,
    "sites": lambda look: table_file(site_rows(look.sites)),  # type: ignore[arg-type]
    "shapes": _frame_rows,
}

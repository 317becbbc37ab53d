"""The report of a result: one HTML page with its phases, maps, curves, cells, kinetics and run card.

The page is self-contained (:mod:`bravaismap.export.html_page`). Of a long movie only the fractions and the frames shown
are read.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr

from bravaismap.conventions import IUCR_SYMBOLS, counted, display_name
from bravaismap.errors import InputError
from bravaismap.export.html_page import bullets, cell, heading, page, paragraph, picture, png_of, table
from bravaismap.export.kinetics_section import kinetics_section
from bravaismap.files import made_folder, replacing
from bravaismap.motif.structure_text import number_text
from bravaismap.phases.cells import cell_statistics
from bravaismap.phases.motifs import motif_map
from bravaismap.phases.pixels import pixel_map
from bravaismap.result.phase_map import frames_mapped, mapped_frames, percent, with_error
from bravaismap.result.shares import class_shares, mean_probabilities
from bravaismap.result.undone import undone_lines
from bravaismap.show.axes import class_colors, drawn_frames, stamp
from bravaismap.show.cells import holds_cells, plot_cells, plot_shapes, shows_cells
from bravaismap.show.drift import drift_of, plot_drift
from bravaismap.show.maps import plot_fractions, plot_labels, plot_probabilities, plot_uncertainty
from bravaismap.show.motif import plot_motif_map
from bravaismap.show.pixels import plot_pixels

__all__ = ["PAPER", "export_report", "report"]

#: The paper that introduced the method.
PAPER = (
    "R. K. Vasudevan, N. Laanait, E. M. Ferragut, K. Wang, D. B. Geohegan, K. Xiao, M. Ziatdinov, S. Jesse, O. Dyck, "
    "S. V. Kalinin: Mapping mesoscopic phase evolution during E-beam induced transformations via deep learning of "
    "atomically resolved images. npj Computational Materials 4, 30 (2018), doi:10.1038/s41524-018-0086-7"
)
_LIBRARIES = ("numpy", "scipy", "xarray", "zarr", "torch", "lmfit", "matplotlib")
#: Entries of the run card that the page shows as a figure instead of in the table.
_DRAWN = ("drift",)


def report(result: xr.Dataset, images: Any = None, times: Sequence[int] | None = None) -> str:
    """Return the report of a result as a self-contained HTML page.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it; it may be unfinished.
    images : movie (time, y, x), optional
        Drawn beside the maps of pixels and of labels; and the cells of each lattice in it are averaged.
    times : sequence of int, optional
        Numbers of the frames whose maps are shown; the first, middle and last mapped one when not given.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If the result is not of a movie, a frame is not in it, or the images do not belong to it.
    """
    missing = [name for name in ("fraction", "fraction_std", "label", "probability") if name not in result]
    if missing:
        raise InputError(
            f"the result has no {', '.join(missing)}; a report is of a result of map_phases or open_result"
        )
    done = np.flatnonzero(mapped_frames(result))
    indices = drawn_frames(result, times) if done.size or times is not None else []
    title = f"Phases of {result.attrs.get('input', 'a movie')}"
    body = [heading(title, 1), *_summary(result, done)]
    with matplotlib.rc_context({"text.parse_math": False}):  # a name with dollar signs is a name
        if done.size:
            body += [heading("Phases"), *_phases(result, done), *kinetics_section(result)]
        pixels = pixel_map(result) if "phase" in result and len(indices) else None
        for index in indices:
            body += _frame(result, index, images, pixels)
        if done.size and images is not None:
            body += _motifs(result, images)
        body += _drift(result)
    return page(title, [*body, *_provenance(result)])


def export_report(result: xr.Dataset, folder: str | os.PathLike[str], images: Any = None) -> list[Path]:
    """Write the report of a result, a self-contained HTML page.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it; it may be unfinished.
    folder : str or path
        Created if it does not exist; an existing report in it is replaced.
    images : movie (time, y, x), optional
        Drawn beside the label maps.

    Returns
    -------
    list of Path
        ``report.html``.

    Raises
    ------
    InputError
        If the result is not of a movie, or the images do not belong to it.
    OutputError
        If the folder or the file cannot be written.
    """
    path = made_folder(folder) / "report.html"
    text = report(result, images)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [path]


def _summary(result: xr.Dataset, done: np.ndarray) -> list[str]:
    card, total = result.attrs, result.sizes["time"]
    size, frame_time = card.get("pixel_size_nm"), card.get("frame_time_s")
    scale = f"{size:.6g} nm" if isinstance(size, int | float) else "not known: lengths are in px"
    clock = f"{frame_time:.6g} s" if isinstance(frame_time, int | float) else "not known: frames are counted"
    windows = f"{counted(result.sizes['y'] * result.sizes['x'], 'window')} of {card.get('window', '?')} px"
    single = total == 1 and done.size == 1
    facts = [
        f"An image, {windows}" if single else f"{done.size} of {total} frames are mapped, {windows} in each",
        f"Model {card.get('model', 'unknown')}"
        + (f", distortion {100 * card['distortion']:g} %" if isinstance(card.get("distortion"), int | float) else ""),
        f"Pixel size {scale}",
        *([] if single else [f"Time between frames {clock}"]),
        *(f"Undone: {line}" for line in undone_lines(result)),
    ]
    parts = bullets(facts)
    if done.size < total:
        rest = (
            f"Everything below is of the {done.size} frames that are mapped."
            if done.size
            else "There is nothing to show."
        )
        parts.insert(0, paragraph(f"{frames_mapped(result)}. {rest}", note=True))
    return parts


def _phases(result: xr.Dataset, done: np.ndarray) -> list[str]:
    shares, means = class_shares(result), mean_probabilities(result)
    fraction, std = shares.fraction.values, shares.std.values
    ends = list(dict.fromkeys([int(done[0]), int(done[-1])]))
    names = [str(name) for name in result["lattice"].values]
    rows = []
    for i, (name, color) in enumerate(class_colors(names).items()):
        curve = fraction[done, i]
        cells = [cell(display_name(name), number=False, color=color), cell(IUCR_SYMBOLS.get(name, ""), number=False)]
        cells += [cell(percent(fraction[index, i], std[index, i])) for index in ends]
        low, high = 100 * curve.min(), 100 * curve.max()
        if done.size > 1:
            cells.append(cell(f"{100 * curve.mean():.1f} %", (f"{low:.1f} to {high:.1f} %", "")))
        if means is not None:
            cells.append(cell(percent(*(float(values[ends[-1], i]) for values in (means.fraction, means.std)))))
        rows.append(cells)
    several = [f"mean of {done.size} frames"] if done.size > 1 else []
    head = ["phase", "symbol", *(stamp(result, index) for index in ends), *several]
    of_windows = (
        "the mean of its probability over the windows of a frame, ± 1 σ; what all windows share, such as the "
        "distortion of the scan, is not in σ"
    )
    if means is None:
        text = f"The fraction of a phase is {of_windows}."
    else:
        head.append(f"mean probability, {stamp(result, ends[-1])}")
        text = (
            "The area of a phase is the share of the frame that its pixels cover, ± 1 σ. The mean probability, as in "
            f"the paper, is {of_windows}; doubt between two classes shows there, and the blur of the windows."
        )
    text += " Small print: lowest and highest frame." if done.size > 1 else ""
    what = "Fraction" if means is None else "Area"
    curves = picture(png_of(plot_fractions(result)), f"{what} of each phase, frame by frame; bands are ± 1 σ.")
    return [table(head, rows), paragraph(text), *([curves] if done.size > 1 else [])]


def _frame(result: xr.Dataset, index: int, images: Any, pixels: xr.Dataset | None) -> list[str]:
    """Return the maps and cells of a frame."""
    parts = [heading("Maps" if result.sizes["time"] == 1 else f"Maps at {stamp(result, index)}")]
    if pixels is not None:
        phases = plot_pixels(pixels, index, images)
        parts.append(picture(png_of(phases), "Phase of each pixel, and the area ± σ of each class."))
    parts += [
        picture(png_of(plot_labels(result, index, images)), "Most probable class of each window."),
        picture(png_of(plot_probabilities(result, index)), "Probability of each class."),
    ]
    if {"entropy", "mutual_information"} <= set(result):
        caption = "Entropy of the probabilities: how undecided a window is, and how much of it differs between samples."
        parts.append(picture(png_of(plot_uncertainty(result, index)), caption))
    if not shows_cells(result, index):
        return [*parts, paragraph("No window of this frame has a lattice.")] if holds_cells(result) else parts
    cells, shapes = plot_cells(result, index), plot_shapes(result, index)
    return [
        *parts,
        picture(png_of(cells), "Primitive cell of each window that has a lattice."),
        picture(png_of(shapes), "Shape of the cell of each window: corners and sides are the more symmetric classes."),
        _cell_table(result.isel(time=index)),
        paragraph(
            "Medians over the windows of a class, ± the σ of a single window (median); small print: the standard "
            "deviation between windows. Windows that overlap see the same atoms, so neither shrinks with their number."
        ),
    ]


def _cell_table(frame: xr.Dataset) -> str:
    statistics = cell_statistics(frame)
    units = {name: "°" if name == "gamma" else str(statistics[name].attrs["units"]) for name in ("a", "b", "gamma")}
    colors = class_colors(statistics["lattice"].values)
    rows = []
    for phase in (statistics.sel(lattice=name) for name in statistics["lattice"].values):
        name = str(phase["lattice"].values)
        if not int(phase["windows"]) or not np.isfinite(phase["a"]):
            continue
        row = [cell(display_name(name), number=False, color=colors[name]), cell(str(int(phase["windows"])))]
        for key in units:
            scatter = float(phase[f"{key}_scatter"])
            below = [(f"between windows {scatter:.2g}", "")] if np.isfinite(scatter) else []
            row.append(cell(with_error(float(phase[key]), float(phase[f"{key}_std"])), *below))
        rows.append(row)
    if not rows:
        return paragraph("No window of this frame has a lattice.")
    head = ["phase", "windows", *(f"{'γ' if name == 'gamma' else name} ({unit})" for name, unit in units.items())]
    return table(head, rows)


def _motifs(result: xr.Dataset, images: Any) -> list[str]:
    """Return the plane groups of the lattices through time; nothing where no lattice has cells enough."""
    if not holds_cells(result):
        return []
    try:
        motifs = motif_map(result, images)
    except InputError:
        return []
    found = motifs.to_dataset()
    unit = str(found["a"].attrs["units"])
    rows = []
    for i in range(found.sizes["motif"]):
        motif = found.isel(motif=i)
        first, last = int(motif["first_frame"]), int(motif["last_frame"])
        numbers = [number_text(float(motif[key]), float(motif[f"{key}_std"])) for key in ("a", "b", "gamma")]
        group = str(motif["plane_group"].item())
        probability = f"{100 * float(motif['probability'].sel(group=group)):.0f} %"
        lattice = f"{int(motif['domain'])}, {display_name(str(motif['phase'].item()))}"
        names = [f"{first} to {last}", lattice, group]
        rows.append([*(cell(name, number=False) for name in names), *(cell(text) for text in (probability, *numbers))])
    head = ["Frames", "Lattice", "Plane group", "Probability", f"a ({unit})", f"b ({unit})", "γ (°)"]
    return [
        heading("Motifs"),
        picture(png_of(plot_motif_map(motifs)), "Plane groups through time, and the first and last averaged cell."),
        table(head, rows),
        paragraph("All pixels of a lattice in a group of frames are averaged; the cell is that of the plane group."),
    ]


def _drift(result: xr.Dataset) -> list[str]:
    track = drift_of(result)
    if track is None:
        return []
    farthest = float(np.hypot(track["dy"], track["dx"]).max())
    text = f"The movie was registered and only the area common to all frames was mapped. Farthest: {farthest:.1f} px."
    return [
        heading("Drift of the specimen"),
        paragraph(text),
        picture(png_of(plot_drift(track)), "Displacement of the specimen since the first frame."),
    ]


def _provenance(result: xr.Dataset) -> list[str]:
    made = str(result.attrs.get("version", "unknown"))
    card = [
        [cell(str(key), number=False), cell(_plain(value), number=False)]
        for key, value in result.attrs.items()
        if key not in _DRAWN
    ]
    versions = [f"{name} {_version(name)}" for name in ("bravaismap", *_LIBRARIES)]
    return [
        heading("How it was made"),
        table(["run card", ""], card, numbers=False),
        paragraph(
            f"Mapped by bravaismap {made}. This page was written by {', '.join(versions)} on Python "
            f"{platform.python_version()}, {platform.system()}."
        ),
        heading("How to cite"),
        *bullets([
            PAPER,
            f"bravaismap {made}, the bravaismap developers, GPL-3.0-or-later (CITATION.cff)",
        ]),
    ]  # fmt: skip


def _plain(value: Any) -> str:
    """Return an entry of a run card as text."""
    if value is None:
        return "not known"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "(not installed)"

"""Sites: every place of a mapped movie where its lattice expects an atom, what it holds, and what becomes of it.

The table is tidy: a line per site and frame. :mod:`bravaismap.local.site_table` finds the sites of a frame and how much
of an atom each holds, :mod:`bravaismap.local.site_states` says whether that is the usual atom, another one or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from bravaismap.conventions import CLASSES, Floats, length_unit
from bravaismap.local.populations import VACANT
from bravaismap.local.site_states import judged_sites
from bravaismap.local.site_table import SiteTable, frame_sites
from bravaismap.local.tracks import changes, followed_sites
from bravaismap.movie import missing_pixels
from bravaismap.phases.asked_movie import asked_movie
from bravaismap.phases.pixels import movie_lattice_numbers
from bravaismap.result.phase_map import aligned, mapped_frames

__all__ = ["STATES", "count_sites", "count_text", "find_sites", "share_text", "site_events", "site_table"]

#: States of a site, in the order of their numbers.
STATES = ("vacant", "occupied", "substituted")
_OF_EVENT = ("frame", "time", "track", "y", "x")
#: Largest distance between vacant sites that lie side by side, over the distance between neighbouring sites.
_BESIDE = 1.25


def find_sites(
    result: xr.Dataset,
    movie: Any,
    *,
    frames: Sequence[int] | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Return all sites of a mapped movie or image: where an atom is expected, and whether one is there.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it, of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped, read one at a time where they are lazy.
    frames : sequence of int, optional
        Numbers of the frames, −1 being the last; all when not given. Tracks and states are those of these frames.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    Dataset
        Over ``site``, a row per site and frame. ``frame`` and ``time``; ``track``, the number that a site keeps through
        the movie; ``y``, ``x`` of the lattice and ``y_std``, ``x_std``, in nm, or px where the pixel size is unknown;
        ``amplitude`` ± ``amplitude_std``, 1 for the usual atom of the sublattice and 0 for none; probabilities
        ``vacant``, ``occupied`` and ``substituted`` that sum to 1, and ``state``, the name of the largest; ``lattice``,
        the class of the lattice, ``domain``, its number through the movie, and ``sublattice``, the atom of the cell,
        the brightest first; ``missing``, how many vacant sites lie side by side with a vacant one, itself included: 1
        for a single vacancy, more in a void, 0 where there is an atom. Over ``measured_frame``, ``measured_time`` and
        ``area`` of what was measured. The attribute ``spacing`` is the distance between neighbouring sites, in the unit
        of lengths.

    Raises
    ------
    InputError
        If the result holds no measured cells, or the movie or the frames are not those of the result.

    Notes
    -----
    Where a void is, its sites are those of the lattice around it, continued into it. Atoms darker than a third of the
    brightest of the cell are no sublattice. What the frames before and after say of a site is part of its
    probabilities; its amplitude is of the frame alone.

    Examples
    --------
    >>> sites = bm.find_sites(result, movie)
    >>> single = sites.isel(site=(sites["missing"] == 1).values)
    """
    asking = asked_movie(result, movie, frames)
    numbers = movie_lattice_numbers(result)
    tables: list[SiteTable] = []
    classes: dict[int, int] = {}
    mapped = mapped_frames(result)
    area = np.full(len(mapped), np.nan)
    for index, frame, asked in asking.frames(progress):
        measured = int((~missing_pixels(frame)).sum())
        if mapped[index] and measured:
            area[index] = measured * (asking.pixel_size or 1.0) ** 2
        if asked is not None:
            own = numbers[index].astype(np.int64)
            tables.append(frame_sites(asked.pixels, asked.image, index, asked.mask, own))
            classes |= dict(zip(own.tolist(), asked.lattices.label.tolist(), strict=False))
    spacing = _spacing(tables)
    sites = judged_sites(followed_sites(tables, spacing))
    return _dataset(result, sites, classes, spacing, area, asking.numbers)


def _spacing(tables: Sequence[SiteTable]) -> float:
    """Distance between neighbouring sites in px: the median over the sites of all frames."""
    near = [
        cKDTree(table.position).query(table.position, 2)[0][:, 1] for table in tables if len(table) > 1
    ]  # the first is the site itself
    return float(np.median(np.concatenate(near))) if near else np.nan


def _dataset(
    result: xr.Dataset, sites: SiteTable, classes: dict[int, int], spacing: float, area: Floats, chosen: list[int]
) -> xr.Dataset:
    size = result.attrs.get("pixel_size_nm")
    length, unit = size or 1.0, length_unit(size)
    time = np.asarray(result["time"].values, float)
    label = [CLASSES[classes[number]] for number in sites.lattice.tolist()]
    columns: dict[str, tuple[Any, str, str]] = {
        "frame": (sites.frame, "number of the frame", ""),
        "time": (time[sites.frame], "time of the frame", str(result["time"].attrs.get("units", "frame"))),
        "track": (sites.track, "number of the site through the movie", ""),
        "y": (sites.position[:, 0] * length, "place of the site, downwards", unit),
        "x": (sites.position[:, 1] * length, "place of the site", unit),
        "y_std": (sites.position_std[:, 0] * length, "σ of y", unit),
        "x_std": (sites.position_std[:, 1] * length, "σ of x", unit),
        "amplitude": (sites.amplitude, "1 for the usual atom, 0 for none", "1"),
        "amplitude_std": (sites.amplitude_std, "σ of the amplitude", "1"),
        "vacant": (sites.vacant, "probability that there is no atom", "1"),
        "occupied": (sites.occupied, "probability of the usual atom", "1"),
        "substituted": (sites.substituted, "probability of another atom", "1"),
        "state": ([STATES[number] for number in sites.state], "most probable state", ""),
        "lattice": (label, "class of the lattice", ""),
        "domain": (sites.lattice, "number of the lattice through the movie", ""),
        "sublattice": (sites.sublattice, "atom of the cell, the brightest first", ""),
        "missing": (
            _missing(sites, spacing),
            "vacant sites side by side, this one included; 0 if it is not vacant",
            "",
        ),
    }
    variables = {
        name: ("site", values, {"long_name": meaning} | ({"units": units} if units else {}))
        for name, (values, meaning, units) in columns.items()
    }
    attributes = {"units": f"{unit}²", "long_name": "measured area of the frame"}
    variables["area"] = ("measured_frame", area[chosen], attributes)
    attributes = {"units": columns["time"][2], "long_name": "time of the frame"}
    coords = {
        "measured_frame": ("measured_frame", chosen),
        "measured_time": ("measured_frame", time[chosen], attributes),
    }
    return xr.Dataset(variables, coords, dict(result.attrs) | {"spacing": spacing * length})


def count_sites(sites: xr.Dataset) -> xr.Dataset:
    """Return how many sites of each frame are vacant and how many hold another atom.

    Parameters
    ----------
    sites : Dataset
        Of ``find_sites``.

    Returns
    -------
    Dataset
        Over ``measured_frame``, with the ``measured_time`` of each: ``sites``; ``vacant`` and ``substituted`` with
        their σ, the sums of the probabilities;
        ``single``, the number of vacancies without a vacant neighbour; ``void_fraction`` ± σ, the share of the sites
        that is vacant; per area, ``single_density`` and ``substituted_density``. NaN for a frame that is not mapped.
    """
    frames = sites["measured_frame"].values
    place = np.searchsorted(frames, sites["frame"].values)

    def total(values: NDArray[Any]) -> Floats:
        return np.bincount(place, np.asarray(values, float), len(frames)).astype(float)

    count, area = total(np.ones(len(place))), sites["area"].values
    columns: dict[str, Any] = {"sites": count}
    for name in ("vacant", "substituted"):
        probability = sites[name].values
        columns[name] = total(probability)
        columns[f"{name}_std"] = np.sqrt(total(probability * (1 - probability)))
    columns["single"] = total(sites["missing"].values == 1)
    with np.errstate(invalid="ignore"):
        columns["void_fraction"] = columns["vacant"] / count
        columns["void_fraction_std"] = columns["vacant_std"] / count
    unit = str(sites["area"].attrs["units"])
    densities = {f"{name}_density": columns[name] / area for name in ("single", "substituted")}
    known = np.isfinite(area)
    variables = {
        name: ("measured_frame", np.where(known, values, np.nan), {"units": "1"}) for name, values in columns.items()
    }
    variables |= {name: ("measured_frame", values, {"units": f"1/{unit}"}) for name, values in densities.items()}
    return xr.Dataset(variables, sites["area"].coords)


def site_events(sites: xr.Dataset) -> xr.Dataset:
    """Return what happened to the sites of a movie from frame to frame.

    Parameters
    ----------
    sites : Dataset
        Of ``find_sites``.

    Returns
    -------
    Dataset
        Over ``event``: ``frame`` and ``time`` at which the new state is seen first; ``kind``: ``open`` for a vacancy
        that opens, ``heal`` for one that closes, ``hop`` for one that closes while one opens beside it, and
        ``substitute`` for an atom that becomes another; ``track`` of the site, ``y``, ``x`` of it, and ``target``, the
        track that a vacancy hopped to, −1 for other events.
    """
    states = {name: number for number, name in enumerate(STATES)}
    state = np.array([states[str(name)] for name in sites["state"].values], int)
    frame, track = sites["frame"].values, sites["track"].values
    position = np.column_stack([sites["y"].values, sites["x"].values])
    events = changes(frame, track, state, position, float(sites.attrs["spacing"]))
    rows = np.array([event.row for event in events], int)
    variables: dict[str, Any] = {name: ("event", sites[name].values[rows], sites[name].attrs) for name in _OF_EVENT}
    variables["kind"] = ("event", [event.kind for event in events])
    variables["target"] = ("event", np.array([event.target for event in events], int))
    return xr.Dataset(variables, attrs=dict(sites.attrs))


def _missing(sites: SiteTable, spacing: float) -> NDArray[np.int64]:
    """Number of vacant sites that lie side by side with each vacant one, itself included; 0 for the others."""
    missing = np.zeros(len(sites), np.int64)
    gone = np.flatnonzero(sites.state == VACANT)
    for frame in np.unique(sites.frame[gone]):
        rows = gone[sites.frame[gone] == frame]
        pairs = cKDTree(sites.position[rows]).query_pairs(_BESIDE * spacing, output_type="ndarray")
        links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=2 * (len(rows),))
        _, group = connected_components(links, directed=False)
        missing[rows] = np.bincount(group)[group]
    return missing


def count_text(number: float, std: float) -> str:
    """Return a number of sites ± σ in whole sites."""
    return f"{number:.0f} ± {std:.0f}"


def share_text(share: float, std: float) -> str:
    """Return a share of sites ± σ in percent."""
    return f"{100 * share:.1f} ± {100 * std:.1f} %"


def site_table(sites: xr.Dataset) -> str:
    """Return the numbers of sites in the first and the last frame with any, and of what happened between, as text."""
    counts = count_sites(sites)
    known = np.flatnonzero(counts["sites"].values > 0)
    if known.size == 0:
        return "no sites: no window shows a lattice"
    unit = str(sites["area"].attrs["units"])
    rows = [["sites"], ["vacant"], ["single vacancies"], [f"single vacancies per {unit}"], ["other atoms"]]
    header = [""]
    for index in sorted({int(known[0]), int(known[-1])}):
        frame = counts.isel(measured_frame=index)
        header.append(f"frame {int(frame['measured_frame'])}")
        share, error = (float(frame[name]) for name in ("void_fraction", "void_fraction_std"))
        rows[0].append(f"{int(frame['sites'])}")
        vacant = count_text(float(frame["vacant"]), float(frame["vacant_std"]))
        rows[1].append(f"{vacant}, {share_text(share, error)}")
        rows[2].append(f"{int(frame['single'])}")
        rows[3].append(f"{float(frame['single_density']):.3g}")
        rows[4].append(count_text(float(frame["substituted"]), float(frame["substituted_std"])))
    text = aligned([header, *rows])
    if known.size > 1:
        kinds, times = np.unique(np.array(site_events(sites)["kind"].values, str), return_counts=True)
        happened = dict(zip(kinds.tolist(), times.tolist(), strict=True))
        names = {"open": "open", "heal": "heal", "hop": "hop", "substitute": "atoms are exchanged"}
        counted = ", ".join(f"{happened.get(kind, 0)} {name}" for kind, name in names.items())
        text += f"\n\nfrom frame to frame vacancies: {counted}"
    return text

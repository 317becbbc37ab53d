"""Answers of the commands as one JSON object each."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.lattice.wood import Superlattice
    from bravaismap.result.phase_map import PhaseMap

__all__ = [
    "beam_answer",
    "classification_answer",
    "growth_answer",
    "map_answer",
    "motif_answer",
    "motif_map_answer",
]

_CELL = ("a", "b", "gamma", "orientation")
_COLUMN = ("x", "y", "height", "width")
_ABOUT_MOTIF = (
    "point_group",
    "laue_class",
    "motif_lattice",
    "metric_lattice",
    "pseudosymmetry",
    "unexplained",
    "cells",
)


def classification_answer(rows: list[tuple[str, PhaseMap, int]]) -> dict[str, Any]:
    """Return what is said of each image: class, probability of each class with its σ, and the cell if there is one."""
    return {"images": [_image(name, result.isel(image=i)) for name, result, i in rows], **_run(rows[0][1])}


def _image(name: str, row: xr.Dataset) -> dict[str, Any]:
    from bravaismap.phases.cells import lattice_orientation

    answer: dict[str, Any] = {"image": name, "label": _label(row)}
    for key in ("probability", "probability_std"):
        answer[key] = _by_class(row[key])
    answer["entropy_nat"] = float(row["entropy"])
    if "deviation" in row:
        answer["cell"] = {
            f"{key}{ending}": float(row[f"{key}{ending}"]) for key in _CELL for ending in ("", "_std")
        } | {"unit": str(row["a"].attrs.get("units", "px"))}
        direction, angle, period = lattice_orientation(row)
        answer["cell"] |= {"lattice_at": angle, "lattice_direction": direction, "lattice_repeats_after": period}
        answer["deviation_percent"] = _by_class(row["deviation"])
        answer["deviation_std_percent"] = float(row["deviation_std"])
        answer |= _besides(row)
    return answer


def _besides(row: xr.Dataset) -> dict[str, Any]:
    """Return what an image shows besides its cell, and what to doubt."""
    from bravaismap.phases.besides import other_lattices, seen_texts
    from bravaismap.phases.order import finer_basis, ordered_regions, superlattice
    from bravaismap.result.doubt import doubts

    name = superlattice(row)
    regions = [
        {"text": str(own), "matrix": own.matrix, "wood": own.wood, "share": share}
        for own, share in ordered_regions(row)
    ]
    return {
        "share": float(row["share"]),
        "superlattice": None if name is None else {**_superlattice(name), "of_basis": finer_basis(row)},
        "superlattices_of_a_part": regions,
        "modulation": _modulation(row),
        "other_lattices": [asdict(other) for other in other_lattices(row)],
        "seen": seen_texts(row),
        "doubt": doubts(row),
    }


def _modulation(row: xr.Dataset) -> dict[str, Any] | None:
    """Return the waves of the modulation of an image, and whether it fits a superlattice; None if it has none."""
    from bravaismap.phases.order import modulation_doubt, modulation_superlattice, modulation_waves

    waves = modulation_waves(row)
    if not waves:
        return None
    return {
        "waves": [asdict(wave) for wave in waves],
        "commensurate": float(row["modulation_commensurate"]),
        "nearest_superlattice": _superlattice(modulation_superlattice(row)),
        "text": modulation_doubt(row),
    }


def _superlattice(own: Superlattice) -> dict[str, Any]:
    return {"text": str(own), "matrix": own.matrix, "wood": own.wood}


def _label(row: xr.Dataset) -> str | None:
    label = int(row["label"])
    return str(row["lattice"].values[label]) if label >= 0 else None


def _by_class(values: xr.DataArray) -> dict[str, Any]:
    return {str(name): values.sel(lattice=name).values for name in values["lattice"].values}


def _run(result: xr.Dataset) -> dict[str, Any]:
    """Return the part of the run card that an answer repeats."""
    return {
        key: result.attrs[key] for key in ("model", "version", "seed", "samples", "distortion") if key in result.attrs
    }


def map_answer(result: PhaseMap, target: Path, written: list[Path]) -> dict[str, Any]:
    """Return the share of each frame that each class has, beside an area the mean probability, and what was written."""
    from bravaismap.result.shares import class_shares, mean_probabilities
    from bravaismap.result.undone import undone_lines

    shares, means = class_shares(result), mean_probabilities(result)
    beside = {} if means is None else {"mean_probability": means.fraction, "mean_probability_std": means.std}
    return {
        "result": str(target),
        "files": [str(path) for path in written],
        "time": result["time"].values,
        "time_unit": str(result["time"].attrs.get("units", "frame")),
        "of": shares.quantity,
        "fraction": _by_class(shares.fraction),
        "fraction_std": _by_class(shares.std),
        **{name: _by_class(values) for name, values in beside.items()},
        "undone": undone_lines(result),
        **_run(result),
    }


def growth_answer(
    growth: xr.Dataset, quantity: str, physical: xr.Dataset | None, laws: xr.Dataset, written: list[Path]
) -> dict[str, Any]:
    """Return what was fitted, the parameters, the rates in nm² if they are known, and how the laws compare."""
    return {
        "of": quantity,
        "law": {key: growth.attrs[key] for key in ("law", "formula", "time_unit") if key in growth.attrs},
        "frames_fitted": growth.attrs["frames_fitted"],
        "reduced_chi_square": growth.attrs["reduced_chi_square"],
        "parameters": _quantities(growth, "parameter"),
        "quantities": {} if physical is None else _quantities(physical, "quantity"),
        "laws": {
            str(name): {key: laws[key].sel(law=name).values for key in ("difference", "weight")}
            for name in laws["law"].values
        },
        "files": [str(path) for path in written],
    }


def _quantities(dataset: xr.Dataset, dim: str) -> dict[str, Any]:
    return {
        str(name): {
            "value": float(dataset["value"].sel({dim: name})),
            "unit": str(dataset["unit"].sel({dim: name}).values),
            "interval_68_95": dataset["interval"].sel({dim: name}).values,
        }
        for name in dataset[dim].values
    }


def motif_answer(motif: xr.Dataset, written: list[Path]) -> dict[str, Any]:
    """Return the plane group with probabilities, the cell, the columns and the structure factors of a motif."""
    orders = ["h", "k", *(str(name) for name, variable in motif.data_vars.items() if variable.dims == ("order",))]
    return {
        **_said_of_motif(motif),
        "structure_factors": {name: motif[name].values for name in orders},
        "files": [str(path) for path in written],
    }


def _said_of_motif(motif: xr.Dataset) -> dict[str, Any]:
    from bravaismap.motif.doubt import motif_doubts

    lengths = ("a", "b", "gamma")
    columns = [
        {
            "site": int(column["site"]) + 1,
            "wyckoff": str(column["wyckoff"].item()),
            **{f"{key}{ending}": float(column[f"{key}{ending}"]) for key in _COLUMN for ending in ("", "_std")},
        }
        for column in (motif.isel(column=i) for i in range(motif.sizes["column"]))
    ]
    return {
        "plane_group": motif.attrs["plane_group"],
        "probability": {str(name): float(motif["probability"].sel(group=name)) for name in motif["group"].values},
        "misfit": {str(name): float(motif["misfit"].sel(group=name)) for name in motif["group"].values},
        **{key: motif.attrs[key] for key in _ABOUT_MOTIF},
        "cell": {f"{key}{ending}": float(motif[f"{key}{ending}"]) for key in lengths for ending in ("", "_std")}
        | {"unit": str(motif["a"].attrs["units"])},
        "columns": columns,
        "doubt": motif_doubts(motif),
    }


def motif_map_answer(motifs: xr.DataTree, written: list[Path]) -> dict[str, Any]:
    """Return what is said of each motif of a movie."""
    table = motifs.to_dataset()
    names = ("domain", "phase", "first_frame", "last_frame", "time")
    rows = [
        {name: table[name].values[i] for name in names} | _said_of_motif(motifs[str(i)].to_dataset())
        for i in range(table.sizes["motif"])
    ]
    return {"motifs": rows, "files": [str(path) for path in written]}


def beam_answer(cases: xr.Dataset, dose: float | None, dose_rate: float | None) -> dict[str, Any]:
    """Return what the beam can do to each atom."""
    from bravaismap.kinetics.knock_on import displacements_per_atom

    answers = []
    for i in range(cases.sizes["case"]):
        case = cases.isel(case=i)
        area = float(case["cross_section"])
        answers.append(
            {
                "element": str(case["element"].values),
                "compound": str(case["compound"].values),
                "displacement_energy_eV": float(case["displacement_energy"]),
                "energy_transfer_eV": float(case["energy_transfer"]),
                "threshold_kV": float(case["threshold"]),
                "cross_section_barn": area,
                "confirmed": bool(case["confirmed"]),
                "source": str(case["source"].values),
                **({} if dose is None else {"displacements_per_atom": float(displacements_per_atom(area, dose))}),
                **(
                    {}
                    if dose_rate is None
                    else {"displacements_per_atom_s": float(displacements_per_atom(area, dose_rate))}
                ),
            }
        )
    return {"cases": answers}

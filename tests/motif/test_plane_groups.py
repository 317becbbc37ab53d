"""Plane groups: operations re-derived from general positions, closure, settings, subgroups, Wyckoff positions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from patterns import GENERAL

from bravaismap.errors import InputError
from bravaismap.lattice import basis_from_cell, reduce_basis
from bravaismap.motif.columns import wyckoff_letter
from bravaismap.motif.plane_groups import (
    PLANE_GROUPS,
    PlaneGroup,
    Setting,
    all_settings,
    compatible_settings,
    contains,
    group_named,
    misfit,
    subgroup_table,
)

NAMES = [group.name for group in PLANE_GROUPS]
CONVENTIONAL_CENTRING = {"c": ((0.0, 0.0), (0.5, 0.5)), "p": ((0.0, 0.0),)}
#: Multiplicities of the Wyckoff positions in the International Tables, from a on.
MULTIPLICITIES = {
    "p1": "1", "p2": "11112", "pm": "112", "pg": "2", "cm": "24", "p2mm": "111122224", "p2mg": "2224", "p2gg": "224",
    "c2mm": "224448", "p4": "1124", "p4mm": "1124448", "p4gm": "2248", "p3": "1113", "p3m1": "11136", "p31m": "1236",
    "p6": "1236", "p6mm": ("1", "2", "3", "6", "6", "12"),
}  # fmt: skip
#: Maximal subgroups with the same translations, from the International Tables.
MAXIMAL = {
    "p2": "p1", "pm": "p1", "pg": "p1", "cm": "p1", "p2mm": "p2 pm", "p2mg": "p2 pm pg", "p2gg": "p2 pg",
    "c2mm": "p2 cm", "p4": "p2", "p4mm": "p4 p2mm c2mm", "p4gm": "p4 p2gg c2mm", "p3": "p1", "p3m1": "p3 cm",
    "p31m": "p3 cm", "p6": "p3 p2", "p6mm": "p6 p3m1 p31m c2mm",
}  # fmt: skip


def operations(triplets: str) -> set[tuple]:
    """Return (W, t) of coordinate triplets as numbers, t in twelfths modulo 12."""
    found = set()
    for triplet in triplets.split(";"):
        rows, shift = [], []
        for part in triplet.replace("/2", "*0.5").split(","):
            value = {at: eval(part, {}, {"x": at[0], "y": at[1]}) for at in ((0, 0), (1, 0), (0, 1))}
            rows.append((round(value[1, 0] - value[0, 0]), round(value[0, 1] - value[0, 0])))
            shift.append(round(12 * value[0, 0]) % 12)
        found.add((tuple(rows), tuple(shift)))
    return found


@pytest.mark.parametrize("group", PLANE_GROUPS, ids=NAMES)
def test_operations_are_the_general_positions_of_the_tables(group: PlaneGroup) -> None:
    conventional = group.conventional.T
    made = set()
    for w, t in zip(group.matrices, group.translations, strict=True):
        matrix = np.linalg.inv(conventional) @ w @ conventional
        for centring in CONVENTIONAL_CENTRING[group.name[0]]:
            shift = np.linalg.inv(conventional) @ t + centring
            made.add(
                (tuple(map(tuple, np.rint(matrix).astype(int).tolist())), tuple(np.rint(12 * shift).astype(int) % 12))
            )
            np.testing.assert_allclose(matrix, np.rint(matrix), atol=1e-12)
    assert made == operations(GENERAL[group.name])


@pytest.mark.parametrize("group", PLANE_GROUPS, ids=NAMES)
def test_operations_form_a_group(group: PlaneGroup) -> None:
    members = {
        (w.tobytes(), tuple(np.rint(12 * t).astype(int) % 12))
        for w, t in zip(group.matrices, group.translations, strict=True)
    }
    assert len(members) == len(group.matrices)
    pairs = list(zip(group.matrices, group.translations, strict=True))
    for (v, s), (w, t) in itertools.product(pairs, repeat=2):
        assert ((v @ w).tobytes(), tuple(np.rint(12 * (v @ t + s)).astype(int) % 12)) in members
        assert abs(round(np.linalg.det(w))) == 1
    assert (group.matrices[0] == np.eye(2)).all()
    assert [group.number for group in PLANE_GROUPS] == list(range(1, 18))


def test_orders_of_the_point_groups() -> None:
    order = {"1": 1, "2": 2, "m": 2, "2mm": 4, "4": 4, "4mm": 8, "3": 3, "3m": 6, "6": 6, "6mm": 12}
    assert [len(group.matrices) for group in PLANE_GROUPS] == [order[group.point_group] for group in PLANE_GROUPS]
    for group in PLANE_GROUPS:  # the diffraction pattern has a twofold axis besides
        with_inversion = {m.tobytes() for m in (*group.matrices, *-group.matrices)}
        assert len(with_inversion) == order[group.laue_class]


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ((10, 10, 90), {"p1": 1, "p2": 1, "pm": 2, "pg": 2, "cm": 2, "p2mm": 1, "p2mg": 2, "p2gg": 1, "c2mm": 1,
                        "p4": 1, "p4mm": 1, "p4gm": 1}),
        ((10, 10, 60), {"p1": 1, "p2": 1, "cm": 6, "c2mm": 3, "p3": 1, "p3m1": 1, "p31m": 1, "p6": 1, "p6mm": 1}),
        ((10, 14, 90), {"p1": 1, "p2": 1, "pm": 2, "pg": 2, "p2mm": 1, "p2mg": 2, "p2gg": 1}),
        ((10, 10, 75), {"p1": 1, "p2": 1, "cm": 2, "c2mm": 1}),
        ((10, 13, 75), {"p1": 1, "p2": 1}),
    ],
)  # fmt: skip
def test_settings_that_a_lattice_allows(cell: tuple[float, float, float], count: dict[str, int]) -> None:
    basis = reduce_basis(basis_from_cell(cell[0], cell[1], np.radians(cell[2]), 0.3))
    settings = compatible_settings(basis, 0.02)
    found = {name: sum(s.group.name == name for s in settings) for name in NAMES}
    assert {name: n for name, n in found.items() if n} == count
    metric = basis @ basis.T
    for setting in settings:
        for w in setting.matrices:
            np.testing.assert_allclose(w.T @ metric @ w, metric, atol=1e-9 * metric.max())
        assert setting.misfit == pytest.approx(0, abs=1e-9)


def test_a_sheared_square_is_one_within_its_strain() -> None:
    stretched = np.array([[0.0, 10.0 * 1.01], [10.0 / 1.01, 0.0]])
    setting = next(s for s in all_settings() if s.group.name == "p4mm")
    assert misfit(stretched, setting.matrices) == pytest.approx(2 * np.log(1.01), rel=1e-3)
    strain = 2 * np.log(1.01)
    assert any(s.group.name == "p4mm" for s in compatible_settings(stretched, 1.02 * strain))
    assert not any(s.group.name == "p4mm" for s in compatible_settings(stretched, 0.98 * strain))


def test_slender_cells_keep_a_finite_group() -> None:
    names = {s.group.name for s in compatible_settings(np.array([[0.0, 4.0], [80.0, 1.0]]), 0.2)}
    assert "p2" in names
    assert "p2mm" in names or "c2mm" in names
    assert not {"p2mm", "c2mm"} <= names


def test_subgroups_are_those_of_the_tables() -> None:
    table = subgroup_table()

    def below(name: str) -> set[str]:
        return {name}.union(*(below(smaller) for smaller in MAXIMAL.get(name, "").split()))

    for i, name in enumerate(NAMES):
        assert {NAMES[j] for j in np.flatnonzero(table[i])} == below(name), name


def test_a_setting_holds_its_own_subgroups_only() -> None:
    settings = compatible_settings(np.array([[0.0, 10.0], [10.0, 0.0]]), 0.01)
    glide = next(s for s in settings if s.group.name == "p4gm")
    held = sorted(s.group.name for s in settings if contains(glide, s))
    assert held == ["c2mm", "cm", "cm", "p1", "p2", "p2gg", "p4", "p4gm", "pg", "pg"]


@pytest.mark.parametrize("setting", all_settings(), ids=lambda s: s.group.name)
def test_origins_that_are_equivalent(setting: Setting) -> None:
    """A translation along the directions of freedom, counted on a finer grid, leaves the operations as they are."""
    directions, count = setting.freedom
    rank = len(directions)
    steps = np.array(list(itertools.product(range(24), repeat=rank)), float).reshape(24**rank, rank) / 24
    kept = 0
    for step in steps:
        shift = step @ directions
        moved = (np.eye(2) - setting.matrices) @ shift
        kept += bool(np.allclose(moved, np.rint(moved)))
    assert kept == count
    assert np.linalg.matrix_rank((np.eye(2) - setting.matrices).reshape(-1, 2)) == rank


def test_the_number_of_equivalent_origins() -> None:
    known = {"p1": 1, "p2": 4, "pm": 2, "pg": 2, "cm": 1, "p2mm": 4, "p2gg": 4, "c2mm": 2, "p4": 2, "p4mm": 2, "p3": 3,
             "p3m1": 3, "p31m": 1, "p6": 1, "p6mm": 1}  # fmt: skip
    for setting in all_settings():
        if setting.group.name in known:
            assert setting.freedom[1] == known[setting.group.name], setting.group.name


@pytest.mark.parametrize("group", PLANE_GROUPS, ids=NAMES)
def test_wyckoff_positions_have_the_multiplicities_of_the_tables(group: PlaneGroup) -> None:
    """Each letter is found again from any of its points, whatever the setting."""
    rng = np.random.default_rng(group.number)
    wanted = MULTIPLICITIES[group.name]
    assert len(group.wyckoff) == len(wanted)
    for setting in (s for s in all_settings() if s.group is group):
        for place, multiplicity in zip(group.wyckoff, wanted, strict=True):
            free = rng.uniform([0.2, 0.05], [0.24, 0.07])[: len(place.along)]  # away from every axis and mirror
            point = np.array(place.fixed) + free @ np.array(place.along).reshape(-1, 2)
            origin = rng.random(2)
            at = point @ group.conventional @ setting.change + origin
            i = rng.integers(len(setting.matrices))
            image = setting.matrices[i] @ (at - origin) + setting.translations[i] + origin + rng.integers(-2, 3, 2)
            assert wyckoff_letter(setting, origin, image, 0.01) == f"{multiplicity}{place.letter}"
            np.testing.assert_allclose(setting.reference_coordinates(at, origin), point, atol=1e-12)


def test_errors() -> None:
    assert group_named("p4gm").number == 12
    with pytest.raises(InputError, match="p4bm"):
        group_named("p4bm")
    with pytest.raises(InputError, match="not reduced"):
        compatible_settings(np.array([[0.0, 10.0], [10.0, 30.0]]), 0.02)

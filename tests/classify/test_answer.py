"""What is said of windows: batches put together, constant windows put in their places, variables of a result."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.classify.answer import MEASURED, Answer, Cells, symmetric_matrix, upper_triangle
from bravaismap.conventions import CLASSES, NONE, UNMAPPED

PER_WINDOW = ("probability", "probability_std", "entropy", "mutual_information")


def random_answer(count: int, seed: int, *, measured: bool, passes: int = 3) -> Answer:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(len(CLASSES)), count)
    root = rng.normal(0, 0.01, (count, 4, 4))
    basis = np.array([[0.3, 9.0], [11.0, 0.4]]) + rng.normal(0, 0.2, (count, 2, 2))
    return Answer(
        probability,
        rng.random(probability.shape),
        rng.random(count),
        rng.random(count),
        None if measured else rng.random((passes, len(CLASSES))),
        Cells(basis, root @ root.transpose(0, 2, 1), rng.normal(50, 9, count)) if measured else None,
    )


@pytest.mark.parametrize("measured", [True, False])
def test_batches_as_one(measured: bool) -> None:
    parts = [random_answer(count, count, measured=measured) for count in (3, 1, 4)]
    whole = Answer.concatenate(parts)
    for name in PER_WINDOW:
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))
    if measured:
        assert whole.pass_total is None
        np.testing.assert_array_equal(whole.cells.basis[3], parts[1].cells.basis[0])
        np.testing.assert_array_equal(whole.cells.evidence[4:], parts[2].cells.evidence)
    else:
        assert whole.cells is None
        np.testing.assert_allclose(whole.pass_total, sum(part.pass_total for part in parts))
    same = Answer.concatenate(parts[:1])
    np.testing.assert_array_equal(same.probability, parts[0].probability)


@pytest.mark.parametrize("samples", [0, 5])
@pytest.mark.parametrize("measured", [True, False])
def test_constant_windows_are_none_for_certain(samples: int, measured: bool) -> None:
    classes = ("hexagonal", NONE, "square")
    found = Answer.of_constant(4, classes, samples, measures_cells=measured)
    np.testing.assert_array_equal(found.probability, [[0, 1, 0]] * 4)
    np.testing.assert_array_equal(found.entropy, np.zeros(4))
    for spread in (found.probability_std, found.mutual_information):
        assert (spread == 0).all() if samples else np.isnan(spread).all()
    if measured:
        assert found.pass_total is None
        assert np.isnan(found.cells.basis).all()
        np.testing.assert_array_equal(found.cells.evidence, np.zeros(4))
    else:
        assert found.cells is None
        np.testing.assert_array_equal(found.pass_total, [[0, 4, 0]] * max(samples, 1))


@pytest.mark.parametrize("measured", [True, False])
def test_constant_windows_in_their_places(measured: bool) -> None:
    seen = random_answer(3, 8, measured=measured)
    before = seen.probability.copy()
    nothing = Answer.of_constant(2, CLASSES, 3, measures_cells=measured)
    found = Answer.interleave(seen, nothing, np.array([True, False, False, True, False]))
    for name in PER_WINDOW:
        values, given, certain = (getattr(answer, name) for answer in (found, seen, nothing))
        np.testing.assert_array_equal(values[[1, 2, 4]], given)
        np.testing.assert_array_equal(values[[0, 3]], certain)
    np.testing.assert_array_equal(seen.probability, before)
    if measured:
        np.testing.assert_array_equal(found.cells.covariance[[1, 2, 4]], seen.cells.covariance)
        assert np.isnan(found.cells.basis[[0, 3]]).all()
    else:
        np.testing.assert_allclose(found.pass_total - seen.pass_total, [[0, 0, 0, 0, 0, 2]] * 3, atol=1e-12)


def test_variables_of_a_network_are_those_of_every_window() -> None:
    found = random_answer(4, 2, measured=False).variables(0.1)
    assert set(found) == {*PER_WINDOW, "label"}
    np.testing.assert_array_equal(found["label"], found["probability"].argmax(axis=1))


def test_variables_of_cells_are_in_the_unit_of_the_pixel_size_and_in_degrees() -> None:
    answer = random_answer(20, 1, measured=True)
    pixels, lengths = answer.variables(None), answer.variables(0.05)
    assert set(MEASURED) <= set(pixels)
    lattice = pixels["label"] != CLASSES.index(NONE)
    assert 0 < lattice.sum() < 20
    vectors = answer.cells.basis[lattice]
    a, b = (np.linalg.norm(vectors[:, i], axis=1) for i in (0, 1))
    np.testing.assert_allclose(pixels["a"][lattice], a)
    cosine = (vectors[:, 0] * vectors[:, 1]).sum(axis=1) / (a * b)
    np.testing.assert_allclose(np.cos(np.radians(pixels["gamma"][lattice])), cosine, atol=1e-12)
    for name, power in (("a", 1), ("b_std", 1), ("basis", 1), ("basis_covariance", 2), ("gamma", 0), ("evidence", 0)):
        np.testing.assert_allclose(lengths[name], pixels[name] * 0.05**power, err_msg=name)
    for name in ("a", "gamma_std", "orientation", "deviation_std", "deviation"):
        assert np.isnan(pixels[name][~lattice]).all()
    assert np.isfinite(pixels["basis"]).all()


def test_windows_that_nobody_has_looked_at() -> None:
    answer = random_answer(3, 4, measured=True)
    found = answer.unknown_where(np.array([False, True, False]))
    for name in PER_WINDOW:
        assert np.isnan(getattr(found, name)[1]).all()
        np.testing.assert_array_equal(getattr(found, name)[[0, 2]], getattr(answer, name)[[0, 2]])
        assert np.isfinite(getattr(answer, name)).all()
    variables = found.variables(None)
    assert variables["label"][1] == UNMAPPED
    assert np.isnan(variables["a"][1])


def test_triangles_are_the_matrices_that_they_stand_for() -> None:
    root = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 4))
    matrices = root @ root.swapaxes(-1, -2)
    triangles = upper_triangle(matrices)
    assert triangles.shape == (2, 3, 10)
    np.testing.assert_array_equal(triangles[1, 2, :5], [*matrices[1, 2, 0], matrices[1, 2, 1, 1]])
    np.testing.assert_allclose(symmetric_matrix(triangles), matrices, atol=1e-14)

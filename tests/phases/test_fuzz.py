"""`classify` on arrays of any kind: an answer that is a probability, or one line that says what is wrong."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

import bravaismap as bm
from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import load_model
from bravaismap.errors import BravaismapError

#: Arrays tried; more by hand, for a long run.
EXAMPLES = int(os.environ.get("BRAVAISMAP_FUZZ", "60"))
SEED = int(os.environ.get("BRAVAISMAP_FUZZ_SEED", "3"))
MODELS = {name: load_model(name) for name in ("lattice", "dcnn", "dcnn-2018")}

TYPES = (
    "bool", "int8", "uint8", "int16", ">u2", "int32", "uint32", "int64", "uint64", "float16", "float32", ">f4",
    "float64", "longdouble", "complex64", "object", "S3", "U2", "datetime64[s]", "timedelta64[s]", "V4",
)  # fmt: skip
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, -1e300, 1e38, 1e-320, 2.0**63, -(2.0**63), 65504.0)


def lattice_image(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return a square lattice with noise."""
    y, x = np.mgrid[:side, :side] * (2 * np.pi / 9)
    return np.cos(y) + np.cos(x) + 0.3 * rng.standard_normal((side, side))


def filled(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return finite values of a kind, shape (...,)."""
    if kind == "extremes":
        return rng.choice(np.array(SPECIAL[3:]), shape)
    if kind == "constant":
        return np.full(shape, rng.choice(np.array([0.0, 1.0, -5.0, 1e300, 1e-320])))
    if kind == "sparse":
        values = np.zeros(shape)
        values.flat[: values.size and 1] = rng.choice([1.0, 1e300, 1e-320])
        return values
    if kind == "huge" or kind == "tiny":
        return rng.standard_normal(shape) * (1e305 if kind == "huge" else 1e-310)
    if kind == "offset":
        return 1e15 + rng.standard_normal(shape)
    if len(shape) >= 2 and kind == "lattice" and min(shape[-2:]) > 1:
        return np.broadcast_to(lattice_image(max(shape[-2:]), rng)[: shape[-2], : shape[-1]], shape).copy()
    return 100 * rng.random(shape)


@st.composite
def images(draw: st.DrawFn) -> Any:
    """Draw anything that somebody might take for an image."""
    side = st.sampled_from((0, 1, 2, 15, 16, 31, 32, 33, 48, 64, 97))
    ndim = draw(st.sampled_from((0, 1, 2, 2, 2, 2, 2, 3, 3, 4, 5)))
    shape = (*(draw(st.integers(0, 2)) for _ in range(ndim - 2)), *(draw(side) for _ in range(min(ndim, 2))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = ("random", "lattice", "lattice", "extremes", "constant", "sparse", "huge", "tiny", "offset")
    values = filled(draw(st.sampled_from(kinds)), shape, rng)
    bad = draw(st.sampled_from((0, 0, 0, 1, 5, 10**6)))
    if bad and values.size:
        values.flat[rng.integers(0, values.size, bad)] = draw(st.sampled_from(SPECIAL[:3]))
    dtype = draw(st.sampled_from((*TYPES, *("float64", "float32", "uint16", "uint8") * 3)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        array = as_type(np.asarray(values), dtype)
    way = draw(st.sampled_from(("plain", "plain", "read-only", "fortran", "strided", "reversed", "list", "integers")))
    if way == "integers" and array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        array = rng.choice(np.array([limits.min, limits.max, 0, 1], array.dtype), shape)
    elif way == "read-only":
        array.setflags(write=False)
    elif way == "fortran":
        array = np.asfortranarray(array)
    elif way == "strided" and array.ndim >= 2:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    elif way == "reversed" and array.ndim >= 2:
        array = array[..., ::-1, :]
    elif way == "list" and array.size < 300:
        return array.tolist()
    return array


def as_type(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values in another type, however badly they fit."""
    if dtype in ("datetime64[s]", "timedelta64[s]"):
        return np.nan_to_num(values).clip(-1e9, 1e9).astype("int64").astype(dtype)
    return values.astype(dtype) if dtype != "V4" else np.zeros(values.shape, "V4")


def check(array: Any, classifier: Classifier, nan: str) -> None:
    """Assert that an answer is one, or a refusal."""
    before = np.array(array, copy=True) if isinstance(array, np.ndarray) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # constant images are said
        warnings.simplefilter("error", RuntimeWarning)
        try:
            result = bm.classify(array, model=classifier, samples=2, nan=nan)
        except BravaismapError as error:
            assert "\n" not in str(error), repr(error)  # noqa: PT017
            assert len(str(error)) < 400  # noqa: PT017
            return
    probability = result["probability"].values
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=-1), 1, atol=1e-5)
    assert (probability >= 0).all()
    assert ((result["label"] >= 0) & (result["label"] < result.sizes["lattice"])).all()
    repr(result)
    if before is not None and before.dtype.kind not in "OV":
        np.testing.assert_array_equal(array, before)  # as it was given


@pytest.mark.parametrize("model", MODELS)
@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=False,
)
@given(array=images(), nan=st.sampled_from(("raise", "fill")))
@example(array=None, nan="raise")
@example(array="image.png", nan="raise")
@example(array={"image": 1}, nan="raise")
@example(array=[[1, 2], [3]], nan="raise")
@example(array=object(), nan="raise")
@example(array=np.ma.masked_all((40, 40)), nan="raise")
@example(array=np.array(5), nan="raise")
@example(array=np.zeros((40, 40), dtype=[("a", "f4"), ("b", "f4")]), nan="raise")
def test_any_array(model: str, array: Any, nan: str) -> None:
    check(array, MODELS[model], nan)


@pytest.mark.parametrize("samples", [-1, 1])
def test_any_number_of_samples(samples: int) -> None:
    with pytest.raises(BravaismapError, match="samples"):
        bm.classify(np.random.default_rng(0).random((40, 40)), samples=samples)

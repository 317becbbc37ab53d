"""Names, symbols, colours: what every other module takes from one place."""

from __future__ import annotations

import re

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bravaismap as bm
from bravaismap.conventions import (
    ALIASES,
    CLASSES,
    COLORS,
    DIMS,
    IUCR_SYMBOLS,
    LATTICES,
    NONE,
    PROBABILITY_CMAP,
    SEQUENTIAL_CMAP,
    class_index,
    class_name,
    display_name,
    nearest_names,
)
from bravaismap.errors import BravaismapError, InputError, ModelError, OutputError


def test_order_is_that_of_the_lattice_axis() -> None:
    assert CLASSES == ("square", "rectangular", "centered_rectangular", "hexagonal", "oblique", "none")
    assert (*LATTICES, NONE) == CLASSES == bm.CLASSES
    assert DIMS == ("time", "y", "x")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("noise", "none"),
        ("no lattice", "none"),
        ("rhombohedral", "oblique"),
        ("rhomb", "oblique"),
        ("rect", "rectangular"),
        ("cent rect", "centered_rectangular"),
        ("Cent-Rect", "centered_rectangular"),
        ("centred rectangular", "centered_rectangular"),
        ("hex", "hexagonal"),
        (" HEX ", "hexagonal"),
        ("tp", "square"),
        ("op", "rectangular"),
        ("oc", "centered_rectangular"),
        ("hp", "hexagonal"),
        ("mp", "oblique"),
    ],
)
def test_aliases(name: str, meant: str) -> None:
    assert class_name(name) == meant
    assert CLASSES[class_index(name)] == meant


@given(st.sampled_from(CLASSES), st.sampled_from("_- "), st.booleans())
def test_case_and_separator_do_not_matter(name: str, separator: str, upper: bool) -> None:
    written = name.replace("_", separator)
    assert class_name(written.upper() if upper else written) == name


@pytest.mark.parametrize(
    ("name", "nearest"), [("hexgonal", "hexagonal"), ("sqare", "square"), ("nois", "none"), ("non", "none")]
)
def test_unknown_class_names_its_neighbours(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"{name!r}.*nearest names.*{nearest}"):
        class_name(name)


def test_neighbours_are_names_of_classes_and_no_aliases() -> None:
    with pytest.raises(InputError) as refusal:
        class_name("nois")
    names = str(refusal.value).partition("nearest names are ")[2].split(", ")
    assert names[0] == "none"
    assert set(names) <= set(CLASSES)
    assert len(set(names)) == len(names)


def test_empty_name_is_no_class() -> None:
    with pytest.raises(InputError):
        class_name("")


def test_symbols_are_those_of_the_international_tables() -> None:
    assert [IUCR_SYMBOLS[name] for name in LATTICES] == ["tp", "op", "oc", "hp", "mp"]
    assert all(meant in CLASSES for meant in ALIASES.values())


def test_colours_are_okabe_ito_and_grey() -> None:
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}
    assert list(COLORS) == list(CLASSES)
    assert len({COLORS[name] for name in LATTICES} & okabe_ito) == 5
    red, green, blue = re.findall("..", COLORS[NONE][1:])
    assert red == green == blue
    assert {PROBABILITY_CMAP, SEQUENTIAL_CMAP} <= set(matplotlib.colormaps)


def test_nearest_names() -> None:
    assert nearest_names("default", ["default", "other"]) == "default"
    assert nearest_names("zzzz", ["first", "second"]) == "first, second"
    assert display_name("centered_rectangular") == "centered rectangular"


@pytest.mark.parametrize("kind", [InputError, ModelError, OutputError])
def test_errors_are_value_errors_for_the_user(kind: type[Exception]) -> None:
    assert issubclass(kind, BravaismapError)
    assert issubclass(kind, ValueError)


def test_public_names_exist() -> None:
    for name in bm.__all__:
        assert getattr(bm, name) is not None
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = bm.no_such_thing


#: What an eye sees of a colour, linear RGB to linear RGB, without one of its three kinds of cones (G. M. Machado,
#: M. M. Oliveira, L. A. F. Fernandes, IEEE Trans. Vis. Comput. Graph. 15, 1291 (2009), doi:10.1109/TVCG.2009.113).
EYES = {
    "all cones": np.eye(3),
    "without red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "without green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "without blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eye", EYES)
def test_every_eye_tells_the_classes_apart(eye: str) -> None:
    from matplotlib.colors import to_rgb
    from skimage.color import deltaE_ciede2000, rgb2lab

    rgb = np.array([to_rgb(color) for color in COLORS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.transpose(EYES[eye])).clip(0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    difference = deltaE_ciede2000(*np.broadcast_arrays(lab[:, None], lab))
    assert difference[np.triu_indices(len(COLORS), 1)].min() > 10
    none = list(COLORS).index("none")
    assert np.delete(difference[none], none).min() > 25

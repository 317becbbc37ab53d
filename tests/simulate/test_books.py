"""Recipe books: those that ship, TOML files, and one line of help for every mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bravaismap.conventions import CLASSES, LATTICES
from bravaismap.errors import InputError
from bravaismap.simulate.books import BOOKS, read_recipes, recipe_book
from bravaismap.simulate.faults import FAULTS
from bravaismap.simulate.recipe import PATTERNS, Recipe

TWO = "[hexagonal]\n[none]\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(error: pytest.ExceptionInfo[InputError], *parts: str) -> None:
    """Assert that a message is one line that holds every part."""
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


# The books of the package


@pytest.mark.parametrize("name", ["simulated", "realistic", "wide", "broken"])
def test_books_hold_every_class_in_order(name: str) -> None:
    book = recipe_book(name)
    assert list(book) == list(CLASSES)
    assert [recipe.lattice for recipe in book.values()] == list(CLASSES)


def test_simulated_is_the_protocol_of_the_paper() -> None:
    book = recipe_book("simulated")
    assert all(r.length == (6, 24) and r.atom_width == (0.12, 0.25) and r.noise == (0, 1.5) for r in book.values())
    assert all(r.dose is None and r.atoms == (1, 1) and r.distortion == 0 for r in book.values())
    assert (book["rectangular"].ratio, book["rectangular"].angle) == ((1.0, 2.2), ((90.0, 90.0),))
    assert book["centered_rectangular"].angle == ((35.0, 85.0), (95.0, 125.0))
    assert (book["oblique"].ratio, book["oblique"].angle) == ((1.0, 2.0), ((50.0, 90.0),))
    assert [book[name].disorder for name in ("square", "none")] == [(0.0, 0.08), (0.35, 0.70)]


def test_realistic_has_an_instrument() -> None:
    book = recipe_book("realistic")
    assert all(r.dose == (3.0, 200.0) and r.atoms == (1, 4) and r.distortion == 0.003 for r in book.values())
    assert book["none"].empty > 0
    assert book["square"].empty == 0


def test_wide_has_all_that_spoils_a_micrograph_and_the_others_none_of_it() -> None:
    pairs = ("tilt", "astigmatism", "tail", "drift", "flyback", "line_noise", "amorphous")
    for name, recipe in recipe_book("wide").items():
        assert all(getattr(recipe, pair)[1] > 0 for pair in pairs)
        assert (recipe.length, recipe.atoms, recipe.vacuum) == ((5, 40), (1, 8), (0, 0.6))
        assert recipe.grains > 0
        assert recipe.inverted > 0
        assert (recipe.empty > 0) == (name == "none")
    for book in ("simulated", "realistic"):
        for recipe in recipe_book(book).values():
            assert all(getattr(recipe, pair) == (0, 0) for pair in pairs)
            assert (recipe.grains, recipe.inverted, recipe.spacing, recipe.packing) == (0, 0, 0, None)


def test_effects_can_be_asked_for_in_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'base = "wide"\n[hexagonal]\ndrift = [1, 2]\ngrains = 1.0\npacking = 0.2\n[none]\n')
    found = recipe_book(path)["hexagonal"]
    assert (found.drift, found.grains, found.packing) == ((1, 2), 1.0, 0.2)
    assert found.tail == BOOKS["wide"]["hexagonal"].tail


def test_broken_has_every_fault_and_the_other_books_choose_none(tmp_path: Path) -> None:
    book = recipe_book("broken")
    for name in LATTICES:
        assert all(any(getattr(book[name], field) not in (0.0, (0, 0)) for field in own) for own in FAULTS.values())
        assert book[name].faults == (1, 3)
    assert book["none"].patterns == PATTERNS
    assert all(r.faults is None and not r.patterns for name in ("simulated", "wide") for r in BOOKS[name].values())
    own = 'base = "broken"\n[hexagonal]\nfaults = [2, 2]\nholes = [1, 1]\n[none]\npatterns = ["hum", "rows"]\n'
    found = read_recipes(written(tmp_path, own))
    assert (found["hexagonal"].faults, found["hexagonal"].holes) == ((2, 2), (1, 1))
    assert found["hexagonal"].strain == book["hexagonal"].strain
    assert found["none"].patterns == ("hum", "rows")


def test_a_mapping_is_taken_as_it_is() -> None:
    own = {"mine": Recipe("square"), "other": Recipe("none")}
    assert recipe_book(own) == own


def test_unknown_book_names_those_that_exist() -> None:
    with pytest.raises(InputError) as error:
        recipe_book("realstic")
    refused(error, "'realstic'", "realistic", ".toml")


# TOML files


def test_fields_not_given_come_from_the_base(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'base = "realistic"\n[graphene]\nlattice = "hp"\nlength = [9, 14]\natoms = [2, 2]\n[noise]\nempty = 1.0\n',
    )
    book = recipe_book(path)
    assert list(book) == ["graphene", "noise"]
    base = BOOKS["realistic"]["hexagonal"]
    assert book["graphene"].lattice == "hexagonal"
    assert (book["graphene"].length, book["graphene"].atoms) == ((9, 14), (2, 2))
    assert (book["graphene"].dose, book["graphene"].angle) == (base.dose, base.angle)
    assert (book["noise"].lattice, book["noise"].empty) == ("none", 1.0)
    assert BOOKS["realistic"]["hexagonal"].length == (9.0, 30.0)


def test_base_is_simulated_unless_given(tmp_path: Path) -> None:
    assert recipe_book(str(written(tmp_path, TWO))) == {n: BOOKS["simulated"][n] for n in ("hexagonal", "none")}


def test_angle_is_one_range_or_several(tmp_path: Path) -> None:
    book = read_recipes(
        written(tmp_path, "[oblique]\nangle = [60, 80]\n[centered_rectangular]\nangle = [[40, 50], [100, 110]]\n")
    )
    assert book["oblique"].angle == ((60, 80),)
    assert book["centered_rectangular"].angle == ((40, 50), (100, 110))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[hexagonal]\n", ["1 classes", "at least two"]),
        ("hexagonal = 3\n[none]\n", ["'hexagonal' is not a table", "[hexagonal]"]),
        ("[hexagonal]\nlenght = [6, 9]\n[none]\n", ["[hexagonal]", "'lenght'", "length"]),
        ("[graphene]\n[none]\n", ["[graphene]", "'graphene'", "nearest"]),
        ('[mine]\nlattice = "hexgonal"\n[none]\n', ["[mine]", "'hexgonal'", "hexagonal"]),
        ("[hexagonal\n", ["not a TOML file"]),
        ('base = "papr"\n' + TWO, ["'papr'", "simulated"]),
        ("[hexagonal]\nlength = [24, 6]\n[none]\n", ["[hexagonal]", "length = (24, 6)", "the smaller first"]),
        ("[hexagonal]\nlength = [0, 6]\n[none]\n", ["length", "at least 0.001"]),
        ("[hexagonal]\nlength = 12\n[none]\n", ["length = 12", "two numbers"]),
        ('[hexagonal]\nnoise = ["a", "b"]\n[none]\n', ["noise", "two numbers"]),
        ("[hexagonal]\nratio = [1, 2, 3]\n[none]\n", ["ratio", "two numbers"]),
        ("[hexagonal]\ndisorder = [-0.1, 0.1]\n[none]\n", ["disorder", "at least 0"]),
        ("[hexagonal]\nvacancies = [0, 1]\n[none]\n", ["vacancies", "between 0 and 0.95"]),
        ("[hexagonal]\nvacuum = [0, 1]\n[none]\n", ["vacuum", "between 0 and 0.95"]),
        ("[hexagonal]\nangle = [0, 90]\n[none]\n", ["angle", "between 5 and 175"]),
        ("[hexagonal]\natoms = [0, 2]\n[none]\n", ["atoms", "at least 1"]),
        ("[hexagonal]\ndose = [0, 2]\n[none]\n", ["dose", "at least 0.001"]),
        ("[hexagonal]\nnoise = [0, nan]\n[none]\n", ["noise", "two numbers"]),
        ("[hexagonal]\nlength = [6, inf]\n[none]\n", ["length", "two numbers"]),
        ("[hexagonal]\natoms = [1.5, 2.5]\n[none]\n", ["atoms", "whole numbers"]),
        ("[hexagonal]\nangle = 90\n[none]\n", ["angle = 90", "ranges"]),
        ("[hexagonal]\nangle = []\n[none]\n", ["angle = ()", "ranges"]),
        ('[hexagonal]\ndistortion = "a"\n[none]\n', ["distortion = 'a'", "between 0 and 0.5"]),
        ("[hexagonal]\ndistortion = -1\n[none]\n", ["distortion = -1", "between 0 and 0.5"]),
        ("[hexagonal]\nempty = 3\n[none]\n", ["empty = 3", "between 0 and 1"]),
        ("[hexagonal]\nlattice = 3\n[none]\n", ["[hexagonal]", "'3'"]),
        ("[hexagonal]\ntilt = [0, 3]\n[none]\n", ["tilt", "between 0 and 2"]),
        ("[hexagonal]\ntail = [0, 1.5]\n[none]\n", ["tail", "between 0 and 1"]),
        ("[hexagonal]\nring = [0, 0.6]\n[none]\n", ["ring", "between 0 and 0.5"]),
        ("[hexagonal]\ndrift = [-1, 1]\n[none]\n", ["drift", "at least 0"]),
        ("[hexagonal]\ngrains = 2\n[none]\n", ["grains = 2", "between 0 and 1"]),
        ("[hexagonal]\npresence = -1\n[none]\n", ["presence = -1", "between 0 and 1"]),
        ("[hexagonal]\nspacing = -1\n[none]\n", ["spacing = -1", "between 0 and 1000"]),
        ("[hexagonal]\npacking = 0\n[none]\n", ["packing = 0", "above 0"]),
        ("[hexagonal]\nholes = [0.5, 2]\n[none]\n", ["holes", "whole numbers"]),
        ("[hexagonal]\nantiphase = [0, 5000]\n[none]\n", ["antiphase", "between 0 and 1000"]),
        ("[hexagonal]\nstrain = [0, 0.5]\n[none]\n", ["strain", "between 0 and 0.2"]),
        ("[hexagonal]\nwander = [0, 9]\n[none]\n", ["wander", "between 0 and 2"]),
        ("[hexagonal]\nrow_offsets = [-1, 0]\n[none]\n", ["row_offsets", "at least 0"]),
        ("[hexagonal]\nfaults = 2\n[none]\n", ["faults = 2", "two numbers"]),
        ("[hexagonal]\nfaults = [1, 1.5]\n[none]\n", ["faults", "whole numbers"]),
        ("[hexagonal]\napart = 1\n[none]\n", ["apart = 1", "between 0 and 0.2"]),
        ('[hexagonal]\npatterns = ["hum"]\n[none]\n', ["'hum'", "hexagonal lattice", "'none'"]),
        ('[hexagonal]\n[none]\npatterns = ["stars"]\n', ["'stars'", "speckle, atoms, fringes"]),
        ('[hexagonal]\n[none]\npatterns = "hum"\n', ["patterns = 'hum'", "expected names out of"]),
        ("base = 3\n" + TWO, ["base = 3", "simulated, realistic, wide"]),
        ('base = "mine.toml"\n' + TWO, ["base = 'mine.toml'", "simulated, realistic, wide"]),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_recipes(path)
    refused(error, *parts, str(path))


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        recipe_book(tmp_path / "no.toml")
    refused(error, "no.toml", "No such file", "expected a TOML file")
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n[hexagonal]\n[none]\n")
    with pytest.raises(InputError) as error:
        recipe_book(tmp_path / "latin.toml")
    refused(error, "latin.toml", "not a TOML file")

"""The table of formats: every ending that is read has a row, and the tests that a row names are there."""

from __future__ import annotations

import re
from pathlib import Path

from bravaismap.read.reading import FORMATS

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """Return the cells of the rows of the table of formats."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = page[page.index("| Format |") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_ending_has_a_row() -> None:
    named = {word for row in rows() for word in re.findall(r"\w+", row[1])}
    assert {*FORMATS} - {"jpeg", "mtrx"} <= named | {"Z_mtrx"}


def test_the_tests_that_a_row_names_are_there() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for row in rows():
        names = re.findall(r"`(\w+)`", row[-1])
        assert names, row
        for name in names:
            assert f"def {name}(" in tests, name

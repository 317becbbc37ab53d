"""The reference of the command line is what the commands are."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_page_of_the_commands_is_current() -> None:
    page = runpy.run_path(str(DOCS / "commands.py"))["page"]()
    assert (DOCS / "commands.md").read_text(encoding="utf-8") == page, "run `python docs/commands.py`"
    for said in (
        "## map\n",
        "| `--frame-time X` |",
        "--window auto\\|N`",
        "Default: 2%.",
        "Default: 0.",
        "bravaismap fit RESULT [OPTIONS]",
    ):
        assert said in page, said

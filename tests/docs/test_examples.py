from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

from bravaismap.simulate.books import read_recipes

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = ("predict_from_an_image", "analyse_a_movie")


@pytest.mark.slow
def test_map_a_movie(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "map_a_movie.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("phase")
    assert "share of voids, found" in printed


def test_own_classes_are_a_recipe_book() -> None:
    book = read_recipes(EXAMPLES / "own_classes.toml")
    assert list(book) == ["one_atom", "two_atoms", "none"]
    assert book["two_atoms"].lattice == "hexagonal"
    assert book["two_atoms"].dose == (3.0, 200.0)


def printed_by(notebook: Any) -> str:
    """Return the text that the cells of a notebook have printed."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output["text"] for output in outputs if output.output_type == "stream" and output.name == "stdout")


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_prints_what_it_shows(name: str, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    path = EXAMPLES / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    shown = printed_by(notebook)
    assert shown
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert printed_by(notebook).split()[:30] == shown.split()[:30]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_small_and_has_been_run(name: str) -> None:
    import nbformat

    path = EXAMPLES / f"{name}.ipynb"
    assert path.stat().st_size < 300_000
    cells = nbformat.read(path, as_version=4).cells
    assert [c.execution_count for c in cells if c.cell_type == "code"] == list(
        range(1, 1 + sum(c.cell_type == "code" for c in cells))
    )
    outputs = [output for c in cells if c.cell_type == "code" for output in c.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2

"""The house: data flows from read to show, no module imports from a higher layer, and no import runs in a circle."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bravaismap"
#: Modules and packages from the bottom up; what stands in one line may be imported by the lines below it.
LAYERS = [
    "errors",
    "conventions",
    "files",
    "compute",
    "movie",
    "read",
    "drift",
    "windows",
    "spectrum",
    "lattice",
    "measure",
    "classify",
    "local",
    "motif",
    "result",
    "phases",
    "unmixing",
    "domains",
    "kinetics",
    "simulate",
    "evaluate",
    "train",
    "show",
    "export",
    "live",
    "reproduce",
    "interop",
    "viewer",
    "cli",
    "__main__",
]
#: The front door, which loads everything lazily, and the names of an earlier version, which lead into every room.
DOORS = {"bravaismap", "bravaismap.moved"}


def modules() -> dict[str, Path]:
    """Return the files of the package by module name."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = ("bravaismap", *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: set[str]) -> set[str]:
    """Return the modules of the package that a file imports anywhere, inside functions and for typing too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bravaismap":
            found |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "bravaismap"}
    return found - DOORS


def graph() -> dict[str, set[str]]:
    """Return what each module imports."""
    files = modules()
    return {name: imports(path, set(files)) - {name} for name, path in files.items() if name not in DOORS}


def layer(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    return module.split(".")[1]


def docstring(path: Path) -> str:
    """Return the first line of the docstring of a module, without its full stop."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0].rstrip(".")


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name in graph()} == set(LAYERS)


def test_no_module_imports_from_a_higher_layer() -> None:
    upward = [
        f"{name} imports {other}"
        for name, others in graph().items()
        for other in others
        if LAYERS.index(layer(other)) > LAYERS.index(layer(name))
    ]
    assert upward == []


def test_no_import_runs_in_a_circle() -> None:
    try:
        order = list(TopologicalSorter(graph()).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
    assert len(order) > 100


def test_circles_and_upward_imports_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def f():\n    from bravaismap.cli import app\n")
    assert imports(tmp_path / "one.py", {"bravaismap.cli"}) == {"bravaismap.cli"}
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_no_private_name_crosses_modules() -> None:
    crossing = [
        f"{name}: {node.module}.{alias.name}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bravaismap")
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert crossing == []


def test_map_of_the_tree_names_every_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z_0-9/]+\.py)` \| \S", text, flags=re.M)
    files = {str(path.relative_to(SOURCE).as_posix()) for path in modules().values() if path.name != "__init__.py"}
    missing, extra = sorted(set(files) - set(named)), sorted(set(named) - set(files))
    lines = [f"| `{name}` | {docstring(SOURCE / name)} |" for name in missing]
    assert not missing, "\n".join(["CONTRIBUTING.md, The tree, lacks these lines:", *lines])
    assert not extra, f"CONTRIBUTING.md, The tree, has lines of files that are not there: {', '.join(extra)}"
    assert len(named) == len(set(named))


def test_packages_only_re_export() -> None:
    for path in SOURCE.rglob("__init__.py"):
        if path.parent == SOURCE:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            names = isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]
            assert docstring or names or isinstance(node, ast.Import | ast.ImportFrom), (path, ast.unparse(node)[:80])


def test_every_core_module_has_its_tests() -> None:
    """A module of the core is imported by a test of its own package (tests mirror the tree)."""
    shown_only = {"cli", "viewer", "reproduce", "interop", "show", "export", "__main__"}
    missing = []
    for name in graph():
        parts = name.split(".")[1:]
        if parts[0] in shown_only or modules()[name].name == "__init__.py":
            continue
        folder = ROOT / "tests" / parts[0] if len(parts) > 1 else ROOT / "tests"
        if not any(
            re.search(rf"{re.escape(name)}\b|from bravaismap\.{parts[0]} import .*\b{parts[-1]}\b", text)
            for text in (path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
        ):
            missing.append(name)
    assert missing == []

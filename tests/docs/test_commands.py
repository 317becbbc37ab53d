"""Every command line and every piece of Python in the documentation names what is there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from enum import EnumType
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

import bravaismap as bm
from bravaismap.cli.start import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    + [path for folder in ("docs/tutorials", "docs/limits", "examples") for path in (ROOT / folder).glob("*.py")]
    + [path for folder in ("docs/tutorials", "docs/limits", "examples") for path in (ROOT / folder).glob("*.rst")]
)
#: A command stands in backquotes or on a line of its own.
QUOTED = re.compile(r"`+(?:\.venv/bin/)?(bravaismap(?:\s[^`]*)?)`+")
LINE = re.compile(r"^ *(?:\.venv/bin/)?(bravaismap [a-z][^|`\n]*)$", re.MULTILINE)
INDENTED = re.compile(r"^ {4}.*$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Options of the program itself.
GLOBAL = ("--help", "-h", "--version", "--debug", "--install-completion", "--show-completion")
NAMED = re.compile(r"\bbm\.([a-z_]\w*)")
SCRIPT = re.compile(r"\bpython ((?:benchmarks|docs|examples)/\w+\.py)")


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    import bravaismap.cli

    assert bravaismap.cli.main
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def command_lines(text: str) -> list[str]:
    text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)  # prose of an example
    found = [" ".join(line.split()) for line in QUOTED.findall(FENCED.sub("", text))]
    for line in LINE.findall("\n".join([*FENCED.findall(text), *INDENTED.findall(FENCED.sub("", text))])):
        found.append(re.split(r"\s{2,}|\s#\s|:\s|\.\s|;\s", line.strip())[0])
    return list(dict.fromkeys(line for line in found if line != "bravaismap"))


def words(line: str) -> list[str]:
    return [word.strip(",.:;()") for word in shlex.split(line.replace("[", " ").replace("]", " "))[1:]]


def wrong_with(line: str, commands: dict[str, Any]) -> str:
    """Return what a command line names that is not there, or nothing."""
    name, *rest = words(line)
    if name.startswith("-"):
        return "" if name in GLOBAL else f"no option {name}"
    if name not in commands:
        return f"no command {name}"
    options = {text: one for one in commands[name].params for text in (*one.opts, *one.secondary_opts)}
    options |= dict.fromkeys(("--help", "-h"))
    kinds = get_type_hints(commands[name].callback)
    for place, word in enumerate(rest):
        if not re.match(r"--?[a-zA-Z]", word):
            continue
        option, _, given = word.partition("=")
        if option not in options:
            return f"{name} has no option {option}"
        kind = kinds.get(getattr(options[option], "name", None))
        value = given or (rest[place + 1] if place + 1 < len(rest) else "")
        if isinstance(kind, EnumType) and value.islower() and value not in [str(choice.value) for choice in kind]:
            return f"{option} is none of {', '.join(str(choice.value) for choice in kind)}: {value}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_their_options_exist(page: Path, commands: dict[str, Any]) -> None:
    lines = command_lines(page.read_text(encoding="utf-8"))
    wrong = {line: problem for line in lines if (problem := wrong_with(line, commands))}
    assert wrong == {}


def test_commands_are_found(commands: dict[str, Any]) -> None:
    readme = command_lines((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(readme) > 15
    everything = {word for page in PAGES for line in command_lines(page.read_text("utf-8")) for word in words(line)[:1]}
    assert set(commands) <= everything, "a command that no page mentions"
    assert wrong_with("bravaismap map M --windows 3", commands) == "map has no option --windows"
    assert wrong_with("bravaismap mapp M", commands) == "no command mapp"
    assert wrong_with("bravaismap simulate --kind odd -o w.npz", commands).startswith("--kind is none of")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_compiles_and_names_what_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = [text] if page.suffix == ".py" else PYTHON.findall(text)
    for block in blocks:
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bravaismap"):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
            elif isinstance(node, ast.Call):
                _check_call(node)
    assert [name for name in NAMED.findall(text) if name not in bm.__all__] == []


def _check_call(node: ast.Call) -> None:
    """Assert that a function of the package takes the keywords that it is given."""
    import inspect

    called = node.func
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "bm"):
        return
    known = inspect.signature(getattr(bm, called.attr)).parameters
    assert [word.arg for word in node.keywords if word.arg and word.arg not in known] == [], ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_scripts_and_modules_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [path for path in SCRIPT.findall(text) if not (ROOT / path).exists()] == []
    for name in set(re.findall(r"`(bravaismap(?:\.[a-z_]+)+)`", text)):
        module, _, last = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), last), name


@pytest.mark.parametrize("page", [path for path in PAGES if path.suffix == ".md"], ids=lambda path: path.name)
def test_links_to_files_of_the_repository(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        target for target in targets
        if not re.match(r"https?:|mailto:", target) and not _there(page.parent, target)
    ]  # fmt: skip
    assert missing == []


def _there(folder: Path, target: str) -> bool:
    """Tell whether a link leads to a file, or to the page that the build makes of one."""
    if target.startswith("made/"):
        _, kind, name = target.split("/")
        sources = {
            "tutorials": ROOT / "docs" / "tutorials",
            "limits": ROOT / "docs" / "limits",
            "gallery": ROOT / "examples",
        }
        return name == "index.rst" or (sources[kind] / name).with_suffix(".py").exists()
    return (folder / target).exists()

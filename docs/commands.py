"""Write the page ``docs/commands.md``, the reference of the command line, from the commands themselves.

python docs/commands.py
"""

from __future__ import annotations

import sys
from enum import EnumType
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

import bravaismap.cli  # noqa: F401  (registers the commands)
from bravaismap.cli.start import app

PAGE = Path(__file__).with_name("commands.md")
HEAD = """# Commands

Every command, with what `--help` says of its options. This page is written by `python docs/commands.py`.

Answers go to standard output; what was read, progress, warnings and errors go to standard error. An error is one line,
and the exit code is 0 for success, 1 for a fault of the program (`bravaismap --debug COMMAND …` shows where), 2 for
input that cannot be used, and 130 after Ctrl-C. `--quiet` leaves out what is no answer, warning or error.
`python -m bravaismap` is the same program.

## Completion

The Tab key completes commands and options after

```
bravaismap --install-completion
```

in bash, zsh, fish or PowerShell, and a new shell. `bravaismap --show-completion` prints what that adds, to put it in
place yourself.
"""
#: How the value of an option is written, by its type.
VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}


def page() -> str:
    """Return the page as Markdown."""
    group: Any = typer.main.get_command(app)
    parts = [HEAD, "## bravaismap\n\n" + _table(group, {})]
    for name, command in group.commands.items():
        kinds = get_type_hints(command.callback)
        arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["bravaismap", name, *arguments, "[OPTIONS]"])
        told = " ".join(command.help.split())
        parts.append(f"## {name}\n\n{told}\n\n```text\n{usage}\n```\n\n{_table(command, kinds)}")
    return "\n".join(parts)


def _table(command: Any, kinds: dict[str, Any]) -> str:
    """Return the arguments and options of a command as a table."""
    rows = [
        f"| `{_cell(_name(parameter, kinds.get(parameter.name, bool)))}` | {_cell(_meaning(parameter))} |"
        for parameter in command.params
    ]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _argument(parameter: Any) -> str:
    name = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _name(parameter: Any, kind: Any) -> str:
    """Return how a parameter is written, and its value, which is of a type or one of several."""
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    while get_args(kind):  # of a list, or of what may be left out
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is bool:
        return names
    value = "|".join(choice.value for choice in kind) if isinstance(kind, EnumType) else VALUES[kind]
    return f"{names} {parameter.metavar or value}"


def _meaning(parameter: Any) -> str:
    """Return what a parameter is, its bounds where it has any, and its default."""
    shown, default = parameter.show_default, parameter.default
    if not isinstance(shown, str):
        shown = getattr(default, "value", default)
        if shown is None or isinstance(shown, bool | list) or shown == "":
            return str(parameter.help or "")
    return f"{parameter.help} Default: {shown}."


def _cell(text: str) -> str:
    """Return a text as it stands in a cell of a table: on one line, without the sign that ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()

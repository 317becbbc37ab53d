"""The application: how it starts, and how errors become one line. Heavy imports live inside the command bodies."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from typing import Annotated, Any, Final

import typer

from bravaismap.cli.terminal import be_quiet, out, print_error, show_warning, write_unicode
from bravaismap.errors import BravaismapError

__all__ = ["app", "main"]

app = typer.Typer(
    name="bravaismap",
    help="Bravais-lattice phase maps with uncertainty from atom-resolved STM and STEM images and movies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_debug = False
_command: str | None = None
_INTERRUPTED = 130  # what a shell expects of a program stopped by Ctrl-C; Typer exits with it
#: What Typer raises of a command line that it cannot take apart; it gives the class no public name of its own.
_UsageError: Final[Any] = typer.BadParameter.__base__
_CONTINUED = frozenset({"map", "watch", "train", "reproduce"})  # what an interrupted command has done is kept


@app.callback(invoke_without_command=True)
def _global(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    global _debug, _command
    _debug, _command = debug, context.invoked_subcommand
    be_quiet(False)
    if show_version:
        from importlib.metadata import version

        out.print(f"bravaismap {version('bravaismap')}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print(context.get_help(), highlight=False)


def main() -> None:
    """Run the command line; errors become one line and exit code 2."""
    global _command
    _command = None
    write_unicode()
    warnings.showwarning = show_warning
    if not logging.root.handlers:  # what libraries log is not for the user, as their warnings are not
        logging.root.addHandler(logging.NullHandler())
    try:
        end = app(standalone_mode=False)
        if end == _INTERRUPTED:
            _fail(_interruption(), KeyboardInterrupt(), code=_INTERRUPTED)
        sys.exit(end or 0)
    except BravaismapError as error:
        _fail(str(error), error)
    except _UsageError as error:
        _fail(_usage(error), error)
    except KeyboardInterrupt as error:
        _fail(_interruption(), error, code=_INTERRUPTED)
    except OSError as error:
        what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        _fail(f"{error.filename or 'input or output'}: {what}", error)
    except MemoryError as error:
        _fail("out of memory; map fewer or smaller frames at once", error)
    except Exception as error:  # a fault of ours: say so in one line, with the way to see more
        _fail(f"unexpected {type(error).__name__}: {error}; run `bravaismap --debug …` to see where", error, code=1)


def _usage(error: Any) -> str:
    """Return in one line what is wrong with a command line, and where it says what is right."""
    what = error.format_message().replace("Value error, ", "").rstrip(".")
    command = "" if _command is None else f" {_command}"
    return f"{what[:1].lower()}{what[1:]}; `bravaismap{command} --help` shows what it takes"


def _interruption() -> str:
    """Return what to say of a command that was stopped by Ctrl-C."""
    if _command in _CONTINUED:
        return "interrupted; the same command continues where it stopped"
    return "interrupted; every file written so far is whole, the same command writes them all"


def _fail(message: str, error: BaseException, code: int = 2) -> None:
    if _debug:
        raise error
    print_error(message)
    sys.exit(code)

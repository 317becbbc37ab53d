"""Errors and warnings that a user can act on: what was given, what was expected, what to do."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

__all__ = ["BravaismapError", "BravaismapWarning", "InputError", "ModelError", "OutputError", "warn"]


class BravaismapError(ValueError):
    """Base of every error that is addressed to the user.

    The message is one line. The command line prints it without a traceback and exits with code 2.
    """


class BravaismapWarning(UserWarning):
    """Something that a user should know and that stops nothing; the command line shows these and no others."""


class InputError(BravaismapError):
    """The given image, movie, option or array cannot be used as it is."""


class ModelError(BravaismapError):
    """A classifier is unknown, or its weights do not belong to its card."""


class OutputError(BravaismapError):
    """The result cannot be written where it was asked for."""


def warn(message: str) -> None:
    """Issue a `BravaismapWarning` that points at the line with which the user called this package.

    That is the caller of the outermost function of the package, whatever lies between: generators, context managers,
    libraries that call back. In a thread that the package started, it is where the thread begins.
    """
    outermost: FrameType = sys._getframe()
    frame: FrameType | None = outermost
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "bravaismap":
            outermost = frame
        frame = frame.f_back
    line = outermost.f_back or outermost
    warnings.warn_explicit(
        message,
        BravaismapWarning,
        line.f_code.co_filename,
        line.f_lineno,
        module=line.f_globals.get("__name__"),
        registry=line.f_globals.setdefault("__warningregistry__", {}),
    )

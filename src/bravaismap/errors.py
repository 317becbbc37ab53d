"""Errors and warnings for the user, which say what was given, what was expected, and what to do."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

__all__ = [
    "BravaismapError",
    "BravaismapWarning",
    "InputError",
    "ModelError",
    "OutputError",
    "UndeterminedError",
    "warn",
]


class BravaismapError(ValueError):
    """Base class of all errors that are meant for the user.

    The message is one line. The command line prints it without a traceback and exits with code 2.
    """


class BravaismapWarning(UserWarning):
    """Base class of the warnings that are meant for the user; the command line shows no others."""


class InputError(BravaismapError):
    """An image, movie, option or array that cannot be used as it is."""


class UndeterminedError(InputError):
    """A curve to which a law cannot be fitted: it falls, or it does not determine a parameter of the law.

    Attributes
    ----------
    parameter : str
        The parameter that is not determined; empty where the curve falls.
    """

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class ModelError(BravaismapError):
    """An unknown classifier, or weights that do not match their card."""


class OutputError(BravaismapError):
    """A result that cannot be written to the given path."""


def warn(message: str) -> None:
    """Issue a `BravaismapWarning` that points at the line of the user's code that called this package.

    It is the call of the outermost function of the package, also through generators, context managers and callbacks of
    libraries. In a thread that the package has started, it is the beginning of the thread.
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

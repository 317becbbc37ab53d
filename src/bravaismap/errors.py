"""Errors a user can act on: what was given, what was expected, what to do."""

from __future__ import annotations

__all__ = ["BravaismapError", "BravaismapWarning", "InputError", "ModelError", "OutputError"]


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

"""The command line: a module for each group of commands, listed by ``--help`` in the order imported here."""

from bravaismap.cli import phases as phases  # noqa: I001
from bravaismap.cli import export as export
from bravaismap.cli import motif as motif
from bravaismap.cli import kinetics as kinetics
from bravaismap.cli import live as live
from bravaismap.cli import networks as networks
from bravaismap.cli import reproduction as reproduction
from bravaismap.cli import scores as scores
from bravaismap.cli import view as view
from bravaismap.cli.start import app, main

__all__ = ["app", "main"]

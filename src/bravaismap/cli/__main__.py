"""``python -m bravaismap.cli``."""

from bravaismap.cli import main

main()

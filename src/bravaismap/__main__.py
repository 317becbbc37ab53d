"""``python -m bravaismap``."""

from bravaismap.cli import main

main()

"""Pixels: where each lattice of a frame lies, at the resolution of half a cell, and what sits at its sites."""

"""bravaismap: a 2D crystallographer for atom-resolved microscopy."""

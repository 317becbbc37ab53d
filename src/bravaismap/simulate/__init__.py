"""Simulated windows, broken crystals and decomposing films, with their truth."""

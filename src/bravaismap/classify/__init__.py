"""The class of a measured cell, or of a spectrum: posterior, networks with Monte-Carlo dropout, and the models by name."""

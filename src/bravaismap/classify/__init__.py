"""The class of a measured cell or of a spectrum: posterior, networks with Monte-Carlo dropout, models by name."""

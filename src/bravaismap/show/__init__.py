"""Figures of phase maps, cells, domains, growth, drift, scores and unmixed spectra, and the movie of a result."""

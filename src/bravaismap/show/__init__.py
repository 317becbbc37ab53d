"""Figures: phase maps over the image, cells, domains, growth, drift, scores and unmixed spectra."""

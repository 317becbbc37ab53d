"""Connected regions of a class: found, measured, followed through time, and compared with thresholding."""

from bravaismap.domains.finding import domain_maps, find_domains

__all__ = ["domain_maps", "find_domains"]

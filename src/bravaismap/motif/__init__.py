"""The motif: what sits in the cell of a lattice, and the plane group of the whole pattern."""

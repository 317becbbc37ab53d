"""Growth laws, their fit and comparison, and the dose and physics of the electron beam."""

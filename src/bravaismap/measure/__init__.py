"""The primitive cell of a window by maximum likelihood: spots → indexing → nodes → refinement → measurement."""

"""Windows simulated many at a time, in PyTorch, on any device."""

"""Where and how PyTorch computes: devices, batches, threads."""

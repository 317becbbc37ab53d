"""Devices on which PyTorch computes, batches that suit them, and threads."""

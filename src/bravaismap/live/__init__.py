"""Frames classified as they appear: from a folder, or from a stack that grows."""

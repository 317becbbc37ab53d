"""From windows to phases: the windows of a frame, the frames of a movie, fractions, cells, strain, the verdict."""

"""From windows to phases: the windows of a frame, the frames of a movie, fractions, cells, strain and the verdict in words."""

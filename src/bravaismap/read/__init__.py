"""Files of every kind a laboratory keeps, read as movies (time, y, x) with their calibration."""

"""Files in and out: images and movies, results, exports."""

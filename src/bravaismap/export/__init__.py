"""A result for other programs, for print and for reading: tables, figures, video, other formats, the report."""

"""Results as files: tables, figures, video, the report, and the formats of other programs."""

"""Live runs: frames that are classified as they appear, in a folder or in a file that grows, and alarms."""

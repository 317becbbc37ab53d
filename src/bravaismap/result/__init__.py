"""The result of a run: its schema, and the store on disk that grows frame by frame and survives a crash."""

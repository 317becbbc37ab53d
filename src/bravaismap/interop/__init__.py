"""Other programs: HyperSpy signals and a napari plugin. They import the core, never the reverse."""

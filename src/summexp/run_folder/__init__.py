"""The layout of a run folder: names of its files, making, reading and deleting them."""

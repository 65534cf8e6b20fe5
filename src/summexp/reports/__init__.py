"""The reports of a run: the pages in its folder, and the last lines on the terminal."""

"""One run: its folder, its record, what is left to do in it, and its phases in order."""

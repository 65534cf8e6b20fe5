"""The processes of a run: which one this is, its device, its signals, and their collectives."""

"""A run: its folder, `run.json`, resuming, checkpoints, phases and uploads."""

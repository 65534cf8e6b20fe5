"""Run folder: layout, creation, deletion, `run.json`, checkpoints and atomic writes."""

"""Launching: hardware checks, ranks of one or several nodes, signals, Slurm jobs."""

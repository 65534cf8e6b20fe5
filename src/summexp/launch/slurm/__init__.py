"""Slurm launcher: each job of a sweep is a Slurm job."""

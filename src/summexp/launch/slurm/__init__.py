"""Each job of a sweep as a job of a Slurm cluster."""

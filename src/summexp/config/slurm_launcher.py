"""Config of the Slurm launcher: the choice `hydra/launcher=slurm`.

Tested in tests/launch/slurm/test_slurm_checks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from summexp.errors import ConfigError, Problem
from summexp.options import open_mapping

LAUNCHER = "hydra_plugins.summexp_launchers.SlurmLauncher"
"""The class that Hydra instantiates; it takes plugins from the package `hydra_plugins` alone."""


@dataclass(kw_only=True)
class SlurmConfig:
    """One batch job for each job of the sweep, with one task on each of its nodes."""

    _target_: str = LAUNCHER
    name: str = "summexp"
    """Name of the jobs, which `squeue` shows."""
    partition: str | None = None
    """Partition (queue); the cluster's default if not set."""
    account: str | None = None
    """Account that the time is charged to; the user's default if not set."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that the nodes must have."""
    nodes: int
    """Nodes of a job."""
    gpus_per_node: int | None = None
    """GPUs of each node; if not set, `hardware.processes` with `hardware.backend=cuda`, else
    none."""
    cpus_per_task: int | None = None
    """Cores on each node; if not set, one for each process and each of its data workers."""
    mem_gb: float | None = None
    """Memory on each node, in GB; the partition's default if not set, 0 for all of it."""
    timeout_min: int
    """Time limit of a job, in minutes."""
    signal_delay_s: int
    """Seconds before the time limit, or before a preemption, at which a job saves a checkpoint."""
    max_requeues: int
    """How often a job is requeued and resumed after its time limit; a preempted job always is."""
    array_parallelism: int = 256
    """Maximum number of jobs of the sweep that run at a time."""
    setup: list[str] = field(default_factory=list)
    """Shell commands to run before the job starts, such as `module load cuda`."""
    srun_args: list[str] = field(default_factory=list)
    """Further arguments for srun."""
    additional_parameters: dict[str, Any] = open_mapping()
    """Further parameters for sbatch: `{reservation: mine, exclusive: true}`."""

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)

    def _problems(self) -> Iterator[Problem]:
        at_least = {
            "nodes": 1,
            "gpus_per_node": 0,
            "cpus_per_task": 1,
            "mem_gb": 0,
            "timeout_min": 1,
            "signal_delay_s": 0,
            "max_requeues": 0,
            "array_parallelism": 1,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            # An interpolation has no value yet.
            if isinstance(value, int | float) and value < least:
                yield Problem(key=f"hydra.launcher.{name}", what=f"must be at least {least}")
        if self.signal_delay_s >= 60 * self.timeout_min > 0:
            yield Problem(
                key="hydra.launcher.signal_delay_s",
                what=f"must be less than the time limit, not {self.signal_delay_s} s of "
                f"{self.timeout_min} minutes",
                hint="Raise hydra.launcher.timeout_min, or lower hydra.launcher.signal_delay_s.",
            )

"""Hydra launcher plugins; Hydra imports every module of this namespace package.

The implementation is in `summexp.launch` and is imported when a sweep uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from summexp.config.slurm_launcher import SlurmConfig

# Schema of conf/hydra/launcher/slurm.yaml, as `schema` is that of the root config.
ConfigStore.instance().store(
    group="hydra/launcher/schema", name="slurm", node=SlurmConfig, provider="summexp"
)


class SlurmLauncher(Launcher):
    """Submits the jobs of a sweep to Slurm and waits until they have ended."""

    def __init__(self, **_settings: Any) -> None:
        """Ignore the settings: each job has its own, which may depend on its hardware."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's context, task function and config."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; return the return value of each."""
        from summexp.launch.slurm.launcher import run_jobs

        return run_jobs(self._context, self._task, self._config, job_overrides, initial_job_idx)

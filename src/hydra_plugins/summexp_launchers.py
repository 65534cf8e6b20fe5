"""Hydra's way to our launchers: it takes plugins from this namespace alone, and reads it whole.

What they do lies in `summexp.launch`, and is imported when a sweep uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from summexp.launch.slurm.config import SlurmConfig

# The file that is chosen (conf/hydra/launcher/slurm.yaml) stands on this, as the root on `schema`.
ConfigStore.instance().store(
    group="hydra/launcher/schema", name="slurm", node=SlurmConfig, provider="summexp"
)


class SlurmLauncher(Launcher):
    """Hands the jobs of a sweep to Slurm and waits for their ends."""

    def __init__(self, **_settings: Any) -> None:
        """Keep nothing of the settings: each job has its own, which may follow its hardware."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra knows before it knows the jobs."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs to their ends; return what each of them returned or raised."""
        from summexp.launch.slurm.launcher import run_jobs

        return run_jobs(self._context, self._task, self._config, job_overrides, initial_job_idx)

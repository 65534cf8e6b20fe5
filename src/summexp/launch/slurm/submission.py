"""Submission of a sweep's jobs to Slurm: their resources and their job arrays."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import submitit
from hydra.core.utils import JobRuntime, filter_overrides
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from submitit.core.utils import FailedJobError

from summexp.config.slurm_launcher import SlurmConfig
from summexp.config.typed import typed_config
from summexp.errors import ConfigError
from summexp.launch.slurm.slurm_job import Outcome, SlurmJob
from summexp.launch.slurm.states import SlurmState


@dataclass(kw_only=True)
class Job:
    """A job of the sweep and its state."""

    number: int
    """Its number in the sweep, which names its folder."""
    own: list[str]
    """Its overrides, without those common to all jobs of the sweep."""
    tree: DictConfig
    """Its composed config."""
    needs: dict[str, Any]
    """Its parameters for submitit."""
    job_id: str = ""
    """Slurm's job ID: `12`, or `12_0` in an array."""
    state: SlurmState | None = None
    """Latest known state."""
    ended_at: float | None = None
    """Time at which Slurm first reported its end without an outcome file."""
    outcome: Outcome | None = None
    """Its outcome, once it has ended."""

    @property
    def name(self) -> str:
        """Its number and overrides, for messages."""
        overrides = " ".join(filter_overrides(self.own))
        return f"job {self.number} ({overrides})" if overrides else f"job {self.number}"

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return Path(self.tree.hydra.sweep.dir, str(self.tree.hydra.sweep.subdir))


def plan_jobs(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[Job]:
    """Compose the jobs of a sweep.

    Args:
        context: Hydra's context.
        config: the composed config that the sweep starts from.
        job_overrides: the overrides of each job.
        first: number of the first job.
    """
    common = set.intersection(*map(set, job_overrides))
    jobs = []
    for number, overrides in enumerate(job_overrides, first):
        tree = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(tree.hydra):
            tree.hydra.job.num = number
            # Resolved here: it contains the start time of the sweep.
            tree.hydra.sweep.dir = str(Path(config.hydra.sweep.dir).absolute())
        own = [override for override in overrides if override not in common]
        jobs.append(Job(number=number, own=own, tree=tree, needs=_needs(tree)))
    return jobs


def _needs(tree: DictConfig) -> dict[str, Any]:
    """Return the parameters of a job for submitit, with defaults from its hardware."""
    asked: Any = OmegaConf.to_object(tree.hydra.launcher)
    assert isinstance(asked, SlurmConfig)
    config = typed_config(tree)
    processes = config.hardware.processes or 1
    if asked.gpus_per_node is None and config.hardware.backend == "cuda":
        asked.gpus_per_node = processes
    if asked.cpus_per_task is None:
        workers = config.training.dataloader_num_workers
        asked.cpus_per_task = max(
            processes * (1 + workers), config.data.preprocessing_num_workers or 1
        )
    needs = asdict(asked)
    del needs["_target_"]
    # A step does not inherit cpus-per-task from its job (since Slurm 22.05) and would get a single
    # core. A node that fails ends the other nodes, which would hang otherwise.
    ours = [f"--cpus-per-task={asked.cpus_per_task}", "--kill-on-bad-exit=1"]
    needs["srun_args"] = [*ours, *needs["srun_args"]]
    # Some clusters requeue a job only if it asks for it.
    more = {"requeue": True, **asked.additional_parameters}
    needs["additional_parameters"] = {
        name: value for name, value in more.items() if value not in (None, False)
    }
    return needs


def submit_jobs(
    jobs: Sequence[Job], folder: Path, context: HydraContext, task: TaskFunction
) -> None:
    """Submit jobs, those with equal resources as one array, and set their `job_id`s.

    Args:
        jobs: the jobs of the sweep.
        folder: folder of the files of Slurm and submitit.
        context: Hydra's context.
        task: Hydra's task function.

    Raises:
        ConfigError: sbatch rejected the jobs; some may have been submitted before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    waiting = list(jobs)
    while waiting:
        group = [job for job in waiting if job.needs == waiting[0].needs]
        waiting = [job for job in waiting if job.needs != waiting[0].needs]
        calls = [
            SlurmJob(
                tree=job.tree,
                context=context,
                task=task,
                task_name=str(JobRuntime.instance().get("name")),
                argv=sys.argv,
                folder=folder,
            )
            for job in group
        ]
        with _not_interrupted(), _outside_any_allocation():
            for job, job_id in zip(group, _submit(folder, group[0].needs, calls), strict=True):
                job.job_id = job_id


def _submit(folder: Path, needs: dict[str, Any], calls: list[SlurmJob]) -> list[str]:
    """Submit one array of jobs, or one job; return their job IDs."""
    needs = dict(needs)
    executor = submitit.SlurmExecutor(folder, max_num_timeout=needs.pop("max_requeues"))
    names = {"name": "job_name", "timeout_min": "time", "mem_gb": "mem"}
    if needs["mem_gb"] is not None:
        needs["mem_gb"] = f"{round(1024 * needs['mem_gb'])}M"
    executor.update_parameters(
        **{names.get(key, key): value for key, value in needs.items()},
        ntasks_per_node=1,
        stderr_to_stdout=True,
        # submitit sets one, which some clusters reject.
        wckey=None,
    )
    try:
        # The message of sbatch is reported once.
        with redirect_stderr(StringIO()):
            return [job.job_id for job in executor.submit_array(calls)]
    except FailedJobError as error:
        message = "; ".join(str(error).split("\n")) or "sbatch failed"
        raise ConfigError.of(
            key="hydra.launcher", what=f"sbatch rejected the job: {message}"
        ) from error


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Block signals while sbatch runs: a job with an unread ID could not be cancelled."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


@contextmanager
def _outside_any_allocation() -> Iterator[None]:
    """Hide the Slurm job of this process, whose resources sbatch would inherit."""
    inherited = {}
    if "SLURM_JOB_ID" in os.environ:
        # SLURM_CONF is the path of the cluster's configuration.
        names = [one for one in os.environ if one.startswith("SLURM") and one != "SLURM_CONF"]
        inherited = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(inherited)

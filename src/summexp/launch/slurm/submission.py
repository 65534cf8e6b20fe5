"""The jobs of a sweep as Slurm gets them: what each one asks for, and the handing over."""

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

from summexp.config.typed import typed_config
from summexp.errors import ConfigError, Problem
from summexp.launch.slurm.config import SlurmConfig
from summexp.launch.slurm.slurm_job import Outcome, SlurmJob
from summexp.launch.slurm.states import SlurmState


@dataclass(kw_only=True)
class Job:
    """A job of the sweep, and what is known of it."""

    number: int
    """Its number in the sweep, which names its folder."""
    own: list[str]
    """Its overrides, without those that every job of the sweep has."""
    tree: DictConfig
    """Its composed config."""
    needs: dict[str, Any]
    """What it asks of Slurm."""
    job_id: str = ""
    """Slurm's name for it: `12`, or `12_0` in an array."""
    state: SlurmState | None = None
    """As last seen."""
    ended_at: float | None = None
    """When Slurm was first seen to have ended it, though it left no outcome."""
    outcome: Outcome | None = None
    """What came of it, once it has ended."""

    @property
    def name(self) -> str:
        """The number, and what is its own."""
        words = " ".join(filter_overrides(self.own))
        return f"job {self.number} ({words})" if words else f"job {self.number}"

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return Path(self.tree.hydra.sweep.dir, str(self.tree.hydra.sweep.subdir))


def plan_jobs(
    context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int
) -> list[Job]:
    """Compose the jobs of a sweep.

    Args:
        context: Hydra's own.
        config: the composed config that the sweep starts from.
        job_overrides: of each job.
        first: number of the first job.
    """
    common = set.intersection(*map(set, job_overrides))
    jobs = []
    for number, overrides in enumerate(job_overrides, first):
        tree = context.config_loader.load_sweep_config(config, list(overrides))
        with open_dict(tree.hydra):
            tree.hydra.job.num = number
            # It names the time at which the sweep began, and has to mean the same on each node.
            tree.hydra.sweep.dir = str(Path(config.hydra.sweep.dir).absolute())
        own = [word for word in overrides if word not in common]
        jobs.append(Job(number=number, own=own, tree=tree, needs=_needs(tree)))
    return jobs


def _needs(tree: DictConfig) -> dict[str, Any]:
    """Return the parameters for submitit that a job asks for, those of its hardware filled in."""
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
    # A step does not inherit this from its job (since Slurm 22.05), and would get a single core. A
    # node that fails ends the others, which would wait for it.
    ours = [f"--cpus-per-task={asked.cpus_per_task}", "--kill-on-bad-exit=1"]
    needs["srun_args"] = [*ours, *needs["srun_args"]]
    # Some clusters let only those jobs be requeued that ask for it.
    more = {"requeue": True, **asked.additional_parameters}
    needs["additional_parameters"] = {
        name: value for name, value in more.items() if value not in (None, False)
    }
    return needs


def submit_jobs(
    jobs: Sequence[Job], folder: Path, context: HydraContext, task: TaskFunction
) -> None:
    """Hand jobs to Slurm, those that ask for the same as one array, and set their `job_id`s.

    Args:
        jobs: of the sweep.
        folder: for the files of Slurm and submitit.
        context: Hydra's own.
        task: what Hydra runs in each job.

    Raises:
        ConfigError: Slurm does not take them; some may have been handed over before.
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
    """Hand one array of jobs, or one job, to Slurm; return Slurm's name for each."""
    needs = dict(needs)
    executor = submitit.SlurmExecutor(folder, max_num_timeout=needs.pop("max_requeues"))
    names = {"name": "job_name", "timeout_min": "time", "mem_gb": "mem"}
    if needs["mem_gb"] is not None:
        needs["mem_gb"] = f"{round(1024 * needs['mem_gb'])}M"
    executor.update_parameters(
        **{names.get(key, key): value for key, value in needs.items()},
        ntasks_per_node=1,
        stderr_to_stdout=True,
        # submitit's name for it, which not every cluster knows.
        wckey=None,
    )
    try:
        # The message of sbatch is reported once.
        with redirect_stderr(StringIO()):
            return [job.job_id for job in executor.submit_array(calls)]
    except FailedJobError as error:
        message = "; ".join(str(error).split("\n")) or "sbatch failed"
        raise ConfigError(
            Problem(key="hydra.launcher", what=f"Slurm refuses: {message}")
        ) from error


@contextmanager
def _not_interrupted() -> Iterator[None]:
    """Keep signals back while sbatch runs: a job whose number nobody read cannot be cancelled."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)


@contextmanager
def _outside_any_allocation() -> Iterator[None]:
    """Hide that this process is itself in a job of Slurm, the size of which sbatch would take."""
    inherited = {}
    if "SLURM_JOB_ID" in os.environ:
        # SLURM_CONF is where the cluster's configuration lies.
        names = [one for one in os.environ if one.startswith("SLURM") and one != "SLURM_CONF"]
        inherited = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(inherited)

"""Slurm launcher of a sweep: submits its jobs and monitors them until the last has ended.

In contrast to hydra-submitit-launcher, it detects a job that died without a result even if Slurm
keeps no accounting, keeps the results of the other jobs, and cancels the jobs on Ctrl-C.

Tested in tests/slurm/test_slurm.py.
"""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    filter_overrides,
    setup_globals,
)
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from summexp.errors import EXIT_FAILED
from summexp.launch.failed_jobs import FailedJob, SweepFailedError
from summexp.launch.slurm.slurm_job import Outcome, read_outcome
from summexp.launch.slurm.states import GONE, SlurmState, states
from summexp.launch.slurm.submission import Job, plan_jobs, submit_jobs
from summexp.paths import display_path
from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.layout import RUN_FILE
from summexp.run_folder.record_file import read_record

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Interval between two polls of the outcome files."""
ASK_SECONDS = (1.0, 15.0)
"""Shortest and longest interval between two queries to Slurm; it grows, to spare the controller."""
SETTLE_SECONDS = 5.0
"""Time after which a shared file system shows the outcome written on another machine."""
CANCEL_SECONDS = 180.0
"""Time for the jobs to end after Ctrl-C; Slurm waits half a minute (`KillWait`) before it kills."""
_ORDINARY = frozenset(("", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Prolog"))
"""Pending reasons that need no warning."""
_TAIL_LINES = 20


def run_jobs(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """Run the jobs of a sweep on the cluster.

    Args:
        context: Hydra's context.
        task: Hydra's task function.
        config: the composed config that the sweep starts from.
        job_overrides: the overrides of each job.
        first: number of the first job.

    Returns:
        The return value of each job, in their order.

    Raises:
        ConfigError: sbatch rejected the jobs.
        SweepFailedError: some jobs failed.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    jobs = plan_jobs(context, config, job_overrides, first)
    sweep = _Sweep(jobs, Path(config.hydra.sweep.dir).absolute() / "slurm")
    try:
        submit_jobs(jobs, sweep.folder, context, task)
        sweep.announce()
        sweep.monitor()
    except BaseException:
        sweep.cancel()
        raise
    if failed := sweep.failed():
        raise SweepFailedError(failed, [job.own for job in jobs])
    return [_returned(job) for job in jobs]


class _Sweep:
    """The submitted jobs of a sweep."""

    def __init__(self, jobs: list[Job], folder: Path) -> None:
        self.jobs = jobs
        self.folder = folder

    @property
    def open(self) -> list[Job]:
        """The submitted jobs without an outcome."""
        return [job for job in self.jobs if job.job_id and job.outcome is None]

    def announce(self) -> None:
        """Log the Slurm job IDs and the path of the output."""
        log.info("submitted %s to Slurm; output: %s", _count(self.jobs), self._log("JOB"))
        for job in self.jobs:
            log.info("  %s: Slurm job %s", job.name, job.job_id)

    def monitor(self) -> None:
        """Wait until each job has an outcome, and log state changes meanwhile."""
        began = asked = time.monotonic()
        while self.open:
            time.sleep(POLL_SECONDS)
            for job in self.open:
                self._read_outcome(job)
            now = time.monotonic()
            shortest, longest = ASK_SECONDS
            if now - asked >= min(longest, max(shortest, (now - began) / 20)):
                asked = now
                self._query_slurm()

    def _read_outcome(self, job: Job) -> None:
        """Read and log the outcome of a job, if it has one."""
        job.outcome = read_outcome(self.folder, job.job_id)
        if job.outcome is None:
            return
        if job.outcome.exit_code:
            reason = job.outcome.reason or ""
            log.error("%s failed: %s", job.name, reason)
            _mark(job, "failed", reason)
        else:
            log.info("finished %s: %s", job.name, display_path(job.folder))

    def _query_slurm(self) -> None:
        """Query Slurm for the jobs without an outcome; a job that died gets one."""
        found = states(job.job_id for job in self.open)
        for job in self.open:
            if job.job_id not in found:
                continue
            before, job.state = job.state, found[job.job_id]
            if not job.state.has_ended and job.state != GONE:
                job.ended_at = None
                _log_change(job, before)
            elif job.ended_at is None:
                job.ended_at = time.monotonic()
            elif time.monotonic() - job.ended_at > SETTLE_SECONDS:
                self._read_outcome(job)
                if job.outcome is None:
                    self._mark_lost(job, job.state)

    def _mark_lost(self, job: Job, state: SlurmState) -> None:
        """Set the outcome of a job that died, and mark its run."""
        others = [
            read_outcome(self.folder, job.job_id, node) for node in range(1, job.needs["nodes"])
        ]
        cause = next((other.reason for other in others if other and other.exit_code), None)
        reason = f"Slurm job {job.job_id}: {state.describe()}"
        if cause is not None:
            reason = f"{cause} ({reason})"
        job.outcome = Outcome(exit_code=EXIT_FAILED, reason=reason)
        log.error("%s failed: %s", job.name, reason)
        for path, lines in self._tails(job):
            log.error("last lines of %s:\n%s", display_path(path), lines)
        _mark(job, "interrupted" if state.was_stopped else "failed", reason)

    def _tails(self, job: Job) -> Iterator[tuple[Path, str]]:
        """Yield the last lines of a job's output, node by node."""
        for node in range(job.needs["nodes"]):
            path = self._log(job.job_id, node)
            try:
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            except FileNotFoundError:
                continue
            yield path, "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])

    def _log(self, job_id: str, node: int = 0) -> Path:
        return self.folder / f"{job_id}_{node}_log.out"

    def cancel(self) -> None:
        """Cancel the jobs that have not ended, and wait until they are gone."""
        left = {job.job_id: job for job in self.open}
        if not left:
            return
        log.warning("cancelling %s: scancel %s", _count(list(left.values())), " ".join(left))
        subprocess.run(["scancel", *left], check=False)
        until = time.monotonic() + CANCEL_SECONDS
        while left and time.monotonic() < until:
            for job_id, state in states(left).items():
                if state.has_ended or state == GONE:
                    _mark(left.pop(job_id), "interrupted", "cancelled with the sweep")
            time.sleep(POLL_SECONDS / 2)
        if left:
            log.error("not cancelled after %.0f s: %s", CANCEL_SECONDS, " ".join(left))

    def failed(self) -> list[FailedJob]:
        """Return the jobs that failed."""
        return [
            FailedJob(
                number=job.number,
                overrides=filter_overrides(job.own),
                folder=display_path(job.folder),
                exit_code=job.outcome.exit_code,
                reason=job.outcome.reason or "",
            )
            for job in self.jobs
            if job.outcome and job.outcome.exit_code
        ]


def _log_change(job: Job, before: SlurmState | None) -> None:
    """Log the new state of a pending or running job."""
    state = job.state
    assert state is not None
    if before is not None and state.restarts > before.restarts:
        log.warning("Slurm requeued %s, which will resume", job.name)
    if state.name == "RUNNING" and (before is None or before.name != "RUNNING"):
        log.info("%s is running on %s", job.name, state.nodes)
    elif state.name == "PENDING" and state.why not in {*_ORDINARY, before.why if before else ""}:
        log.warning("%s is pending in Slurm: %s", job.name, state.why)


def _mark(job: Job, status: str, reason: str) -> None:
    """Correct the status in `run.json` of a run that could not write it."""
    record = read_record(job.folder)
    if record is not None and record.get("status") == "running":
        ended = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        correction = {"status": status, "reason": reason, "ended": ended}
        write_json(job.folder / RUN_FILE, record | correction)


def _returned(job: Job) -> JobReturn:
    """Return Hydra's record of a finished job."""
    outcome = job.outcome
    assert outcome is not None
    tree: Any = job.tree
    returned = JobReturn(
        overrides=list(tree.hydra.overrides.task),
        cfg=OmegaConf.masked_copy(tree, [name for name in tree if name != "hydra"]),
        hydra_cfg=OmegaConf.masked_copy(tree, ["hydra"]),
        working_dir=str(job.folder),
        task_name=str(JobRuntime.instance().get("name")),
    )
    returned.status = JobStatus.COMPLETED
    returned.return_value = outcome.value
    return returned


def _count(jobs: Sequence[Job]) -> str:
    return "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"

"""What runs on the nodes of a job of Slurm: one task of the job, and how it ends.

submitit pickles the job, starts it with the same Python, and requeues it when its time is over.
What came of it goes into a file beside submitit's own: a result in which Slurm has no part, so that
Slurm itself sees the exit code.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn, JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from summexp.config.compose import register
from summexp.errors import EXIT_FAILED
from summexp.launch.signals import Stopped
from summexp.runs.folder import write_json

log = logging.getLogger(__name__)

QUIET = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
    "loggers": {"summexp": {"level": "INFO"}},
}
"""Logging on a node that has no part in the run folder; Slurm keeps it in a file of the node."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a task that ended by itself."""

    exit_code: int
    """0, or that of the error."""
    value: float | None = None
    """What the job returned: the metric that a sweep optimises."""
    reason: str | None = None
    """Why it failed."""


def outcome_file(folder: Path, job_id: str, node: int) -> Path:
    """Return where the task on a node writes its outcome."""
    return folder / f"{job_id}_{node}_outcome.json"


def read_outcome(folder: Path, job_id: str, node: int = 0) -> Outcome | None:
    """Return what came of the task on a node, or None as long as it did not end by itself."""
    try:
        return Outcome(**json.loads(outcome_file(folder, job_id, node).read_text("utf-8")))
    except FileNotFoundError:
        return None


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A job of the sweep, composed when it was submitted: files may change while it waits."""

    tree: DictConfig
    """Its composed config, with the `hydra` node and the sweep's folder in it."""
    context: HydraContext
    """Hydra's callbacks."""
    task: TaskFunction
    """What Hydra runs."""
    task_name: str
    """`hydra.job.name`."""
    argv: list[str]
    """The command line of the sweep."""
    folder: Path
    """Where Slurm's files lie."""

    def __call__(self) -> None:
        """Run on this node; exits as the command `train.py` does, so that Slurm knows."""
        node = int(os.environ.get("SLURM_NODEID", 0))
        try:
            done = self._run(node)
        except _TimeUp as error:
            self._write(node, Outcome(exit_code=EXIT_FAILED, reason=error.reason))
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._write(node, Outcome(exit_code=EXIT_FAILED, reason=reason))
            raise
        came = done._return_value
        if isinstance(came, Exception):
            code = getattr(came, "exit_code", EXIT_FAILED)
            self._write(node, Outcome(exit_code=code, reason=getattr(came, "reason", str(came))))
            raise SystemExit(code)
        self._write(node, Outcome(exit_code=0, value=came))

    def checkpoint(self) -> DelayedSubmission:
        """Return what submitit runs when the job is started again: the same, in its folder."""
        return DelayedSubmission(self)

    def _run(self, node: int) -> JobReturn:
        setup_globals()
        register()
        _take_signals(os.getpid())
        # It has handlers of its own.
        logging.getLogger("submitit").propagate = False
        JobRuntime.instance().set("name", self.task_name)
        # The run records how it was started.
        sys.argv = list(self.argv)
        return run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=self._tree_here(node),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def _tree_here(self, node: int) -> DictConfig:
        # A copy: Hydra locks it, and this object is pickled again when the job is requeued.
        tree = copy.deepcopy(self.tree)
        with open_dict(tree):
            tree.hydra.job.id = os.environ["SLURM_JOB_ID"]
            if int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0:
                # What lies in the folder now is its own.
                tree.overwrite_output_dir = False
            if node > 0:
                tree.hydra.output_subdir = None
                tree.hydra.job_logging = OmegaConf.create(QUIET)
        return tree

    def _write(self, node: int, outcome: Outcome) -> None:
        job_id = os.environ["SLURM_JOB_ID"]
        if "SLURM_ARRAY_JOB_ID" in os.environ:
            job_id = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        write_json(outcome_file(self.folder, job_id, node), asdict(outcome))


class _TimeUp(Stopped):
    """The time of the job is over, and it is not started again."""

    def __init__(self, signum: int, reason: str) -> None:
        super().__init__(signum)
        self.reason = reason


def _take_signals(owner: int) -> None:
    """End by signals as `train.py` does; submitit has taken them before.

    Args:
        owner: number of the process that is meant. Slurm signals every process of the job, and
            those that this one forks inherit its handlers.
    """
    requeue: Any = signal.getsignal(signal.SIGUSR2)
    ends = False

    def end(signum: int, _frame: FrameType | None) -> None:
        nonlocal ends
        # A job that was requeued is sent SIGTERM at once, while it writes down how it ended.
        if not ends:
            ends = True
            raise Stopped(signum)

    def on_time_up(signum: int, frame: FrameType | None) -> None:
        nonlocal ends
        if os.getpid() != owner or ends:
            return
        ends = True
        try:
            requeue(signum, frame)
        except UncompletedJobError as error:
            raise _TimeUp(signum, f"{error} (hydra.launcher.max_requeues)") from None
        except (OSError, subprocess.SubprocessError) as error:
            raise _TimeUp(signum, f"Slurm did not take the job back: {error}") from None
        except SystemExit:
            raise Stopped(signum) from None
        # On a node that is not the first, which is the one that reports to Slurm.
        ends = False

    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, end)
    signal.signal(signal.SIGUSR2, on_time_up)

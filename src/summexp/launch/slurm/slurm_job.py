"""A Slurm job of a sweep: one task on each node, and the file with its outcome.

submitit pickles the job, starts it with the same Python, and requeues it at its time limit. The
outcome goes into a file beside submitit's, so that the task can exit with the run's exit code,
which Slurm then records.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn, JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from submitit.core.utils import UncompletedJobError
from submitit.helpers import DelayedSubmission

from summexp.config.compose import register
from summexp.distributed.signals import Stopped
from summexp.errors import EXIT_FAILED
from summexp.run_folder.atomic_files import write_json
from summexp.upstream.hydra import set_version_base

log = logging.getLogger(__name__)

QUIET = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
    "loggers": {"summexp": {"level": "INFO"}},
}
"""Logging on nodes other than the first: to stderr, which Slurm writes to a file of the node."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a task that was not killed."""

    exit_code: int
    """Exit code of the task."""
    value: float | None = None
    """Return value of the job: the objective of a sweep."""
    reason: str | None = None
    """Reason of a failure."""


def outcome_file(folder: Path, job_id: str, node: int) -> Path:
    """Return the path of the outcome of a node's task."""
    return folder / f"{job_id}_{node}_outcome.json"


def read_outcome(folder: Path, job_id: str, node: int = 0) -> Outcome | None:
    """Return the outcome of a node's task, or None if it has none yet or was killed."""
    try:
        return Outcome(**json.loads(outcome_file(folder, job_id, node).read_text("utf-8")))
    except FileNotFoundError:
        return None


@dataclass(frozen=True, kw_only=True)
class SlurmJob:
    """A job of the sweep, composed at submission: config files may change while it is pending."""

    tree: DictConfig
    """Composed config, with the `hydra` node and the sweep's folder."""
    context: HydraContext
    """Hydra's context."""
    task: TaskFunction
    """Hydra's task function."""
    task_name: str
    """`hydra.job.name`."""
    argv: list[str]
    """Command line of the sweep."""
    folder: Path
    """Folder of the files of Slurm and submitit."""

    def __call__(self) -> None:
        """Run on this node, and exit with the exit code of `train.py`."""
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
        came = _result(done)
        if isinstance(came, Exception):
            code = getattr(came, "exit_code", EXIT_FAILED)
            self._write(node, Outcome(exit_code=code, reason=getattr(came, "reason", str(came))))
            raise SystemExit(code)
        self._write(node, Outcome(exit_code=0, value=came))

    def checkpoint(self) -> DelayedSubmission:
        """Return the submission with which submitit requeues the job: the same job."""
        return DelayedSubmission(self)

    def _run(self, node: int) -> JobReturn:
        setup_globals()
        register()
        set_version_base()
        _install_signal_handlers(os.getpid())
        # submitit installs its own log handlers.
        logging.getLogger("submitit").propagate = False
        JobRuntime.instance().set("name", self.task_name)
        # `run.json` records the command line.
        sys.argv = list(self.argv)
        return run_job(
            hydra_context=self.context,
            task_function=self.task,
            config=self._tree_here(node),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def _tree_here(self, node: int) -> DictConfig:
        # A copy: Hydra makes it read-only, and this object is pickled again on a requeue.
        tree = copy.deepcopy(self.tree)
        with open_dict(tree):
            tree.hydra.job.id = os.environ["SLURM_JOB_ID"]
            if int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0:
                # The folder now holds this run, which is to be resumed.
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


def _result(done: JobReturn) -> Any:
    """Return the result of a job, or its exception, which Hydra would also print."""
    try:
        with redirect_stderr(StringIO()):
            return done.return_value
    except Exception as error:
        return error


class _TimeUp(Stopped):
    """The job reached its time limit and is not requeued."""

    def __init__(self, signum: int, reason: str) -> None:
        super().__init__(signum)
        self.reason = reason


def _install_signal_handlers(owner: int) -> None:
    """Handle signals as `train.py` does, in place of submitit's handlers.

    Args:
        owner: process ID of this process. Slurm signals every process of the job, and forked
            children inherit the handlers.
    """
    requeue: Any = signal.getsignal(signal.SIGUSR2)
    ends = False

    def end(signum: int, _frame: FrameType | None) -> None:
        nonlocal ends
        # Slurm sends SIGTERM to a requeued job at once, while it still writes its outcome.
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
            raise _TimeUp(signum, f"Slurm did not requeue the job: {error}") from None
        except SystemExit:
            raise Stopped(signum) from None
        # A node other than the first, which alone requeues the job.
        ends = False

    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, end)
    signal.signal(signal.SIGUSR2, on_time_up)

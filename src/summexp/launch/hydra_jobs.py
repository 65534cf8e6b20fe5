"""Run checked jobs as jobs of Hydra, which have a folder and a log.

Tested in tests/test_entry.py, tests/launch/test_failed_jobs.py.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hydra
from filelock import FileLock
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig

from summexp.config.compose import conf_dir, register
from summexp.config.error_report import format_error, report_error
from summexp.config.schema import Config
from summexp.config.typed import typed_config
from summexp.data.source_files import Inspections
from summexp.distributed.failures import RankFailedError
from summexp.errors import EXIT_FAILED, ConfigError, SummexpError
from summexp.launch.failed_jobs import FailedJob, JobFailedError, SweepFailedError
from summexp.launch.launch_checks import check_on_arrival, is_elsewhere
from summexp.launch.run import Role, join, lead, silence, this_role
from summexp.paths import display_path
from summexp.runs.inherit import Inherited
from summexp.runs.resume import RunPlan
from summexp.storage import ADVICE, error_chain, storage_failure
from summexp.streams import print_error
from summexp.upstream.hydra import VERSION_BASE, run_composed

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CheckedJob:
    """A job that has passed all checks."""

    overrides: list[str]
    """Overrides of the job."""
    config: Config
    """Typed config."""
    tree: DictConfig
    """Composed tree, with the `hydra` node and inherited values."""
    loader: ConfigLoader
    """The loader that composed the tree."""
    inherited: Inherited | None = None
    """Values inherited from the run folder."""
    plan: RunPlan | None = None
    """Remaining phases, planned under the lock; None if they are planned when the job starts."""
    lock: FileLock | None = None
    """Lock of the run folder; it is held as long as it is referenced."""
    files: Inspections = field(default_factory=Inspections)
    """The data files as inspected by the checks."""


@dataclass(frozen=True)
class _End:
    """Result of a job."""

    value: float | None = None
    """Value of the objective."""
    exit_code: int = 0
    """Exit code of the job as a command of its own."""
    reason: str = ""
    """Error message."""


def run_single(job: CheckedJob) -> int:
    """Run one job with its composed tree; return the exit code."""
    ends: list[_End] = []

    def task(_tree: DictConfig) -> float | None:
        if job.inherited is not None:
            log.info("%s", job.inherited)
        job.config.output_dir = HydraConfig.get().runtime.output_dir
        ends.append(_end_of(lambda: lead(job.config, job.plan, job.files)))
        return ends[-1].value

    def start() -> int:
        run_composed(job.tree, job.loader, task)
        return ends[-1].exit_code

    return _exit_code(start)


def run_hydra_main(words: list[str], jobs: Sequence[CheckedJob]) -> int:
    """Run a sweep, or a flag of Hydra such as `--info`, by `hydra.main`; return the exit code."""

    def start() -> int:
        hydra.main(version_base=VERSION_BASE, config_path=str(conf_dir()), config_name="config")(
            sweep_job
        )()
        if _failed:
            raise SweepFailedError(_failed, [one.overrides for one in jobs])
        return 0

    register()
    _failed.clear()
    sys.argv = [sys.argv[0], *words]
    # Hydra then raises every error instead of printing it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    return _exit_code(start)


_failed: list[FailedJob] = []
"""Failed jobs of the sweep of this process; Hydra (1.3) would report the first one only."""


def sweep_job(tree: DictConfig) -> float | None:
    """Run one job of a sweep, in this process or in one of the launcher."""
    hydra_config = HydraConfig.get()
    end = _end_of(lambda: _run_swept(tree))
    if not end.exit_code:
        return end.value
    if is_elsewhere(hydra_config):
        raise JobFailedError(end.exit_code, end.reason)
    _failed.append(
        FailedJob(
            number=int(hydra_config.job.num),
            overrides=filter_overrides(list(hydra_config.overrides.task)),
            folder=display_path(Path(hydra_config.runtime.output_dir)),
            exit_code=end.exit_code,
            reason=end.reason,
        )
    )
    return None


def _run_swept(tree: DictConfig) -> float | None:
    config = typed_config(tree)
    config.output_dir = HydraConfig.get().runtime.output_dir
    check_on_arrival(config.hardware, config.training, HydraConfig.get())
    role = this_role(config.hardware)
    if role is Role.LEADER:
        return lead(config)
    # Slurm has started the job on each node, and the first one logs.
    silence()
    join(config, role)
    return None


def _end_of(run: Callable[[], float | None]) -> _End:
    """Run a job, and log its error."""
    try:
        return _End(run())
    except SummexpError as error:
        reason = format_error(error)
        log.error("%s", reason)
        if isinstance(error, RankFailedError):
            log.error("this is a bug in summexp or a library\n%s", error.traceback)
        return _End(exit_code=error.exit_code, reason=reason)
    except Exception as error:
        log.exception("the run failed; this is a bug in summexp or a library")
        return _End(exit_code=EXIT_FAILED, reason=f"{type(error).__name__}: {error}")


def _exit_code(start: Callable[[], int]) -> int:
    """Return the exit code of a job or sweep; print errors outside of the jobs."""
    try:
        return start()
    except SummexpError as error:
        print_error(str(error))
        return error.exit_code
    except Exception as error:
        # OmegaConf wraps errors of resolvers, such as a folder that cannot be created.
        wrapped = next((one for one in error_chain(error) if isinstance(one, ConfigError)), None)
        if wrapped is not None:
            report_error(wrapped)
            return wrapped.exit_code
        failure = storage_failure(error)
        if failure is not None:
            # Hydra could not write a file before the job.
            print_error(_unwritten(*failure))
        else:
            traceback.print_exc()
        return EXIT_FAILED


def _unwritten(number: int | None, file: str | None) -> str:
    number = number or errno.ENOSPC
    what = file or "a file of the run folder"
    return f"cannot write {what}: {os.strerror(number)}; {ADVICE[number]}"

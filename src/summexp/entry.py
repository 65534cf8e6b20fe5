"""Entry point of `train.py`: checks the command line, then runs the job or sweep with Hydra.

The module does not import torch or transformers, so that errors are reported in under a second.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import filter_overrides
from hydra.types import RunMode
from omegaconf import DictConfig

from summexp.check import CheckedJob, check, check_on_arrival, is_elsewhere, lock_folder
from summexp.command_line import CommandLine, parse
from summexp.config.compose import conf_dir, register, shown_config
from summexp.config.secrets import without_secrets
from summexp.config.typed import typed_config
from summexp.distributed.failures import RankFailedError, has_lost_peer
from summexp.distributed.signals import Stopped, end_on_signals
from summexp.distributed.world import outside_world, world_size
from summexp.errors import EXIT_FAILED, ConfigError, SummexpError
from summexp.launch.failed_jobs import FailedJob, SweepFailedError
from summexp.launch.roles import abort, is_worker, run_worker, silence, start_ranks
from summexp.paths import display_path
from summexp.runs.process_environment import prepare
from summexp.storage import ADVICE, storage_failure
from summexp.streams import guard_standard_streams, print_error, show

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.distributed.config import HardwareConfig
    from summexp.runs.inherit import Inherited

log = logging.getLogger(__name__)


_failed: list[FailedJob] = []
"""Failed jobs of the sweep of this process; Hydra (1.3) would report the first one only."""


class _JobFailedError(SummexpError):
    """A job of a sweep failed and has logged its error; carries the exit code through Hydra."""

    def __init__(self, exit_code: int, reason: str) -> None:
        """Store the exit code and the reason."""
        self.reason = " ".join(reason.splitlines()[:2])
        super().__init__(self.reason)
        self.exit_code = exit_code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line of `train.py` and exit: 0, 1 or 2, or 128+n when ended by signal n."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    guard_standard_streams()
    # A signal must end the process with its exit code, whatever a library is writing.
    end_on_signals()
    try:
        code = _run(words)
    except Stopped as stopped:
        if not stopped.reported and prints_errors():
            print_error(f"stopped by {signal.Signals(stopped.signum).name}")
        raise
    sys.exit(code)


def _run(words: list[str]) -> int:
    try:
        command = parse(words)
        if command.wants_version:
            return show_version()
        if command.wants_help:
            # Imported late: it reads the sources of the schemas.
            from summexp.config.help import help_text

            return show(help_text(command.config_dir))
        jobs = check(command)
        if command.shows_job:
            shown = shown_config(jobs[0].tree, command.package, resolve=command.resolve)
            if not prints_errors():
                return 0
            if jobs[0].inherited is not None:
                print(jobs[0].inherited, file=sys.stderr)
            return show(shown)
        if command.starts_a_run and is_worker(jobs[0].config.hardware):
            return _run_worker(jobs[0].config)
    except ConfigError as error:
        if prints_errors():
            report_error(error)
        return error.exit_code
    try:
        # The lock is released with its last reference.
        held = lock_folder(jobs) if command.starts_a_run else None
    except ConfigError as error:
        report_error(error)
        # The other ranks are waiting for this one.
        abort(jobs[0].config.hardware, error.exit_code)
        return error.exit_code
    try:
        code = _run_hydra(command, jobs)
    finally:
        del held
    if code and command.starts_a_run and outside_world() is not None:
        # A failure before the process group exists, such as a folder that cannot be created.
        abort(jobs[0].config.hardware, code)
    return code


def prints_errors() -> bool:
    """Return whether this process prints errors: one rank per node does."""
    try:
        world = outside_world()
    except ConfigError:
        return True
    return world is None or world.local_rank == 0


def _run_worker(config: Config) -> int:
    """Run as a rank other than 0, or on a node other than the first."""
    prepare(config)
    if outside_world() is None:
        return _exit_code(lambda: start_ranks(config), config.hardware)
    return _exit_code(lambda: run_worker(config.hardware), config.hardware)


def _exit_code(role: Callable[[], None], hardware: HardwareConfig) -> int:
    try:
        role()
    except SummexpError as error:
        print_error(str(error))
        return error.exit_code
    except Exception as error:
        if not has_lost_peer(error, world_size(hardware)):
            raise
        print_error("another rank failed; see its error")
        return EXIT_FAILED
    return 0


def show_version() -> int:
    """Print the name and version of this package; return the exit code."""
    # Imported late: it is slow.
    from importlib.metadata import version

    return show(f"summexp {version('summexp')}")


def _run_hydra(command: CommandLine, jobs: list[CheckedJob]) -> int:
    inherited = jobs[0].inherited if jobs else None

    def job(tree: DictConfig) -> float | None:
        return _job(tree, inherited)

    register()
    _failed.clear()
    sys.argv = [sys.argv[0], *command.for_hydra]
    # Hydra then raises every error instead of printing it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # The jobs of a sweep inherit nothing, and a launcher may pickle the task.
    task = _job if inherited is None else job
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task)()
        if _failed:
            raise SweepFailedError(_failed, [one.overrides for one in jobs])
    except SummexpError as error:
        print_error(str(error))
        return error.exit_code
    except Exception as error:
        # OmegaConf wraps errors of resolvers, such as a folder that cannot be created.
        wrapped: BaseException | None = error
        while wrapped is not None:
            if isinstance(wrapped, ConfigError):
                report_error(wrapped)
                return wrapped.exit_code
            wrapped = wrapped.__cause__ or wrapped.__context__
        failure = storage_failure(error)
        if failure is not None:
            # Hydra could not write a file before the job.
            print_error(_unwritten(*failure))
            return EXIT_FAILED
        traceback.print_exc()
        return EXIT_FAILED
    return 0


def _unwritten(number: int | None, file: str | None) -> str:
    number = number or errno.ENOSPC
    what = file or "a file of the run folder"
    return f"cannot write {what}: {os.strerror(number)}; {ADVICE[number]}"


def _job(tree: DictConfig, inherited: Inherited | None = None) -> float | None:
    """Run one job, in the folder and with the log of Hydra."""
    # Imported late: a launcher may run the jobs in other processes.
    from summexp.launch.job_runner import run_job

    try:
        if inherited is not None:
            log.info("%s", inherited)
            inherited.apply(tree)
        config = typed_config(tree)
        config.output_dir = HydraConfig.get().runtime.output_dir
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            check_on_arrival(config, HydraConfig.get())
        if is_worker(config.hardware):
            # Slurm has started the job on each node, and the first one logs.
            silence()
        return run_job(config)
    except SummexpError as error:
        code, reason = error.exit_code, format_error(error)
        log.error("%s", reason)
        if isinstance(error, RankFailedError):
            log.error("this is a bug in summexp or a library\n%s", error.traceback)
    except Exception as error:
        code, reason = EXIT_FAILED, f"{type(error).__name__}: {error}"
        log.exception("the run failed; this is a bug in summexp or a library")
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.RUN:
        # Hydra does not handle it.
        raise SystemExit(code)
    if is_elsewhere(hydra_config):
        raise _JobFailedError(code, reason)
    _failed.append(
        FailedJob(
            number=int(hydra_config.job.num),
            overrides=filter_overrides(list(hydra_config.overrides.task)),
            folder=display_path(Path(hydra_config.runtime.output_dir)),
            exit_code=code,
            reason=reason,
        )
    )
    return None


def report_error(error: SummexpError) -> None:
    """Print an error to standard error, without a traceback and without secrets."""
    print_error(without_secrets(format_error(error)))
    print_error("Nothing was started.")


def format_error(error: SummexpError) -> str:
    """Format an error, with each problem of a `ConfigError` on separate lines."""
    if not isinstance(error, ConfigError):
        return str(error)
    count = len(error.problems)
    head = "1 problem" if count == 1 else f"{count} problems"
    listed = "\n".join(f"  {problem}" for problem in error.problems)
    return f"{head}:\n{listed}"

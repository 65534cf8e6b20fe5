"""Entry point of `train.py`: checks the command line, then runs the job or the sweep.

The module does not import torch or transformers, so that errors are reported in under a second.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from hydra.types import RunMode

from summexp.check import check, lock_folder
from summexp.command_line import CommandLine, parse
from summexp.config.compose import shown_config
from summexp.config.error_report import report_error
from summexp.config.schema import Config
from summexp.distributed.failures import has_lost_peer
from summexp.distributed.signals import Stopped, end_on_signals
from summexp.distributed.world import outside_world, world_size
from summexp.errors import EXIT_FAILED, ConfigError, SummexpError
from summexp.launch.hydra_jobs import CheckedJob, run_hydra_main, run_single
from summexp.launch.peers import abort_peers
from summexp.launch.run import Role, join, this_role
from summexp.streams import guard_standard_streams, print_error, show


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
        jobs = check(command, locks=command.starts_a_run)
    except ConfigError as error:
        if prints_errors():
            report_error(error)
        return error.exit_code
    if command.shows_job:
        return _show_job(command, jobs[0])
    if not command.starts_a_run:
        return run_hydra_main(command.for_hydra, jobs)
    return _start(command, jobs)


def _start(command: CommandLine, jobs: list[CheckedJob]) -> int:
    """Run a job or a sweep, in the role of this process."""
    config = jobs[0].config
    role = this_role(config.hardware)
    if role is not Role.LEADER:
        return _join(config, role)
    is_sweep = command.multirun or jobs[0].tree.hydra.mode == RunMode.MULTIRUN
    try:
        jobs[0] = lock_folder(jobs[0], in_sweep=is_sweep)
    except ConfigError as error:
        report_error(error)
        # The other ranks are waiting for this one.
        abort_peers(config.hardware, error.exit_code)
        return error.exit_code
    sys.argv = [sys.argv[0], *command.for_hydra]
    code = run_hydra_main(command.for_hydra, jobs) if is_sweep else run_single(jobs[0])
    if code and outside_world() is not None:
        # A failure before the process group exists, such as a folder that cannot be created.
        abort_peers(config.hardware, code)
    return code


def _join(config: Config, role: Role) -> int:
    try:
        join(config, role)
    except SummexpError as error:
        print_error(str(error))
        return error.exit_code
    except Exception as error:
        if not has_lost_peer(error, world_size(config.hardware)):
            raise
        print_error("another rank failed; see its error")
        return EXIT_FAILED
    return 0


def _show_job(command: CommandLine, job: CheckedJob) -> int:
    """Print the composed config, and which values are inherited from the run folder."""
    try:
        shown = shown_config(job.tree, command.package, resolve=command.resolve)
    except ConfigError as error:
        if prints_errors():
            report_error(error)
        return error.exit_code
    if not prints_errors():
        return 0
    if job.inherited is not None:
        print(job.inherited, file=sys.stderr)
    return show(shown)


def prints_errors() -> bool:
    """Return whether this process prints errors: one rank per node does."""
    try:
        world = outside_world()
    except ConfigError:
        return True
    return world is None or world.local_rank == 0


def show_version() -> int:
    """Print the name and version of this package; return the exit code."""
    # Imported late: it is slow.
    from importlib.metadata import version

    return show(f"summexp {version('summexp')}")

"""The way of a command line: check everything cheaply, then let Hydra start the job or the sweep.

Nothing here, nor in what is imported at the top, imports torch or transformers: a mistake is told in well
under a second.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from summexp.config.compose import conf_dir, register
from summexp.config.typed import typed_config
from summexp.errors import EXIT_FAILED, ConfigError, SummexpError

log = logging.getLogger(__name__)


class _Told(SummexpError):
    """A job failed, and has told why; carries its exit code past Hydra."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the job failed with exit code {exit_code}")
        self.exit_code = exit_code


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line of `train.py` and exit: 0, 1 or 2, or 128+n when ended by signal n."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # A library's half-written bytecode or output must not hide the reason of an end by SIGTERM.
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        code = 128 + signal.SIGINT
    sys.exit(code)


def _on_sigterm(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _run(arguments: list[str]) -> int:
    from summexp.command_line import parse
    from summexp.preflight import check_and_claim

    try:
        command = parse(arguments)
        if command.wants_help:
            from summexp.config.help import help_text

            print(help_text(command.config_dir))
            return 0
        if command.problems and not command.starts_a_run:
            raise ConfigError(command.problems)
        if command.starts_a_run:
            check_and_claim(command)
    except ConfigError as error:
        tell(error)
        return error.exit_code
    register()
    sys.argv = [sys.argv[0], *command.for_hydra]
    # Hydra then hands every error to us instead of printing it in its own words.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(_job)()
    except SummexpError as error:
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return EXIT_FAILED
    return 0


def _job(tree: DictConfig) -> float | None:
    """Run one job, which Hydra has given its folder and its log."""
    from summexp.runs.job import run_job

    try:
        config = typed_config(tree)
        config.output_dir = HydraConfig.get().runtime.output_dir
        return run_job(config)
    except SummexpError as error:
        log.error("%s", _in_words(error))
        code = error.exit_code
    except Exception:
        log.exception("the run failed; the traceback means a bug in summexp or a library")
        code = EXIT_FAILED
    if HydraConfig.get().mode == RunMode.RUN:
        # Hydra lets this pass without words of its own.
        raise SystemExit(code)
    raise _Told(code)


def tell(error: SummexpError) -> None:
    """Print what went wrong to standard error, without a traceback."""
    print(_in_words(error), file=sys.stderr)


def _in_words(error: SummexpError) -> str:
    if not isinstance(error, ConfigError):
        return str(error)
    count = len(error.problems)
    head = "1 problem" if count == 1 else f"{count} problems"
    listed = "\n".join(f"  {problem}" for problem in error.problems)
    return f"{head}, nothing was started:\n{listed}"

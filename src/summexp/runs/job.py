"""One job from beginning to end, and what is kept of it when it ends early.

Nothing here imports torch: that a run is finished, or that another is at work in its folder, is
known first.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.config.provenance import display_path
from summexp.errors import SummexpError
from summexp.reports.report import write_report
from summexp.runs.environment import prepare
from summexp.runs.folder import clear, lock
from summexp.runs.record import RunRecord, begin
from summexp.runs.resume import RunPlan, plan_run

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)


def run_job(config: Config) -> float | None:
    """Run what is left to do in `config.output_dir`.

    Args:
        config: with `output_dir` set to the run folder.

    Returns:
        The metric that `config.objective` names, or None where it was not computed.

    Raises:
        ConfigError: found wrong only now (columns of a Hub dataset, keys of an architecture), or
            the folder holds another run.
        RunError: the run cannot go on, for a reason in words.
    """
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    with lock(folder):
        plan = plan_run(config, folder)
        if config.overwrite_output_dir:
            clear(folder)
        if plan.is_done:
            from summexp.runs.results import read_metric

            log.info("the run in %s is finished: there is nothing left to do", folder)
            return read_metric(folder, config.objective)
        log.info("%s %s", "going on in" if plan.goes_on else "run folder:", display_path(folder))
        record = begin(config, folder, goes_on=plan.goes_on)
        prepare(config)
        return _recorded(config, folder, record, plan)


def _recorded(config: Config, folder: Path, record: RunRecord, plan: RunPlan) -> float | None:
    """Run the phases, and write down how they ended whatever happens."""
    try:
        from summexp.runs.phases import run_phases

        return run_phases(config, folder, record, plan)
    except BaseException as error:
        status, reason = _how_it_ended(error)
        record.end(status, reason)
        # What is wrong with the report must not hide what was wrong with the run.
        with contextlib.suppress(Exception):
            write_report(folder)
            record.update()
        raise


def _how_it_ended(error: BaseException) -> tuple[str, str]:
    """Return the status and the reason of a run that `error` ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "Ctrl-C"
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
        return "interrupted", signal.Signals(error.code - 128).name
    if isinstance(error, SummexpError):
        return "failed", str(error)
    return "failed", f"{type(error).__name__}: {error}"

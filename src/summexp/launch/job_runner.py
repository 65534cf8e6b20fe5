"""One job from start to end: lock, plan, record, phases, and the status when it ends early.

The module does not import torch: a finished run and a locked folder are detected without it.

Tested in tests/integration/test_launch.py.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.distributed.failures import has_lost_peer
from summexp.distributed.signals import Stopped
from summexp.distributed.world import outside_world, starts_ranks, world_size
from summexp.errors import ConfigError, SummexpError
from summexp.launch.roles import (
    RunSpecBroadcast,
    abort,
    broadcasting_run_spec,
    is_worker,
    start_ranks,
)
from summexp.paths import display_path
from summexp.reports.report import write_report
from summexp.run_folder.deletion import clear
from summexp.run_folder.record_file import read_record
from summexp.run_folder.storage_errors import discard_incomplete_checkpoints, storage_errors
from summexp.runs.interruption import describe_interruption
from summexp.runs.lock import lock
from summexp.runs.metric_files import read_metric
from summexp.runs.process_environment import prepare
from summexp.runs.record import RunRecord, begin
from summexp.runs.resume import RunPlan, plan_run, verify_checkpoint

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)


def run_job(config: Config) -> float | None:
    """Run the remaining phases of `config.output_dir`, in this process or in ranks that it starts.

    Args:
        config: the config, with `output_dir` set to the run folder.

    Returns:
        The metric of `config.objective`, or None if it was not computed.

    Raises:
        ConfigError: an error found only now (columns of a Hub dataset, keys of an architecture),
            or the folder holds another run.
        RunError: the run failed, for the reason in the message.
    """
    if is_worker(config.hardware):
        # A node of a Slurm job other than the first, which has the folder.
        start_ranks(config)
    elif outside_world() is None:
        _run_here(config, None)
    else:
        # Imports torch.
        from summexp.distributed.ranks import process_group

        with process_group(config.hardware), broadcasting_run_spec() as broadcast:
            _run_here(config, broadcast)
    assert config.output_dir is not None
    return read_metric(Path(config.output_dir), config.objective)


def _run_here(config: Config, broadcast: RunSpecBroadcast | None) -> None:
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    with lock(folder):
        plan = _planned(config, folder, broadcast)
        if config.overwrite_output_dir:
            clear(folder)
        if plan.is_done:
            log.info("already finished, nothing to do: %s", folder)
            if broadcast is None:
                abort(config.hardware, 0)
            return
        log.info("%s %s", "resuming in" if plan.resumes else "run folder:", display_path(folder))
        with storage_errors(folder):
            record = begin(config, folder, resumes=plan.resumes)
        with _recorded(record, world_size(config.hardware)):
            prepare(config)
            if starts_ranks(config.hardware):
                start_ranks(config, plan)
                return
            if broadcast is not None:
                broadcast(config, plan)
            from summexp.runs.phase_runner import run_phases

            run_phases(config, folder, record, plan)


def _planned(config: Config, folder: Path, broadcast: RunSpecBroadcast | None) -> RunPlan:
    try:
        plan = plan_run(config, folder)
        if plan.train:
            verify_checkpoint(config)
        return plan
    except ConfigError as error:
        if broadcast is None:
            abort(config.hardware, error.exit_code)
        raise


@contextmanager
def _recorded(record: RunRecord, ranks: int) -> Iterator[None]:
    """Record the status of a run that ends early, for whatever reason."""
    try:
        yield
    except BaseException as error:
        try:
            _record_end(record, error, ranks)
        except Stopped as stopped:
            # A second signal, or one delayed by compiled code.
            _record_end(record, stopped, ranks)
            raise
        raise


def _record_end(record: RunRecord, error: BaseException, ranks: int) -> None:
    discard_incomplete_checkpoints(record.folder)
    # A rank may have updated it.
    record.content |= read_record(record.folder) or {}
    status, reason = _status_and_reason(error, ranks)
    if status == "failed" or record.content["status"] != "finished":
        try:
            record.end(status, reason)
        except OSError as unwritable:
            log.warning("run.json still has the status running: %s", unwritable.strerror)
        # An error of the report must not hide that of the run.
        with contextlib.suppress(Exception):
            write_report(record.folder)
            record.update()
    if isinstance(error, Stopped) and not error.reported:
        error.reported = True
        text = describe_interruption(record, error.signum)
        log.info("%s", text, extra={"verbatim": True})


def _status_and_reason(error: BaseException, ranks: int) -> tuple[str, str]:
    """Return the status and the reason of a run that `error` ended."""
    if isinstance(error, SystemExit) and isinstance(error.code, int) and error.code > 128:
        return "interrupted", signal.Signals(error.code - 128).name
    if isinstance(error, SummexpError):
        return "failed", str(error)
    if has_lost_peer(error, ranks):
        return (
            "failed",
            "another rank failed; see its error",
        )
    return "failed", f"{type(error).__name__}: {error}"

"""Status of a run that ends early: in `run.json`, the report and the log.

Tested in tests/integration/test_interruption.py, tests/integration/test_storage.py.
"""

from __future__ import annotations

import contextlib
import logging
import signal

from summexp.distributed.failures import has_lost_peer
from summexp.distributed.signals import Stopped
from summexp.errors import SummexpError
from summexp.run_folder.record_file import read_record
from summexp.run_folder.storage_errors import discard_incomplete_checkpoints
from summexp.runs.interruption import describe_interruption
from summexp.runs.record import RunRecord

log = logging.getLogger(__name__)


def record_end(record: RunRecord, error: BaseException, ranks: int) -> None:
    """Record the status of a run that ends early.

    Args:
        record: the record of the run.
        error: the error that ended the run.
        ranks: the number of ranks.

    Raises:
        Stopped: a signal has arrived meanwhile; it is recorded first.
    """
    try:
        _record_end(record, error, ranks)
    except Stopped as stopped:
        # A second signal, or one delayed by compiled code.
        _record_end(record, stopped, ranks)
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
            # Imported late: it imports numpy.
            from summexp.reports.report import write_report

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
        return "failed", "another rank failed; see its error"
    return "failed", f"{type(error).__name__}: {error}"

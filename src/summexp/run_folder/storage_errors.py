"""Storage errors of a run: full disk, quota, file size limit, read-only file system.

Tested in tests/integration/test_storage.py.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from summexp.errors import RunError, SummexpError
from summexp.paths import display_path
from summexp.run_folder.checkpoints import checkpoints, has_manifest
from summexp.run_folder.deletion import delete
from summexp.run_folder.layout import is_own_checkpoint
from summexp.run_folder.record_file import read_record
from summexp.storage import ADVICE, error_chain, storage_failure

RESERVE_FILE = ".summexp.reserve"
"""Reserved disk space, released at the end so that `run.json` can be written to a full disk."""
_RESERVE_BYTES = 512 * 1024


class StorageError(RunError):
    """A file of a run could not be written; the message names the checkpoint and how to resume."""

    def __init__(self, what: str, folder: Path, number: int | None) -> None:
        """Format the message.

        Args:
            what: the file or the step that failed.
            folder: the run folder.
            number: error number of the system, if known.
        """
        number = number or _likely_reason(folder)
        where, kept = display_path(folder), _kept(folder)
        resumes = "starts from the beginning" if kept is None else "resumes from there"
        super().__init__(
            f"cannot write {what} to {where}: {os.strerror(number)}; "
            f"{'no checkpoint was saved yet' if kept is None else f'{kept} is complete'}: "
            f"{ADVICE[number]}, and the same command with output_dir={where} {resumes}"
        )


@contextmanager
def storage_errors(folder: Path, what: str | None = None) -> Iterator[None]:
    """Turn a failed write of the block into a `StorageError`.

    Args:
        folder: the run folder.
        what: name of what the block writes; by default the file named by the error.

    Raises:
        StorageError: a write failed; the first failure, if there were several.
    """
    try:
        yield
    except Exception as error:
        # Cleaning up on a full disk fails again, and hides the first failure.
        first = next((one for one in error_chain(error) if isinstance(one, StorageError)), None)
        if first is not None and first is not error:
            raise first from None
        failure = None if isinstance(error, SummexpError) else storage_failure(error)
        if failure is None:
            raise
        number, file = failure
        named = Path(file).name.lstrip(".") if file else "a file"
        raise StorageError(what or named, folder, number) from error


def reserve(folder: Path) -> None:
    """Reserve disk space, for `release` to free; on a full disk do nothing."""
    with suppress(OSError):
        # A compressing file system would store zeros without using space.
        (folder / RESERVE_FILE).write_bytes(secrets.token_bytes(_RESERVE_BYTES))


def release(folder: Path) -> None:
    """Free the space reserved by `reserve`."""
    with suppress(OSError):
        (folder / RESERVE_FILE).unlink(missing_ok=True)


def discard_incomplete_checkpoints(folder: Path) -> None:
    """Delete the incomplete checkpoints of a failed run, whose space its record may need."""
    for checkpoint in checkpoints(folder):
        if is_own_checkpoint(checkpoint) and not has_manifest(checkpoint):
            with suppress(OSError):
                delete(checkpoint)


def _likely_reason(folder: Path) -> int:
    """Return the probable error number of a write for which a library gives none."""
    if sys.platform != "win32":
        import resource

        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        with suppress(OSError):
            if largest != resource.RLIM_INFINITY and largest < shutil.disk_usage(folder).free:
                return errno.EFBIG
    return errno.ENOSPC


def _kept(folder: Path) -> str | None:
    """Return the name of the trained model or last complete checkpoint of a run, or None."""
    record = read_record(folder) or {}
    if "train" in record.get("phases", {}):
        return "the trained model"
    return next((one.name for one in checkpoints(folder) if has_manifest(one)), None)

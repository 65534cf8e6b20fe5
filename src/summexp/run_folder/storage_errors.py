"""Files that cannot be written: a full disk, a quota, a limit, a file system gone read-only.

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
"""Room on the disk that is given back when it is full, so that `run.json` can record it."""
_RESERVE_BYTES = 512 * 1024


class StorageError(RunError):
    """A file of a run could not be written; names what is kept and how to resume."""

    def __init__(self, what: str, folder: Path, number: int | None) -> None:
        """Take what was written, the run folder, and the system's error number if it is known."""
        number = number or _likely_reason(folder)
        where, kept = display_path(folder), _kept(folder)
        resumes = "starts from the beginning" if kept is None else "resumes from there"
        super().__init__(
            f"{what} could not be written to {where}: {os.strerror(number)}; "
            f"{'no checkpoint was saved yet' if kept is None else f'{kept} is kept'}: "
            f"{ADVICE[number]}, and the same command with output_dir={where} {resumes}"
        )


@contextmanager
def storage_errors(folder: Path, what: str | None = None) -> Iterator[None]:
    """Turn a failed write of the block into a `StorageError`.

    Args:
        folder: the run folder.
        what: what the block writes; the file that the error names where not given.

    Raises:
        StorageError: the first one that was raised, if the block met several.
    """
    try:
        yield
    except Exception as error:
        # What is tidied up on a full disk fails again, and hides the first failure.
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
    """Take the room that `release` gives back; a disk without it is full already."""
    with suppress(OSError):
        # Zeros would be stored as nothing by a file system that compresses.
        (folder / RESERVE_FILE).write_bytes(secrets.token_bytes(_RESERVE_BYTES))


def release(folder: Path) -> None:
    """Give back what `reserve` took."""
    with suppress(OSError):
        (folder / RESERVE_FILE).unlink(missing_ok=True)


def discard_incomplete_checkpoints(folder: Path) -> None:
    """Delete the checkpoints that a run was writing when it failed.

    Nothing resumes from them, and the record of the failure may need their room.
    """
    for checkpoint in checkpoints(folder):
        if is_own_checkpoint(checkpoint) and not has_manifest(checkpoint):
            with suppress(OSError):
                delete(checkpoint)


def _likely_reason(folder: Path) -> int:
    """Return the error number of a write for which a library gives none."""
    if sys.platform != "win32":
        import resource

        largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        with suppress(OSError):
            if largest != resource.RLIM_INFINITY and largest < shutil.disk_usage(folder).free:
                return errno.EFBIG
    return errno.ENOSPC


def _kept(folder: Path) -> str | None:
    """Return what of a run's training is whole, or None if nothing is."""
    record = read_record(folder) or {}
    if "train" in record.get("phases", {}):
        return "the trained model"
    return next((one.name for one in checkpoints(folder) if has_manifest(one)), None)

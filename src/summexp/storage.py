"""Detection of storage failures in errors of the system and of libraries.

Tested in tests/integration/test_storage.py.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
    errno.EROFS: "make the file system writable",
}
"""Error number of a write to advice."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""Error number in messages of libraries in Rust (safetensors, tokenizers)."""
_CUT_SHORT = re.compile(
    r"PytorchStreamWriter|unexpected pos \d+ vs \d+|basic_ios::clear|\d+ requested and \d+ written"
    r"|Not enough disk space"
)
"""Messages of torch, numpy and datasets for a failed write without an error number."""


def storage_failure(error: BaseException) -> tuple[int | None, str | None] | None:
    """Return the storage failure behind an error, or None for any other error.

    Returns:
        Error number and file, each None if unknown.
    """
    for one in error_chain(error):
        number, file = _errno(one), getattr(one, "filename", None)
        if number in ADVICE:
            return number, None if file is None else str(file)
        if isinstance(one, RuntimeError | OSError) and _CUT_SHORT.search(str(one)):
            return None, None
    return None


@contextmanager
def quiet_writer_threads() -> Iterator[None]:
    """Do not print storage failures of background writer threads, which their owners raise."""
    shown = threading.excepthook

    def show(arguments: threading.ExceptHookArgs, /) -> None:
        if arguments.exc_value is None or storage_failure(arguments.exc_value) is None:
            shown(arguments)

    threading.excepthook = show
    try:
        yield
    finally:
        threading.excepthook = shown


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes and contexts."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    quoted = _OS_ERROR.search(str(error))
    return int(quoted[1]) if quoted else None

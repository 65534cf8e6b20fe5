"""Recognizes errors of the system and the libraries that mean a full disk.

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
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EROFS: "make the file system writable",
}
"""Error number of a write to what helps."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust (safetensors, tokenizers) quote the system."""
_CUT_SHORT = re.compile(
    r"PytorchStreamWriter|unexpected pos \d+ vs \d+|basic_ios::clear|\d+ requested and \d+ written"
    r"|Not enough disk space"
)
"""Messages of torch, numpy and datasets for a failed write without an error number."""


def storage_failure(error: BaseException) -> tuple[int | None, str | None] | None:
    """Return what kept `error`'s library from writing, or None where it is about something else.

    Returns:
        The system's error number and the file, each None where the library gives none.
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
    """Keep a thread that writes in the background from printing a failure that its owner raises."""
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
    """Yield an error, then what it was raised from or in the handling of."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    quoted = _OS_ERROR.search(str(error))
    return int(quoted[1]) if quoted else None

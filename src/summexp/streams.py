"""Robust standard streams and log files: a lost reader or a full disk does not stop a run.

`train.py | head`, a dead log collector, a closed terminal and a full disk make every later write
fail. The output is a copy of what the run folder holds, so the run continues without it.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

from summexp.errors import EXIT_FAILED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READER_GONE = (errno.EPIPE, errno.ECONNRESET)
_STANDARD = 3


class LossyFileIO(io.FileIO):
    """A file whose failed writes are dropped instead of raised."""

    error: OSError | None = None
    """The last failure other than a lost reader, such as a full disk."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write `data`, or drop it; return its length in bytes."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _READER_GONE:
                self.error = error
            return memoryview(data).nbytes


class LossyFileHandler(logging.FileHandler):
    """A log file that drops lines on a full disk.

    `logging` would print a traceback for each line.
    """

    def _open(self) -> io.TextIOWrapper:
        raw = LossyFileIO(self.baseFilename, self.mode)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=self.encoding, errors=self.errors)


def guard_standard_streams() -> None:
    """Make `sys.stdout` and `sys.stderr` ignore failed writes, until the interpreter exits.

    A closed descriptor (`2>&-`) is opened on the null device; otherwise the next file would get its
    number, and the output of libraries. Replaced streams (by a program or a test) are not changed.
    """
    for descriptor in range(_STANDARD):
        _open_descriptor(descriptor)
    for name in ("stdout", "stderr"):
        given = getattr(sys, name)
        if given is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lossy(given, 1 if name == "stdout" else 2))


def show(text: str) -> int:
    """Print the output of a command, and return its exit code.

    A reader that stops early (`| head`) is no failure; a failed write, as to a full disk, is.
    """
    print(text, flush=True)
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, LossyFileIO) else None
    if error is None:
        return 0
    print(f"cannot write to standard output: {error.strerror}", file=sys.stderr)
    return EXIT_FAILED


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Log handler that writes messages above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        # If tqdm was not imported, there is no bar.
        tqdm = sys.modules.get("tqdm")
        if tqdm is None or not self.stream.isatty():
            super().emit(record)
            return
        with tqdm.tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class TerminalFormatter(logging.Formatter):
    """Log formatter that wraps messages to the terminal's width, except tracebacks.

    A message logged with `extra={"verbatim": True}`, such as a command to copy, is not wrapped.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the wrapped message."""
        message = super().formatMessage(record)
        return message if getattr(record, "verbatim", False) else fit(message, sys.stderr)


def print_error(text: str) -> None:
    """Print a message to standard error, wrapped if that is a terminal."""
    print(fit(text, sys.stderr), file=sys.stderr)


def fit(text: str, stream: TextIO) -> str:
    """Return `text` wrapped to the width of the terminal of `stream`, if it is one.

    Lines are only broken at spaces, with an indent of two, so that a long path or override can be
    copied.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, width))


def wrapped(line: str, width: int) -> list[str]:
    """Wrap a line at spaces to at most `width` terminal cells.

    >>> wrapped("  a message that is long", 14)
    ['  a message', '    that is', '    long']
    """
    if len(line) * 2 <= width:
        return [line]
    # Han and Hangul take two cells.
    from rich.cells import cell_len

    indent = line[: len(line) - len(line.lstrip(" "))]
    parts, part = [], ""
    for word in line.removeprefix(indent).split(" "):
        longer = f"{part} {word}" if part else f"{indent}{word}"
        if part and cell_len(longer) > width:
            parts.append(part)
            part = f"{indent}  {word}"
        else:
            part = longer
    return [*parts, part]


def _open_descriptor(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _lossy(given: TextIO | None, descriptor: int) -> io.TextIOWrapper:
    if given is not None:
        given.flush()
    raw = LossyFileIO(descriptor, "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=None if given is None else given.encoding,
        errors="backslashreplace" if given is None or descriptor == 2 else given.errors,
        line_buffering=descriptor == 2 or raw.isatty(),
    )

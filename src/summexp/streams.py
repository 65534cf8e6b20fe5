"""Standard output, standard error and log files whose reader or disk may go away.

`train.py | head`, a log collector that died, a closed terminal and a full disk make every later
write fail. What is printed is a copy of what the run folder holds, so a run goes on without it.
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
    """A file for text that may be lost: a write that fails drops its data and raises nothing."""

    error: OSError | None = None
    """The last failure that is not the reader's end, such as a full disk."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write `data`, or drop it; return its length in bytes."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _READER_GONE:
                self.error = error
            return memoryview(data).nbytes


class LossyFileHandler(logging.FileHandler):
    """A log file of which a full disk takes lines, but not the run.

    `logging` itself would print a traceback for each line that it cannot write.
    """

    def _open(self) -> io.TextIOWrapper:
        raw = LossyFileIO(self.baseFilename, self.mode)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=self.encoding, errors=self.errors)


def guard_standard_streams() -> None:
    """Let `sys.stdout` and `sys.stderr` outlive their readers, to the interpreter's last flush.

    A descriptor that was closed at the start (`2>&-`) is opened on the null device, or the next
    file of the run would get its number and whatever a library prints there. Streams that a
    program or a test has put in place of the interpreter's own are left alone.
    """
    for descriptor in range(_STANDARD):
        _open_descriptor(descriptor)
    for name in ("stdout", "stderr"):
        given = getattr(sys, name)
        if given is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lossy(given, 1 if name == "stdout" else 2))


def show(text: str) -> int:
    """Print what a command produces, and return its exit code.

    A reader that needs no more of it (`| head`) changes nothing; where it could not be written,
    as to a full disk, the command has failed.
    """
    print(text, flush=True)
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, LossyFileIO) else None
    if error is None:
        return 0
    print(f"standard output could not be written: {error.strerror}", file=sys.stderr)
    return EXIT_FAILED


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Writes to a terminal above its progress bars, which would have the message behind them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        # Slow to import; where nothing has, there is no bar.
        tqdm = sys.modules.get("tqdm")
        if tqdm is None or not self.stream.isatty():
            super().emit(record)
            return
        with tqdm.tqdm.external_write_mode(file=self.stream):
            super().emit(record)


class TerminalFormatter(logging.Formatter):
    """Fits messages into the width of the terminal; a traceback is left as it is.

    So is a message that was logged with `extra={"verbatim": True}`, as one with a command to copy.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the message in lines that fit."""
        message = super().formatMessage(record)
        return message if getattr(record, "verbatim", False) else fit(message, sys.stderr)


def print_error(text: str) -> None:
    """Print a message to standard error, in lines that fit where that is a terminal."""
    print(fit(text, sys.stderr), file=sys.stderr)


def fit(text: str, stream: TextIO) -> str:
    """Return `text` in lines that fit into the terminal behind `stream`; as it is where none is.

    Lines are broken at spaces alone, and go on two further in, so that a path or an override that
    is longer than a line can still be copied.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(part for line in text.split("\n") for part in wrapped(line, width))


def wrapped(line: str, width: int) -> list[str]:
    """Return a line in parts of at most `width` terminal cells, each broken at a space.

    >>> wrapped("  a message that is long", 14)
    ['  a message', '    that is', '    long']
    """
    if len(line) * 2 <= width:
        return [line]
    # Measures Han and Hangul, which take two cells.
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

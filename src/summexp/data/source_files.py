"""Files of rows: inspected once from their start, then read in one pass.

A file is read lazily, except a `.json` file that is a single object around its rows.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TextIO

from summexp.data import csv_dialects, csv_rows, json_rows
from summexp.data.csv_rows import Dialect
from summexp.data.encoding import (
    SURE_ENCODINGS,
    decompressed,
    encoding_of,
    open_bytes,
    text_of,
)
from summexp.data.files import existing, new_digest, one_line, translated_errors
from summexp.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "tsv", "json", "jsonl", "parquet", "txt"]

_FORMAT_OF_ENDING: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "txt",
}
_KNOWN_ENDINGS = f"{', '.join(_FORMAT_OF_ENDING)}, each also with .gz"
_DELIMITERS = {"csv": ",", "tsv": "\t"}
_OF_JSON = ("json", "jsonl")
_HEAD_ROWS = 20
_HEAD_CHARACTERS = 1 << 16
_BUFFER_BYTES = 1 << 16
_PARQUET_ROWS = 500
_CLOCK_TICK = 0.02
"""Seconds; within a tick of the file system's clock, two changes have the same time."""
_EXCEL = "Save an Excel table as CSV UTF-8 (Save As). "

TEXT_COLUMN = "document"
"""Column name of the lines of a `.txt` file."""

State = tuple[int, int, int]
"""Inode, size and modification time in nanoseconds, which change when a file is replaced."""


class MisleadingStartError(Exception):
    """Encoding, dialect or columns of a file are not those of its start; `verified` finds them."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file of rows as inspected from its start."""

    path: str
    """Path as spelled on disk."""
    language: str | None
    """ISO 639-1 code that helped to detect the encoding."""
    state: State
    """State of the file when it was inspected."""
    format: Format
    """Format of the file."""
    encoding: str = "utf-8"
    """Encoding of a text file."""
    dialect: Dialect = field(default_factory=Dialect)
    """How a CSV file is written."""
    is_verified: bool = False
    """Whether encoding, dialect and columns are those of the whole file."""
    columns: tuple[str, ...] = ()
    """Column names in the file's order; for JSON that is not verified, those of its first rows."""
    sample: Mapping[str, str]
    """Column name to its first non-empty value, shortened to one line of 60 characters."""
    rows: tuple[dict[str, object], ...] = ()
    """The first 20 rows; empty if the inspection was handed on."""

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is still the inspected one."""
        try:
            return _state(os.stat(self.path)) == self.state
        except OSError:
            return False

    def check(self) -> None:
        """Check that the file is still the inspected one.

        Raises:
            ConfigError: it has changed.
        """
        if not self.is_unchanged:
            raise self.changed()

    def changed(self) -> ConfigError:
        """Return the error of a file that is not the inspected one any more."""
        return ConfigError.of(
            what=f"{self.path} changed while it was being read",
            hint="Run the same command again when the file is complete.",
        )

    @property
    def is_guessed(self) -> bool:
        """Whether the encoding is a guess from the start of the file."""
        return not self.is_verified and self.encoding not in SURE_ENCODINGS

    @property
    def needs_all_records(self) -> bool:
        """Whether only all records together show the dialect or the columns."""
        return not self.is_verified and (self.format in _DELIMITERS or self.may_have_more_columns)

    @property
    def may_have_more_columns(self) -> bool:
        """Whether rows after the first ones may have other columns."""
        return not self.is_verified and self.format in _OF_JSON

    def remarks(self) -> Iterator[str]:
        """Yield what is unusual in encoding and dialect."""
        if self.encoding not in SURE_ENCODINGS or self.encoding.startswith("iso2022"):
            yield f"{self.path}: not UTF-8, reading it as {self.encoding}"
        if (expected := _DELIMITERS.get(self.format)) is not None:
            for remark in self.dialect.remarks(expected):
                yield f"{self.path}: {remark}"


@dataclass(frozen=True)
class Inspections:
    """Inspected files. Each is inspected once, and again if it has changed."""

    files: dict[tuple[str, str | None], SourceFile] = field(default_factory=dict)
    """Path and language to the inspected file."""

    def of(self, path: str | Path, *, language: str | None = None) -> SourceFile:
        """Return the inspected file.

        Raises:
            ConfigError: as `inspect`.
        """
        key = (str(existing(path)), language)
        known = self.files.get(key)
        if known is None or not known.is_unchanged:
            known = self.files[key] = inspect(path, language=language)
        return known

    def verified(self, file: SourceFile) -> SourceFile:
        """Return one of the files with what only all of it shows; see `verified`."""
        known = self.files[file.path, file.language] = verified(file)
        return known

    def without_rows(self) -> Inspections:
        """Return what other processes need."""
        return Inspections({key: replace(file, rows=()) for key, file in self.files.items()})

    def to_json(self) -> list[dict[str, Any]]:
        """Return the inspections as plain JSON, without rows."""
        return [asdict(file) for file in self.without_rows().files.values()]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> Inspections:
        """Return the inspections that `to_json` wrote."""
        files = [_from_json(one) for one in content]
        return cls({(file.path, file.language): file for file in files})


def _from_json(content: Mapping[str, Any]) -> SourceFile:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return SourceFile(**{**fields, "dialect": Dialect.of(content["dialect"])})


def inspect(path: str | Path, *, language: str | None = None, lines: bool = False) -> SourceFile:
    """Inspect a file from its start: format, encoding, separator, columns and first rows.

    Args:
        path: the file.
        language: ISO 639-1 code, which helps to detect an encoding other than UTF-8.
        lines: whether a file of text without a known extension has a text a line, and is no table.

    Raises:
        ConfigError: the file does not exist (with the nearest name), is a URL or a folder, cannot
            be read, has an unknown format, is empty, has no rows, or is invalid at its start.
    """
    found = existing(path)
    with translated_errors(found), found.open("rb") as file:
        state = _state_at_rest(file)
        stream = decompressed(file)
        file_format = _format_by_name(found) or _format_by_content(found, stream, lines=lines)
        known = SourceFile(
            path=str(found), language=language, state=state, format=file_format, sample={}
        )
        known = _with_dialect(known, stream, head_only=True)
        try:
            rows = _first_rows(known, stream)
        except csv_rows.MisleadingQuotesError:
            known = replace(_with_dialect(known, stream, head_only=False), is_verified=True)
            rows = _first_rows(known, stream)
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    sample = {name: _sample(row.get(name) for row in rows) for name in columns}
    return replace(known, columns=columns, sample=sample, rows=rows)


def _first_rows(file: SourceFile, stream: BinaryIO) -> tuple[dict[str, object], ...]:
    stream.seek(0)
    with _opened(file, stream, strict=False) as content:
        strict = file.format in _DELIMITERS
        return tuple(islice(_rows(file, content, None, strict=strict), _HEAD_ROWS))


def verified(file: SourceFile) -> SourceFile:
    """Return the file with encoding, dialect and columns of all of it, for which it is read.

    Raises:
        ConfigError: the encoding cannot be detected, or quotes may join rows.
    """
    if file.is_verified:
        return file
    path = Path(file.path)
    with translated_errors(path), open_bytes(path) as stream:
        known = replace(_with_dialect(file, stream, head_only=False), is_verified=True)
        return _with_all_columns(known, stream) if known.format in _OF_JSON else known


def _with_all_columns(file: SourceFile, stream: BinaryIO) -> SourceFile:
    """Return the file with the columns of all rows, each with its first value as a sample."""
    sample = dict.fromkeys(file.columns, "") | dict(file.sample)
    stream.seek(0)
    # An invalid row is a problem only where it is needed.
    with suppress(ConfigError), _opened(file, stream, strict=False) as content:
        for row in _rows(file, content, None, strict=False):
            for name, value in row.items():
                if not sample.get(name):
                    sample[name] = _sample(iter([value]))
    return replace(file, columns=tuple(sample), sample=sample)


def read_rows(
    file: SourceFile, *, columns: Sequence[str] | None = None
) -> Iterator[dict[str, object]]:
    """Yield the rows of a file in its order; see `RowReader`."""
    with RowReader(file, columns=columns) as reader:
        yield from reader


class RowReader:
    """One pass over a file: its rows, then the digest of all its bytes.

    Iterating yields the rows in their order, as column name to value.

    Raises:
        ConfigError: the file is not the inspected one, cannot be read, or is invalid; with the
            line, if known.
        MisleadingStartError: it is not as inspected; not raised for a verified file.
    """

    def __init__(self, file: SourceFile, *, columns: Sequence[str] | None = None) -> None:
        """Prepare the pass.

        Args:
            file: the inspected file.
            columns: the needed columns; other columns of a Parquet file are not read.
        """
        self.file = file
        self._path = Path(file.path)
        self._columns = columns

    def __enter__(self) -> RowReader:
        """Open the file."""
        with ExitStack() as stack, translated_errors(self._path):
            raw = stack.enter_context(self._path.open("rb", buffering=0))
            if _state(os.fstat(raw.fileno())) != self.file.state:
                raise self.file.changed()
            # Parquet is not read in the order of its bytes.
            self._digested = None if self.file.format == "parquet" else _Digested(raw)
            self._bytes = io.BufferedReader(self._digested or raw, _BUFFER_BYTES)
            stream = decompressed(self._bytes)
            self._content = stack.enter_context(_opened(self.file, stream, strict=True))
            self._rows = _rows(self.file, self._content, self._columns, strict=True)
            stack.callback(self._rows.close)
            self._raw, self._open = raw, stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._open.close()

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Yield the rows, or those that are left."""
        with self._reading():
            # Without the islice, a loop that ends early would end the rows.
            yield from islice(self._rows, None)

    def digest(self) -> str:
        """Read the rest of the file, and return the digest of its bytes, 32 hexadecimal digits.

        Raises:
            MisleadingStartError: as for the rows.
        """
        with self._reading():
            if self._digested is None:
                self._raw.seek(0)
                return hashlib.file_digest(self._raw, new_digest).hexdigest()
            if self.file.needs_all_records:
                # An invalid record after the last needed one is no problem.
                with suppress(ConfigError):
                    deque(self._rows, maxlen=0)
            while not self.file.is_verified and self._content.read(_BUFFER_BYTES):
                pass
            while self._bytes.read(_BUFFER_BYTES):
                pass
        return self._digested.hash.hexdigest()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with translated_errors(self._path):
            try:
                yield
            except (UnicodeDecodeError, csv_rows.MisleadingQuotesError):
                if self.file.is_verified:
                    raise
                raise MisleadingStartError from None


class _Digested(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.hash = new_digest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        self.hash.update(memoryview(buffer)[:count])
        return count


def parquet_table(file: SourceFile) -> pa.Table:
    """Return a Parquet file with all its columns.

    Raises:
        ConfigError: the file cannot be read or is invalid.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(file.path)
    with translated_errors(path), open_bytes(path) as stream:
        try:
            return pq.read_table(stream)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _invalid_parquet(file, error) from None


def _state_at_rest(file: BinaryIO) -> State:
    """Return the state of an open file; a later change gives it another one."""
    found = os.fstat(file.fileno())
    age = time.time() - found.st_ctime
    if 0 <= age < _CLOCK_TICK:
        time.sleep(_CLOCK_TICK)
    return _state(os.fstat(file.fileno()))


def _state(found: os.stat_result) -> State:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sample(values: Iterator[object]) -> str:
    return next((one_line(value) for value in values if value not in (None, "")), "")


def _format_by_name(path: Path) -> Format | None:
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if endings and endings[-1] == ".gz":
        endings.pop()
    return _FORMAT_OF_ENDING.get(endings[-1]) if endings else None


def _format_by_content(path: Path, stream: BinaryIO, *, lines: bool) -> Format:
    stream.seek(0)
    head = stream.read(4)
    if not head:
        raise _empty(path)
    if head == b"PAR1":
        return "parquet"
    if not head.startswith(b"PK"):  # a zip archive, such as an Excel file
        encoding = encoding_of(stream, str(path), head_only=True)
        stream.seek(0)
        with text_of(stream, encoding, strict=False) as text:
            beginning = text.read(_HEAD_CHARACTERS)
        if beginning.lstrip()[:1] in ("{", "["):
            return "json"
        if lines:
            return "txt"
        first_line = beginning.partition("\n")[0]
        if "\t" in first_line:
            return "tsv"
        if "," in first_line or ";" in first_line:
            return "csv"
    advice = _EXCEL if head.startswith(b"PK") else ""
    raise ConfigError.of(
        what=f"unknown format of {path}",
        hint=f"{advice}Supported extensions: {_KNOWN_ENDINGS}.",
    )


def _with_dialect(file: SourceFile, stream: BinaryIO, *, head_only: bool) -> SourceFile:
    """Return the file with its encoding and dialect, detected in the stream."""
    if file.format == "parquet":
        return replace(file, is_verified=True)
    stream.seek(0)
    if not stream.read(1):
        raise _empty(file.path)
    encoding = encoding_of(stream, file.path, language=file.language, head_only=head_only)
    file = replace(file, encoding=encoding)
    expected = _DELIMITERS.get(file.format)
    if expected is None:
        return file
    stream.seek(0)
    with text_of(stream, encoding, strict=not head_only) as text:
        dialect = csv_dialects.start_dialect(text, file.path, expected)
        if not head_only:
            dialect = csv_dialects.dialect_of(text, file.path, dialect)
    return replace(file, dialect=dialect)


@contextmanager
def _opened(file: SourceFile, stream: BinaryIO, *, strict: bool) -> Iterator[BinaryIO | TextIO]:
    """Yield the content of a file, decoded unless it is Parquet."""
    if file.format == "parquet":
        yield stream
        return
    with text_of(stream, file.encoding, strict=strict) as text:
        yield text


def _rows(
    file: SourceFile, content: Any, columns: Sequence[str] | None, *, strict: bool
) -> Generator[dict[str, object]]:
    """Yield the rows of what `_opened` yields; `strict` to verify that it is as inspected."""
    is_table = file.format in _DELIMITERS
    if is_table:
        strict = strict and file.needs_all_records
        rows = csv_rows.rows(content, file.path, file.dialect, strict=strict)
    elif file.format == "parquet":
        rows = _parquet_rows(file, content, columns)
    elif file.format == "txt":
        rows = ({TEXT_COLUMN: line.rstrip("\r\n")} for line in content)
    else:
        rows = json_rows.rows(content, file.path, wrapped=file.format == "json")
    is_empty = True
    known = set(file.columns)
    has_all_columns = not (strict and file.may_have_more_columns)
    for row in rows:
        is_empty = False
        if not has_all_columns and not known.issuperset(row):
            raise MisleadingStartError
        yield row
    if is_empty:
        what = "has a header but no rows" if is_table else "holds no rows"
        raise ConfigError(f"{file.path} {what}")


def _parquet_rows(
    file: SourceFile, stream: BinaryIO, columns: Sequence[str] | None
) -> Iterator[dict[str, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream.seek(0)
    try:
        # Without a buffer, all of a column would be read for its first rows.
        table = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        names = columns and list(columns)
        for batch in table.iter_batches(batch_size=_PARQUET_ROWS, columns=names):
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _invalid_parquet(file, error) from None


def _invalid_parquet(file: SourceFile, error: Exception) -> ConfigError:
    return ConfigError(f"{file.path} is not a valid Parquet file: {error}")


def _empty(path: str | Path) -> ConfigError:
    return ConfigError(f"{path} is empty (zero bytes)")

"""Files of rows: format, columns, rows and digest.

Files are read lazily, except a `.json` file that is a single object around its rows. Errors name
the file and the line, but not the config key, which `errors_at` adds.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO
from unicodedata import normalize

from summexp.data import csv_rows, json_rows
from summexp.data.encoding import encoding_of, open_bytes, open_text
from summexp.errors import ConfigError, Problem, nearest_path
from summexp.paths import at_home

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
_HEAD_ROWS = 20
_SAMPLE_LENGTH = 60

TEXT_COLUMN = "document"
"""Column name of the lines of a `.txt` file."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The head of a file."""

    format: Format
    """Format of the file."""
    columns: tuple[str, ...]
    """Column names in the file's order; for JSON, the names in its first 20 rows."""
    sample: dict[str, str]
    """Column name to its first non-empty value, shortened to one line of 60 characters."""
    rows: tuple[dict[str, object], ...]
    """The first 20 rows."""


@contextmanager
def errors_at(key: str) -> Iterator[None]:
    """Add the config key to every problem raised in the block without one."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            problem if problem.key else replace(problem, key=key) for problem in error.problems
        ) from error.__cause__


def format_of(path: str | Path) -> Format:
    """Return a file's format, by its extension or else by its content.

    Raises:
        ConfigError: the file does not exist (with the nearest name), is a URL or a folder, cannot
            be read, or has an unknown format.
    """
    path = existing(path)
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if endings and endings[-1] == ".gz":
        endings.pop()
    if endings and endings[-1] in _FORMAT_OF_ENDING:
        return _FORMAT_OF_ENDING[endings[-1]]
    with _translated_errors(path):
        return _format_by_content(path)


def head_of(path: str | Path, *, language: str | None = None) -> Head:
    """Read the columns of a file and a sample value of each.

    Raises:
        ConfigError: as `format_of`; or the file is empty, has no rows, or is invalid at its start.
    """
    rows = tuple(islice(read_rows(path, language=language, head_only=True), _HEAD_ROWS))
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    sample = {name: _sample(row.get(name) for row in rows) for name in columns}
    return Head(format=format_of(path), columns=columns, sample=sample, rows=rows)


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    language: str | None = None,
    head_only: bool = False,
) -> Iterator[dict[str, object]]:
    """Yield the rows of a file in its order, as column name to value.

    Args:
        path: the file.
        columns: the needed columns; other columns of a Parquet file are not read.
        language: ISO 639-1 code, which helps to detect an encoding other than UTF-8.
        head_only: whether only the first rows are needed; the encoding is detected from the start.

    Raises:
        ConfigError: the file cannot be read, is empty or is invalid; with the line, if known.
    """
    path = existing(path)
    file_format = format_of(path)
    with _translated_errors(path):
        if file_format == "parquet":
            rows = _parquet_rows(path, columns)
        else:
            rows = _text_rows(path, file_format, language, head_only=head_only)
        is_empty = True
        for row in rows:
            is_empty = False
            yield row
        if is_empty:
            what = "has a header but no rows" if file_format in ("csv", "tsv") else "holds no rows"
            raise ConfigError(f"{path} {what}")


def parquet_table(path: str | Path) -> pa.Table:
    """Return a Parquet file with all its columns.

    Raises:
        ConfigError: the file cannot be read or is invalid.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = existing(path)
    with _translated_errors(path), open_bytes(path) as stream:
        try:
            return pq.read_table(stream)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConfigError(f"{path} is not a valid Parquet file: {error}") from None


def digest(path: str | Path) -> str:
    """Return the digest of a file's bytes, 32 hexadecimal digits."""
    path = existing(path)
    with _translated_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def folder_digest(folder: Path, patterns: Sequence[str] = ("**/*",)) -> str:
    """Return the digest of files in a folder, names and bytes, 32 hexadecimal digits.

    Args:
        folder: the folder.
        patterns: glob patterns of the files. Hidden files, and the cache files of `datasets`, are
            ignored.
    """
    files = {path for one in patterns for path in folder.glob(one) if path.is_file()}
    total = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        name = path.relative_to(folder)
        if not name.match("cache-*.arrow") and not any(one.startswith(".") for one in name.parts):
            total.update(f"{name.as_posix()}\0{digest(path)}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def one_line(value: object, length: int = _SAMPLE_LENGTH) -> str:
    """Return a value as one line of at most `length` characters."""
    text = " ".join(str(value)[: length * 4].split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _sample(values: Iterator[object]) -> str:
    return next((one_line(value) for value in values if value not in (None, "")), "")


def existing(path: str | Path) -> Path:
    """Return the path of a file as spelled on disk, with `~` expanded.

    Raises:
        ConfigError: it does not exist (with the nearest name), is a URL or a folder, or its folder
            cannot be read.
    """
    if "://" in str(path):
        raise ConfigError(
            Problem(
                what=f"{path} is a URL; only local files are supported",
                hint="Download it first, or set data.name to a Hub repository.",
            )
        )
    with _translated_errors(Path(path)):
        found = _as_on_disk(Path(at_home(str(path))))
        if found.is_dir():
            hint = f"Set data.name={path} instead."
            raise ConfigError(Problem(what=f"{path} is a folder, not a file", hint=hint))
        if not found.exists():
            near = _whereabouts(str(path), found.parent)
            raise ConfigError(Problem(what=f"there is no file {path}", hint=near))
        if not found.is_file():
            what = f"{path} is a pipe or a device, and files are read several times"
            raise ConfigError(Problem(what=what, hint="Write its content to a file first."))
    return found


def _as_on_disk(path: Path) -> Path:
    """Return the path with the disk's Unicode composition of names, which differs on a Mac."""
    if path.exists() or path.parent == path:
        return path
    parent = _as_on_disk(path.parent)
    name = normalize("NFC", path.name)
    entries = parent.iterdir() if parent.is_dir() else ()
    alike = (entry for entry in entries if normalize("NFC", entry.name) == name)
    return next(alike, path)


def _whereabouts(path: str, folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder} either (from {Path.cwd()})."
    return nearest_path(path, folder, os.path.isfile) or f"Looked in {folder.resolve()}."


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into `ConfigError`s."""
    try:
        yield
    except UnicodeDecodeError as error:
        what = f"cannot read {path} as {error.encoding}: {error.reason}"
        raise ConfigError(Problem(what=what, hint="Save it as UTF-8.")) from None
    except (EOFError, zlib.error):
        raise ConfigError(f"{path} is truncated or corrupt: incomplete gzip data") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None


_EXCEL = "Save an Excel table as CSV UTF-8 (Save As). "


def _format_by_content(path: Path) -> Format:
    with open_bytes(path) as stream:
        head = stream.read(4)
    if not head:
        raise ConfigError(f"{path} is empty (zero bytes)")
    if head == b"PAR1":
        return "parquet"
    if not head.startswith(b"PK"):  # a zip archive, such as an Excel file
        with open_text(path, encoding_of(path, head_only=True), strict=False) as text:
            beginning = text.read(1 << 16)
        if beginning.lstrip()[:1] in ("{", "["):
            return "json"
        first_line = beginning.partition("\n")[0]
        if "\t" in first_line:
            return "tsv"
        if "," in first_line or ";" in first_line:
            return "csv"
    advice = _EXCEL if head.startswith(b"PK") else ""
    raise ConfigError(
        Problem(
            what=f"unknown format of {path}",
            hint=f"{advice}Supported extensions: {_KNOWN_ENDINGS}.",
        )
    )


def _text_rows(
    path: Path, file_format: Format, language: str | None, *, head_only: bool
) -> Iterator[dict[str, object]]:
    with open_bytes(path) as stream:
        if not stream.read(1):
            raise ConfigError(f"{path} is empty (zero bytes)")

    encoding = encoding_of(path, language=language, head_only=head_only)

    def open_stream() -> TextIO:
        return open_text(path, encoding, strict=not head_only)

    if file_format in ("csv", "tsv"):
        delimiter = "\t" if file_format == "tsv" else ","
        yield from csv_rows.rows(open_stream, str(path), delimiter, head_only=head_only)
        return
    with open_stream() as text:
        if file_format == "txt":
            for line in text:
                yield {TEXT_COLUMN: line.rstrip("\r\n")}
        else:
            yield from json_rows.rows(text, str(path), wrapped=file_format == "json")


def _parquet_rows(path: Path, columns: Sequence[str] | None) -> Iterator[dict[str, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_bytes(path) as stream:
        try:
            file = pq.ParquetFile(stream)
            for batch in file.iter_batches(batch_size=1000, columns=columns and list(columns)):
                yield from batch.to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConfigError(f"{path} is not a valid Parquet file: {error}") from None

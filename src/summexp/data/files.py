"""Files of rows: which format a file has, its columns, its rows one by one, and its digest.

Nothing here holds a whole file in memory, except a `.json` file that is a single object around its
rows. Errors name the file and the line, but not the config key: `errors_at` adds it.
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
"""The name under which the lines of a `.txt` file are given."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The beginning of a file."""

    format: Format
    """How the file is written."""
    columns: tuple[str, ...]
    """Column names in the file's order; of a JSON file, the names in its first 20 rows."""
    sample: dict[str, str]
    """Column name to the first value that is not empty, shortened to one line of 60 characters."""
    rows: tuple[dict[str, object], ...]
    """The first 20 rows."""


@contextmanager
def errors_at(key: str) -> Iterator[None]:
    """Put the config key on every problem raised inside that names none."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            problem if problem.key else replace(problem, key=key) for problem in error.problems
        ) from error.__cause__


def format_of(path: str | Path) -> Format:
    """Return a file's format, by its ending or else by its content.

    Raises:
        ConfigError: The file does not exist (with the nearest name beside it), is a web address or
            a folder, cannot be read, or holds nothing that is known.
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
    """Read the columns of a file and a sample of each from its first rows.

    Raises:
        ConfigError: As `format_of`; the file is empty, has no rows, or is broken at its beginning.
    """
    rows = tuple(islice(read_rows(path, language=language, head_only=True), _HEAD_ROWS))
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    sample = {name: _sample(row.get(name) for row in rows) for name in columns}
    return Head(format=format_of(path), columns=columns, sample=sample, rows=rows)


def columns_of(path: str | Path) -> list[str]:
    """Return the column names of a file, reading only its beginning."""
    return list(head_of(path).columns)


def sample_of(path: str | Path) -> dict[str, str]:
    """Return each column's first value, shortened, reading only the file's beginning."""
    return head_of(path).sample


def read_rows(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    language: str | None = None,
    head_only: bool = False,
) -> Iterator[dict[str, object]]:
    """Yield the rows of a file in its order, as column name to value.

    Args:
        path: The file.
        columns: What the caller needs; a hint that spares the reading of other Parquet columns.
        language: ISO 639-1 code, which helps to tell an encoding other than UTF-8.
        head_only: Only the first rows will be taken: the encoding is detected from the beginning.

    Raises:
        ConfigError: The file cannot be read, is empty, or is broken; with the line, if it has any.
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
        ConfigError: The file cannot be read, or is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = existing(path)
    with _translated_errors(path), open_bytes(path) as stream:
        try:
            return pq.read_table(stream)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ConfigError(f"{path} is not a Parquet file, or damaged: {error}") from None


def digest(path: str | Path) -> str:
    """Return 32 hexadecimal digits that stand for the file's bytes."""
    path = existing(path)
    with _translated_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def folder_digest(folder: Path, patterns: Sequence[str] = ("**/*",)) -> str:
    """Return 32 hexadecimal digits that stand for files in a folder, their names and bytes.

    Args:
        folder: The folder.
        patterns: Of the files that count, as `Path.glob` takes them. Hidden files, and what
            `datasets` keeps of its own work beside a dataset, never do.
    """
    files = {path for one in patterns for path in folder.glob(one) if path.is_file()}
    whole = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        name = path.relative_to(folder)
        if not name.match("cache-*.arrow") and not any(one.startswith(".") for one in name.parts):
            whole.update(f"{name.as_posix()}\0{digest(path)}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def one_line(value: object, length: int = _SAMPLE_LENGTH) -> str:
    """Return a value as one line of at most `length` characters."""
    text = " ".join(str(value)[: length * 4].split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _sample(values: Iterator[object]) -> str:
    return next((one_line(value) for value in values if value not in (None, "")), "")


def existing(path: str | Path) -> Path:
    """Return where a file is: its path as it is on disk, `~` filled in.

    Raises:
        ConfigError: It does not exist (with the nearest name beside it), is a web address or a
            folder, or its own folder cannot be read.
    """
    if "://" in str(path):
        raise ConfigError(
            Problem(
                what=f"{path} is a web address; files are read from disk only",
                hint="Download it first, or name a Hub repository in data.name.",
            )
        )
    with _translated_errors(Path(path)):
        found = _as_on_disk(Path(at_home(str(path))))
        if found.is_dir():
            hint = f"Set data.name={path} in its place."
            raise ConfigError(Problem(what=f"{path} is a folder, not a file", hint=hint))
        if not found.exists():
            near = _whereabouts(str(path), found.parent)
            raise ConfigError(Problem(what=f"there is no file {path}", hint=near))
        if not found.is_file():
            what = f"{path} is a pipe or a device, and files are read more than once"
            raise ConfigError(Problem(what=what, hint="Write its content to a file first."))
    return found


def _as_on_disk(path: Path) -> Path:
    """Return the path with the disk's own spelling of names in decomposed letters, as of a Mac."""
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
    """Turn what the readers below raise about a file into a sentence about it."""
    try:
        yield
    except UnicodeDecodeError as error:
        what = f"{path} cannot be read as {error.encoding}: {error.reason}"
        raise ConfigError(Problem(what=what, hint="Save it as UTF-8.")) from None
    except (EOFError, zlib.error):
        raise ConfigError(f"{path} is cut off or damaged: its gzip data does not end") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None


_EXCEL = "Save a table of Excel as CSV UTF-8 (Save As). "


def _format_by_content(path: Path) -> Format:
    with open_bytes(path) as stream:
        head = stream.read(4)
    if not head:
        raise ConfigError(f"{path} is empty (zero bytes)")
    if head == b"PAR1":
        return "parquet"
    if not head.startswith(b"PK"):  # a zip file: Excel's and others'
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
            what=f"the format of {path} is not known",
            hint=f"{advice}The endings that are known: {_KNOWN_ENDINGS}.",
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
            raise ConfigError(f"{path} is not a Parquet file, or damaged: {error}") from None

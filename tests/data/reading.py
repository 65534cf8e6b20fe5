"""Rows of a file, read as a run reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from summexp.data import source_files
from summexp.data.files import digest
from summexp.data.source_files import (
    MisleadingStartError,
    RowReader,
    SourceFile,
    inspect,
    verified,
)

Rows = list[dict[str, object]]


def read_rows(
    path: str | Path, *, columns: Sequence[str] | None = None, language: str | None = None
) -> Iterator[dict[str, object]]:
    """Yield the rows of a file that is verified before."""
    yield from source_files.read_rows(verified(inspect(path, language=language)), columns=columns)


def read_once(path: str | Path, *, language: str | None = None) -> Rows:
    """Return the rows of a file, in one pass unless its start misleads."""
    file = inspect(path, language=language)
    file = verified(file) if file.is_guessed else file
    try:
        return _one_pass(file)
    except MisleadingStartError:
        return _one_pass(verified(file))


def _one_pass(file: SourceFile) -> Rows:
    with RowReader(file) as reader:
        rows = list(reader)
        assert reader.digest() == digest(file.path)
    return rows

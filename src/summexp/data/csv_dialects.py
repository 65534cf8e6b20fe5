"""Detection of the dialect of a CSV file: of the separator by its start, of quotes by all of it."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TextIO

from summexp.data.csv_rows import (
    DELIMITERS,
    Dialect,
    Tally,
    allow_huge_cells,
    has_row_numbers,
    rows,
)
from summexp.errors import ConfigError

_HEAD_LINES = 50
_HEAD_CHARACTERS = 1 << 16
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_SINGLE_QUOTES = re.compile(r"\s*'.*'\s*", re.DOTALL)
_HEADER_COMMENT = re.compile(r"#\w")


def start_dialect(stream: TextIO, name: str, expected: str) -> Dialect:
    """Return the dialect by the lines before and after the header; quotes enclose cells.

    Args:
        stream: the file, opened with `newline=""`, which can be rewound.
        name: name of the file in messages.
        expected: the separator of the file's extension.
    """
    allow_huge_cells()
    lines = list(_head(stream))
    skipped, stated, comments = 0, None, []
    for line in lines:
        found = _SEPARATOR_LINE.fullmatch(line.strip())
        # Strip nothing else: a tab may be the separator.
        found = found or _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
        if found:
            stated = found[1]
        elif line.startswith("#"):
            comments.append(line)
        elif line.strip():
            break
        skipped += 1
    header = lines[skipped : skipped + 1]
    if not header:  # nothing but comments: the last one is a header without rows
        return Dialect(delimiter=stated or expected)
    if comments and _is_header(comments[-1], header[0], stated):
        skipped -= 1
        comments.pop()
    is_cut = bool(stream.read(1))
    head = lines[skipped:]
    # The last line may be a part of a record.
    whole = head[:-1] if is_cut and len(head) > 1 else head
    delimiter = stated or _delimiter(whole, name, expected)
    notes = ["the line 'sep=' names the separator"] if stated else []
    notes += _unusual_cells(head, delimiter)
    return Dialect(
        delimiter=delimiter, skipped=skipped, comments=bool(comments), notes=tuple(notes)
    )


def _unusual_cells(head: list[str], delimiter: str) -> Iterator[str]:
    """Yield what is unusual in the header and the first record."""
    cells = csv.reader(head, delimiter=delimiter)
    names, record = next(cells, []), next((one for one in cells if one), [])
    if has_row_numbers(record, names):
        names = ["", *names]
    if unnamed := [number for number, cell in enumerate(names) if not cell.strip()]:
        listed = ", ".join(f"'Unnamed: {number}'" for number in unnamed)
        yield f"columns without a name are called {listed}"
    if len(record) > len(names) and not any(record[len(names) :]):
        yield "ignoring separators at the ends of lines"
    if record and all(_SINGLE_QUOTES.fullmatch(cell) for cell in record):
        yield "single quotes do not enclose cells, reading them literally"


def dialect_of(stream: TextIO, name: str, start: Dialect) -> Dialect:
    """Return the dialect in which all records of a file have the cells of its header.

    Args:
        stream: the file, opened with `newline=""`, which can be rewound.
        name: name of the file in messages.
        start: the dialect by the start of the file; also returned if no dialect fits, so that its
            reading names the line.

    Raises:
        ConfigError: quotes may join records.
    """
    found = _survey(stream, name, start)
    if found.fits:
        return _refined(stream, name, start, found.tally)
    escaped = _escaped(stream, start)
    for other in (escaped, replace(start, spaces=True)):
        found = _survey(stream, name, other)
        if found.fits and not found.tally.improper:
            found.tally.check(name)
            return _with_joined(other, found.tally)
    if _are_text(stream, start):
        for other in (start, escaped):
            literal = replace(other, quotes=False)
            if _survey(stream, name, literal).fits:
                return literal
    return start


@dataclass(frozen=True)
class _Survey:
    fits: bool
    tally: Tally


def _survey(stream: TextIO, name: str, dialect: Dialect) -> _Survey:
    """Read all records."""
    stream.seek(0)
    return _surveyed(stream, name, dialect)


def _surveyed(lines: Iterable[str], name: str, dialect: Dialect) -> _Survey:
    tally = Tally(dialect=dialect)
    try:
        for _ in rows(lines, name, dialect, tally=tally):
            pass
    except ConfigError:
        return _Survey(False, tally)
    return _Survey(True, tally)


def _refined(stream: TextIO, name: str, dialect: Dialect, tally: Tally) -> Dialect:
    """Return the dialect of a file whose quotes may enclose cells, from what its records show."""
    tally.check(name)
    if tally.spaced:
        other = replace(dialect, spaces=True)
        found = _survey(stream, name, other)
        if found.fits and not found.tally.spaced:
            found.tally.check(name)
            return _with_joined(other, found.tally)
    if tally.escaped:
        # Tabs need no quotes, so that quotes without others may be text there.
        if tally.improper and (dialect.delimiter != "\t" or tally.escaped < tally.quotes):
            other = _escaped(stream, dialect)
            found = _survey(stream, name, other)
            if found.fits and not found.tally.improper:
                found.tally.check(name)
                return _with_joined(other, found.tally)
        note = "reading a backslash before a quote literally"
        dialect = replace(dialect, notes=(*dialect.notes, note))
    return _with_joined(dialect, tally)


def _with_joined(dialect: Dialect, tally: Tally) -> Dialect:
    if not tally.joined:
        return dialect
    note = f"reading {tally.joined_lines()} as one row each, by their quotes"
    return replace(dialect, notes=(*dialect.notes, note))


def _escaped(stream: TextIO, dialect: Dialect) -> Dialect:
    r"""Return the dialect with backslashes that escape.

    If some precede what needs no escape, as in `C:\dir`, those are text.
    """
    stream.seek(0)
    delimiter = re.escape(dialect.delimiter)
    of_text = re.compile(rf'(?<!\\)(?:\\\\)*\\(?!\\|"|\r|\n|{delimiter})')
    if any(of_text.search(line) for line in stream):
        return replace(dialect, escapes="quotes")
    return replace(dialect, escapes="all")


def _are_text(stream: TextIO, dialect: Dialect) -> bool:
    """Return whether quotes are text, in a file each of whose lines has the cells of its header."""
    stream.seek(0)
    lines = itertools.islice(stream, dialect.skipped, None)
    enclosed = opened = 0
    for number, line in enumerate(lines):
        if '"' not in line:
            continue
        cells = line.rstrip("\r\n").split(dialect.delimiter)
        if len(cells) == 1 and line.count('"') % 2:
            return False  # a single column has no separators that would tell lines from records
        for cell in cells:
            if not cell.startswith('"'):
                continue
            is_enclosed = len(cell) > 1 and cell.endswith('"')
            if is_enclosed and (number == 0 or '""' in cell[1:-1]):
                return False
            enclosed += is_enclosed
            opened += not is_enclosed
    return enclosed <= opened or dialect.delimiter == "\t"


def _head(stream: TextIO) -> Iterator[str]:
    """Yield the first lines."""
    left = _HEAD_CHARACTERS
    for line in itertools.islice(stream, _HEAD_LINES):
        yield line
        left -= len(line)
        if left < 0:
            return


def _is_header(comment: str, next_line: str, stated: str | None) -> bool:
    """Return whether a line such as `#id,document,summary` names the columns."""
    counts = [
        (comment.count(one), next_line.count(one)) for one in ([stated] if stated else DELIMITERS)
    ]
    return bool(_HEADER_COMMENT.match(comment)) and any(a and a == b for a, b in counts)


def _delimiter(head: list[str], name: str, expected: str) -> str:
    """Return the separator of the header, which may differ from the expected one."""
    header = head[0]
    possible = [one for one in DELIMITERS if one in header]
    possible.sort(key=lambda one: (one != expected, -header.count(one)))
    if len(possible) > 1:
        for one in possible:
            is_split = len(next(csv.reader([header], delimiter=one), [])) > 1
            if is_split and _surveyed(head, name, Dialect(delimiter=one)).fits:
                return one
        possible = [one for one in possible if _splits(header, one)] or possible
    return possible[0] if possible else expected


def _splits(header: str, delimiter: str) -> bool:
    return len(next(csv.reader([header], delimiter=delimiter), [])) > 1

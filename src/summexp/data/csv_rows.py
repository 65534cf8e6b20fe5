"""Reader of CSV files, separated by commas, tabs or semicolons."""

from __future__ import annotations

import csv
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, TextIO

from summexp.errors import ConfigError, Problem

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons"}
_HEAD_RECORDS = 50


class MisleadingQuotesError(Exception):
    """The quotes of a file separated by tabs do not enclose cells, contrary to its start."""


def delimiter_of(stream: TextIO, expected: str) -> str:
    """Return the separator of a file, by its first line.

    Args:
        stream: the file, opened with `newline=""`.
        expected: the separator of the file's extension.
    """
    _allow_huge_cells()
    return _delimiter(stream.readline(), expected)


def quotes_enclose_cells(stream: TextIO, *, head_only: bool = False) -> bool:
    """Return whether the quotes of a file separated by tabs enclose cells; else they are text.

    Args:
        stream: the file, opened with `newline=""`.
        head_only: whether to read only the first records.
    """
    _allow_huge_cells()
    records = _HEAD_RECORDS if head_only else None
    try:
        for _ in itertools.islice(csv.reader(stream, delimiter="\t", strict=True), records):
            pass
    except csv.Error:
        return False
    return True


def rows(
    stream: Iterable[str],
    name: str,
    delimiter: str,
    *,
    quotes: bool = True,
    strict: bool = False,
) -> Iterator[dict[str, object]]:
    r"""Yield each record as column name to value.

    Cells may contain line ends and be of any size; line ends may be mixed. A blank line is skipped,
    except in a file with a single column, where it is an empty cell. Quotes follow the rules of
    Python's `csv`.

    Args:
        stream: the file, opened with `newline=""`.
        name: name of the file in messages.
        delimiter: the separator.
        quotes: whether quotes enclose cells; else they are text.
        strict: whether to verify that they enclose cells everywhere.

    Raises:
        ConfigError: an empty, duplicate or missing header, a ragged record, an unclosed quote.
        MisleadingQuotesError: quotes do not enclose cells; only with `strict`.
    """
    _allow_huge_cells()
    records = _records(stream, name, delimiter, quotes=quotes, strict=strict)
    _, header = next(records, (1, []))
    _check_header(header, name)
    for line, record in records:
        if len(record) != len(header):
            # A quote that is text may have joined lines; a later one then shows it.
            for _ in records if strict else ():
                pass
            raise _ragged(name, line, record, header)
        yield dict(zip(header, record, strict=True))


def _allow_huge_cells() -> None:
    # The limit is global to the process; its default, 131,072 characters, is too low for documents.
    csv.field_size_limit(sys.maxsize)


def _delimiter(first_line: str, expected: str) -> str:
    """Return the separator of the header, which may differ from the expected one."""
    if len(next(csv.reader([first_line], delimiter=expected), [])) > 1:
        return expected
    counts = {other: first_line.count(other) for other in DELIMITERS if other != expected}
    best = max(counts, key=lambda other: counts[other])
    return best if counts[best] else expected


def _records(
    stream: Iterable[str], name: str, delimiter: str, *, quotes: bool, strict: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the header and of each record."""
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal at_end
        # Without the islice, a generator that ends early would close the stream.
        yield from itertools.islice(stream, None)
        at_end = True

    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(lines(), delimiter=delimiter, quoting=quoting, strict=strict)
    width = None
    for number in itertools.count():
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if strict:
                raise MisleadingQuotesError from None
            raise ConfigError(f"{name}, line {line}: {error}") from None
        if at_end:  # a record that extends to the end of the file lacks its closing quote
            raise ConfigError.of(
                what=f"{name}, line {line}: this record has an unclosed quote",
                hint='Escape a quote inside a quoted cell by doubling it: "".',
            )
        width = len(record) if number == 0 else width
        if record:
            yield line, record
        elif width == 1:
            yield line, [""]


def _check_header(header: list[str], name: str) -> None:
    if not header or not any(cell.strip() for cell in header):
        raise ConfigError.of(
            what=f"{name} has no header",
            hint="The first line must name the columns.",
        )
    problems = []
    if empty := [number for number, cell in enumerate(header, 1) if not cell.strip()]:
        problems.append(
            Problem(
                what=f"{name}: column {', '.join(map(str, empty))} of {len(header)} has no name",
                hint="Name it in the first line, or write the file without it (with pandas: "
                "to_csv(…, index=False)).",
            )
        )
    counts = Counter(cell for cell in header if cell.strip())
    if duplicates := [cell for cell, count in counts.items() if count > 1]:
        problems.append(
            Problem(
                what=f"{name}: duplicate column names: {', '.join(map(repr, duplicates))}",
                hint="Give each column a unique name in the first line.",
            )
        )
    if problems:
        raise ConfigError(problems)


def _ragged(name: str, line: int, record: list[str], header: list[str]) -> ConfigError:
    return ConfigError.of(
        what=f"{name}, line {line}: this record has {len(record)} cells, and the header has "
        f"{len(header)}",
        hint="Quote cells that contain the separator, a quote or a line end.",
    )

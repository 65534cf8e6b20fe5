"""Rows of comma-, tab- and semicolon-separated files."""

from __future__ import annotations

import csv
import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TextIO

from summexp.errors import ConfigError, Problem

logger = logging.getLogger(__name__)

_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons"}
_HEAD_RECORDS = 50


def rows(
    open_stream: Callable[[], TextIO], name: str, delimiter: str, *, head_only: bool = False
) -> Iterator[dict[str, object]]:
    r"""Yield each record below the header, under the header's names.

    Cells may hold line ends and be of any size; line ends may be mixed. A blank line is no record,
    except in a file of a single column, where it is an empty cell. A cell such as `"He" said` keeps
    to the rules of Python's `csv`, but in a file separated by tabs where quotes cannot be meant as
    marks around cells they are taken as they stand.

    Args:
        open_stream: Opens the file, with `newline=""`.
        name: What to call the file in messages.
        delimiter: The separator that the file's ending promises; another is recognised.
        head_only: Only the first rows will be taken, so nothing further on is looked at; silent.

    Raises:
        ConfigError: An empty, duplicate or missing header, a ragged record, an open quote.
    """
    # The limit is one setting of the whole process; 131,072 characters are a short book chapter.
    csv.field_size_limit(sys.maxsize)
    with open_stream() as stream:
        first_line = stream.readline()
    actual = _delimiter(first_line, delimiter)
    if actual != delimiter and not head_only:
        logger.warning("%s is separated by %s, and is read so.", name, _DELIMITERS[actual])
    quotes = True
    if actual == "\t" and not _quotes_are_marks(open_stream, _HEAD_RECORDS if head_only else None):
        quotes = False
        if not head_only:
            logger.warning("%s has quotes inside its cells; they are taken as they stand.", name)
    with open_stream() as stream:
        records = _records(stream, name, actual, quotes=quotes)
        _, header = next(records, (1, []))
        _check_header(header, name)
        for line, record in records:
            if len(record) != len(header):
                raise _ragged(name, line, record, header)
            yield dict(zip(header, record, strict=True))


def _delimiter(first_line: str, expected: str) -> str:
    """Return the header's separator: another than the expected one if only that one splits it."""
    if len(next(csv.reader([first_line], delimiter=expected), [])) > 1:
        return expected
    counts = {other: first_line.count(other) for other in _DELIMITERS if other != expected}
    best = max(counts, key=lambda other: counts[other])
    return best if counts[best] else expected


def _quotes_are_marks(open_stream: Callable[[], TextIO], records: int | None) -> bool:
    with open_stream() as stream:
        try:
            for _ in itertools.islice(csv.reader(stream, delimiter="\t", strict=True), records):
                pass
        except csv.Error:
            return False
    return True


def _records(
    stream: Iterable[str], name: str, delimiter: str, *, quotes: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line where it begins, cells) for the header and for each record."""
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal at_end
        yield from stream
        at_end = True

    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(lines(), delimiter=delimiter, quoting=quoting)
    width = None
    for number in itertools.count():
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ConfigError(f"{name}, line {line}: {error}") from None
        if at_end:  # a record that needs the end of the file to be complete lacks its closing quote
            raise ConfigError(
                Problem(
                    what=f"{name}, line {line}: a quote that opens in this record is never closed",
                    hint="Write a quote inside a quoted cell twice.",
                )
            )
        width = len(record) if number == 0 else width
        if record:
            yield line, record
        elif width == 1:
            yield line, [""]


def _check_header(header: list[str], name: str) -> None:
    if not header or not any(cell.strip() for cell in header):
        raise ConfigError(
            Problem(
                what=f"{name} has no header",
                hint="Its first line must name the columns.",
            )
        )
    problems = []
    if empty := [number for number, cell in enumerate(header, 1) if not cell.strip()]:
        problems.append(
            Problem(
                what=f"{name}: column {', '.join(map(str, empty))} of {len(header)} has no name",
                hint="Name it in the first line, or write the file without it (in pandas: "
                "to_csv(…, index=False)).",
            )
        )
    counts = Counter(cell for cell in header if cell.strip())
    if twice := [cell for cell, count in counts.items() if count > 1]:
        problems.append(
            Problem(
                what=f"{name}: more than one column is called {', '.join(map(repr, twice))}",
                hint="Give each column a name of its own in the first line.",
            )
        )
    if problems:
        raise ConfigError(problems)


def _ragged(name: str, line: int, record: list[str], header: list[str]) -> ConfigError:
    return ConfigError(
        Problem(
            what=f"{name}, line {line}: the record that begins here has {len(record)} cells, "
            f"the header {len(header)}",
            hint="A cell that holds the separator, a quote or a line end must stand in quotes.",
        )
    )

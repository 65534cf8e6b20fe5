"""Reader of CSV files, separated by commas, tabs or semicolons."""

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
    r"""Yield each record as column name to value.

    Cells may contain line ends and be of any size; line ends may be mixed. A blank line is skipped,
    except in a file with a single column, where it is an empty cell. Quotes follow the rules of
    Python's `csv`, but are taken literally in a file separated by tabs whose quotes do not enclose
    cells.

    Args:
        open_stream: opens the file, with `newline=""`.
        name: name of the file in messages.
        delimiter: the separator expected from the file's extension; another one is detected.
        head_only: whether only the first rows are needed; nothing is logged.

    Raises:
        ConfigError: an empty, duplicate or missing header, a ragged record, an unclosed quote.
    """
    # The limit is global to the process; its default, 131,072 characters, is too low for documents.
    csv.field_size_limit(sys.maxsize)
    with open_stream() as stream:
        first_line = stream.readline()
    actual = _delimiter(first_line, delimiter)
    if actual != delimiter and not head_only:
        logger.warning("%s: reading it as separated by %s", name, _DELIMITERS[actual])
    quotes = True
    if actual == "\t" and not _quotes_are_marks(open_stream, _HEAD_RECORDS if head_only else None):
        quotes = False
        if not head_only:
            logger.warning("%s: quotes do not enclose cells, reading them literally", name)
    with open_stream() as stream:
        records = _records(stream, name, actual, quotes=quotes)
        _, header = next(records, (1, []))
        _check_header(header, name)
        for line, record in records:
            if len(record) != len(header):
                raise _ragged(name, line, record, header)
            yield dict(zip(header, record, strict=True))


def _delimiter(first_line: str, expected: str) -> str:
    """Return the separator of the header, which may differ from the expected one."""
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
    """Yield (line number, cells) of the header and of each record."""
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
        if at_end:  # a record that extends to the end of the file lacks its closing quote
            raise ConfigError(
                Problem(
                    what=f"{name}, line {line}: this record has an unclosed quote",
                    hint='Escape a quote inside a quoted cell by doubling it: "".',
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
                hint="The first line must name the columns.",
            )
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
    return ConfigError(
        Problem(
            what=f"{name}, line {line}: this record has {len(record)} cells, and the header has "
            f"{len(header)}",
            hint="Quote cells that contain the separator, a quote or a line end.",
        )
    )

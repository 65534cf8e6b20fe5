"""Reader of CSV files of any dialect: separators, quotes, escapes, comments, nameless columns."""

from __future__ import annotations

import csv
import functools
import itertools
import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from summexp.errors import ConfigError

logger = logging.getLogger(__name__)

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
_USUAL_SHARE, _LARGEST_SHARE = 0.4, 0.6
"""Shares of the lines of texts that look like records, as in chats with a comma a line: in files
where few cells do, and in files where many do."""
_NAMED_LINES = 5
_LONE_BACKSLASHES = re.compile(r'\\+(?!["\\])')
_SPACE_BEFORE_QUOTE = re.compile(r' +"')
_ESCAPED_QUOTE = '\\"'


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a CSV file is written."""

    delimiter: str = ","
    """Separator of the cells."""
    quotes: bool = True
    """Whether quotes enclose cells; else they are text."""
    escapes: Literal["none", "quotes", "all"] = "none"
    """What a backslash escapes: nothing, quotes only, or any character."""
    spaces: bool = False
    """Whether spaces after a separator are no part of the cell."""
    skipped: int = 0
    """Lines before the header: blank ones, comments, `sep=`."""
    comments: bool = False
    """Whether there are comments, lines that begin with `#`, before the header."""
    notes: tuple[str, ...] = ()
    """What else is unusual, for the log."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Dialect:
        """Return the dialect that `dataclasses.asdict` wrote."""
        return cls(**{**content, "notes": tuple(content["notes"])})

    def remarks(self, expected: str) -> Iterator[str]:
        """Yield what is unusual.

        Args:
            expected: the separator of the file's extension.
        """
        if self.delimiter != expected:
            name = DELIMITERS.get(self.delimiter, repr(self.delimiter))
            yield f"reading it as separated by {name}"
        if self.comments:
            yield "skipping lines that begin with '#'"
        if not self.quotes:
            yield "quotes do not enclose cells, reading them literally"
        if self.escapes != "none":
            what = "quotes" if self.escapes == "quotes" else "quotes and separators"
            yield f"reading a backslash before {what} as an escape"
        if self.spaces:
            yield "ignoring spaces after separators"
        yield from self.notes


class MisleadingQuotesError(Exception):
    """The start of a file does not show its dialect; `csv_dialects.dialect_of` finds it."""


@dataclass(kw_only=True)
class Tally:
    """What a pass over the records shows about the dialect."""

    dialect: Dialect
    """Dialect in which they are read."""
    several_lines: int = 0
    """Records of several lines."""
    joined: list[tuple[int, int]] = field(default_factory=list)
    """First and last lines of records each of whose lines looks like a record itself."""
    escaped: int = 0
    """Quotes with a backslash before them."""
    quotes: int = 0
    """All quotes of the lines with such ones."""
    improper: int = 0
    """Records with such ones that also have quotes which are neither escaped nor enclose a cell."""
    spaced: int = 0
    """Cells that begin with a space and a quote."""

    @property
    def is_doubtful(self) -> bool:
        """Whether the records may be others in another dialect."""
        return bool(self.joined or self.escaped or self.spaced)

    def add(self, lines: Sequence[str], first: int, record: Sequence[str]) -> None:
        """Count a record.

        Args:
            lines: its lines.
            first: number of the first one.
            record: its cells.
        """
        for line in lines:
            if _ESCAPED_QUOTE in line:
                self.escaped += line.count(_ESCAPED_QUOTE)
                self.quotes += line.count('"')
            if ' "' in line:
                self.spaced += sum(bool(_SPACE_BEFORE_QUOTE.match(cell)) for cell in record)
        if any(_ESCAPED_QUOTE in line for line in lines):
            text = "".join(lines).rstrip("\r\n")
            self.improper += _proper_record(self.dialect).fullmatch(text) is None
        if len(lines) > 1:
            self.several_lines += 1
            if _look_like_records(lines, len(record), self.dialect.delimiter):
                self.joined.append((first, first + len(lines) - 1))

    def check(self, name: str) -> None:
        """Check that no quotes join records.

        Raises:
            ConfigError: some do, or may.
        """
        if self.joined and not self._may_be_chance():
            raise ConfigError.of(
                what=f"{name}, {self.joined_lines()}: a quote opens a cell in the first of these "
                "lines and closes it in the last one, but each line looks like a row",
                hint="If they are rows, double the quotes that are text and quote their cells "
                '("5"" pipe"), or write the file as JSON Lines. If they are one row, quote every '
                "cell of the file.",
            )

    def _may_be_chance(self) -> bool:
        """Return whether the lines of text, and not of records, may look like records so often."""
        if len(self.joined) == self.several_lines:
            return False
        longest = max(last - first for first, last in self.joined)
        expected = self.several_lines * _USUAL_SHARE ** (longest + 1)
        return expected > 0.01 or len(self.joined) * _LARGEST_SHARE**longest > 1

    def joined_lines(self) -> str:
        """Return the lines of the joined records in words."""
        named = [f"lines {first} to {last}" for first, last in self.joined[:_NAMED_LINES]]
        more = len(self.joined) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")


@functools.cache
def _proper_record(dialect: Dialect) -> re.Pattern[str]:
    """Return the pattern of records all of whose quotes enclose a cell or are escaped."""
    mark = re.escape(dialect.delimiter)
    if dialect.escapes == "none":
        cell = rf'(?:"(?:[^"]|"")*+"|[^"{mark}]*+)'
    else:
        cell = rf'(?:"(?:[^"\\]|\\.|"")*+"|(?:[^"\\{mark}]|\\.)*+)'
    return re.compile(rf"(?:{cell}{mark})*+{cell}", re.DOTALL)


def _look_like_records(lines: Sequence[str], width: int, delimiter: str) -> bool:
    """Return whether each line of a record could be a record, were its quotes text."""
    ends = {line[len(line.rstrip("\r\n")) :] for line in lines} - {""}
    # A writer ends records in one way; other line ends are those of the text.
    if width == 1 or len(ends) > 1:
        return False
    # Only the quote that opens the cell and the one that closes it.
    if [line.count('"') for line in lines] != [1, *(0 for _ in lines[2:]), 1]:
        return False
    return all(_looks_like_record(line.rstrip("\r\n"), width, delimiter) for line in lines)


def _looks_like_record(line: str, width: int, delimiter: str) -> bool:
    cells = line.split(delimiter)
    if len(cells) != width or any(cell.startswith(" ") for cell in cells[1:]):
        return False
    # A comma in a number separates nothing.
    if any(a[-1:].isdigit() and b[:1].isdigit() for a, b in itertools.pairwise(cells)):
        return False
    return all(any(map(str.isalnum, cell)) for cell in cells)


def rows(
    stream: Iterable[str],
    name: str,
    dialect: Dialect,
    *,
    strict: bool = False,
    tally: Tally | None = None,
) -> Iterator[dict[str, object]]:
    r"""Yield each record as column name to value.

    Cells may contain line ends and be of any size; line ends may be mixed. A blank line is skipped,
    except in a file with a single column, where it is an empty cell. A column without a name is
    called `Unnamed: 0` by its place, as in pandas. Empty cells after the last column are ignored. A
    column of row numbers may lack in the header, as R writes it.

    Args:
        stream: the file, opened with `newline=""`.
        name: name of the file in messages.
        dialect: how it is written.
        strict: whether to verify the dialect.
        tally: takes what the records show about the dialect.

    Raises:
        ConfigError: an empty or duplicate header, a ragged record, text beside quotes.
        MisleadingQuotesError: the dialect may be another one; only with `strict`.
    """
    allow_huge_cells()
    tally = Tally(dialect=dialect) if tally is None else tally
    try:
        for row in _rows(stream, name, dialect, tally):
            if strict and tally.is_doubtful:
                raise MisleadingQuotesError
            yield row
    except ConfigError:
        if strict:
            raise MisleadingQuotesError from None
        raise


def allow_huge_cells() -> None:
    """Allow cells of any size; the default, 131,072 characters, is too low for documents."""
    csv.field_size_limit(sys.maxsize)


def _rows(
    stream: Iterable[str], name: str, dialect: Dialect, tally: Tally
) -> Iterator[dict[str, object]]:
    records = _Records(stream, name, dialect)
    cells = iter(records)
    header = next((record for record in cells if record), [])
    names = _names(header, name)
    is_first, is_numbered = True, False
    comments = []
    for record in cells:
        if len(names) > 1 and (not record or (len(record) == 1 and not record[0].strip())):
            continue
        record = record or [""]
        if dialect.comments and records.lines[0].startswith("#"):
            _check_comment(name, records.first, record, header)
            comments.append(records.first)
            continue
        if is_first and (is_numbered := has_row_numbers(record, header)):
            header = ["", *header]
            names = _names(header, name)
        is_first = False
        fitted = record if len(record) == len(names) else _fitted(record, header)
        if len(fitted) != len(names) or (is_numbered and not fitted[0].isdecimal()):
            raise _ragged(name, records.first, record, header)
        tally.add(records.lines, records.first, fitted)
        yield dict(zip(names, fitted, strict=True))
    if comments:
        listed = ", ".join(map(str, comments[:_NAMED_LINES]))
        more = ", …" if len(comments) > _NAMED_LINES else ""
        logger.warning(
            "%s: %s comments among the rows, lines %s", name, len(comments), listed + more
        )


class _Records:
    """Records of a file, the header first, with the lines that each takes."""

    def __init__(self, stream: Iterable[str], name: str, dialect: Dialect) -> None:
        self._stream = stream
        self._name = name
        self._dialect = dialect
        self.lines: list[str] = []
        """Lines of the last record."""
        self.first = 1
        """Number of its first line."""

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the cells of each record; none for a blank line."""
        dialect = self._dialect
        options: dict[str, Any] = {
            "delimiter": dialect.delimiter,
            "quoting": csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
            "escapechar": None if dialect.escapes == "none" else "\\",
            "skipinitialspace": dialect.spaces,
        }
        reader = csv.reader(self._read(), strict=True, **options)
        while True:
            self.first += len(self.lines)
            self.lines = []
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._unquoted(error) from None
            yield record

    def _read(self) -> Iterator[str]:
        # Without the islice, a generator that ends early would close the stream.
        stream = itertools.islice(self._stream, None)
        for _ in itertools.islice(stream, self._dialect.skipped):
            self.first += 1
        for line in stream:
            self.lines.append(line)
            if self._dialect.escapes == "quotes":
                yield _LONE_BACKSLASHES.sub(lambda found: found[0] * 2, line)
            else:
                yield line

    def _unquoted(self, error: csv.Error) -> ConfigError:
        last = self.first + len(self.lines) - 1
        lines = f"line {self.first}" if last == self.first else f"lines {self.first} to {last}"
        hint = 'Escape a quote inside a quoted cell by doubling it: "".'
        if "unexpected end" in str(error):
            what = f"{self._name}, line {self.first}: this record has an unclosed quote"
        elif "expected after" in str(error):
            what = (
                f"{self._name}, {lines}: a quote that opens a cell in line {self.first} closes "
                f"it in line {last}, where text follows"
            )
        else:
            what = f"{self._name}, {lines}: {error}"
        return ConfigError.of(what=what, hint=hint)


def has_row_numbers(record: Sequence[str], header: Sequence[str]) -> bool:
    """Return whether the first cell is a row number that the header does not name, as R writes."""
    is_longer = len(record) == len(header) + 1 and all(header)
    return is_longer and bool(record[-1]) and record[0].isdecimal()


def _fitted(record: list[str], header: Sequence[str]) -> list[str]:
    """Return a record without empty cells after the last column, or with one where it is cut."""
    width = len(header)
    if len(record) > width and not any(record[width:]):
        return record[:width]
    if len(record) == width - 1 and not header[-1].strip():
        return [*record, ""]
    return record


def _check_comment(name: str, line: int, record: Sequence[str], header: Sequence[str]) -> None:
    if len(record) == len(header):
        raise ConfigError.of(
            what=f"{name}, line {line}: this line begins with '#' as the comments before "
            "the header, but has the cells of a row",
            hint="Delete the line if it is a comment; else quote its first cell.",
        )


def _names(header: Sequence[str], name: str) -> list[str]:
    """Return the names of all columns.

    Args:
        header: the cells of the header.
        name: name of the file in messages.

    Raises:
        ConfigError: there is no name, or one is not unique.
    """
    if not any(cell.strip() for cell in header):
        raise ConfigError.of(
            what=f"{name} has no header",
            hint="The first line must name the columns.",
        )
    names = [cell if cell.strip() else f"Unnamed: {number}" for number, cell in enumerate(header)]
    counts = Counter(names)
    if duplicates := [cell for cell, count in counts.items() if count > 1]:
        raise ConfigError.of(
            what=f"{name}: duplicate column names: {', '.join(map(repr, duplicates))}",
            hint="Give each column a unique name in the first line.",
        )
    return names


def _ragged(name: str, line: int, record: Sequence[str], header: Sequence[str]) -> ConfigError:
    hint = "Quote cells that contain the separator, a quote or a line end."
    if record[0].startswith("#"):
        hint = (
            "Delete the line if it is a comment; those of a file that begins with one are skipped."
        )
    return ConfigError.of(
        what=f"{name}, line {line}: this record has {len(record)} cells, and the header has "
        f"{len(header)}",
        hint=hint,
    )

from __future__ import annotations

import io

import pytest

from summexp.data.csv_rows import (
    MisleadingQuotesError,
    delimiter_of,
    quotes_enclose_cells,
    rows,
)
from summexp.errors import ConfigError


def read(text: str, delimiter: str = ",") -> list[dict[str, object]]:
    delimiter = delimiter_of(stream(text), delimiter)
    quotes = delimiter != "\t" or quotes_enclose_cells(stream(text))
    return list(rows(stream(text), "f.csv", delimiter, quotes=quotes))


def stream(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def test_cells_of_many_lines_with_mixed_line_ends() -> None:
    text = 'document,summary\r\n"one\r\ntwo\nthree",first\n"say ""yes"", then go",second\r\n'
    assert read(text) == [
        {"document": "one\r\ntwo\nthree", "summary": "first"},
        {"document": 'say "yes", then go', "summary": "second"},
    ]


def test_a_cell_may_be_huge() -> None:
    cell = "word " * 100_000
    assert read(f"document,summary\n{cell},s\n") == [{"document": cell, "summary": "s"}]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_another_separator_is_recognised(delimiter: str) -> None:
    text = f"document{delimiter}summary\na, b{delimiter}c\n"
    assert read(text) == [{"document": "a, b", "summary": "c"}]


def test_a_separator_in_a_header_that_is_split_already_means_nothing() -> None:
    assert read("text;note,summary\na,b\n") == [{"text;note": "a", "summary": "b"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3: this record has 3 cells, and the header has 2"),
        ('a,b\n"x\ny",2\n3\n', "line 4: this record has 1 cells"),
        ('a,b\n1,2\n"open,3\n4,5\n', "line 3: this record has an unclosed quote"),
        ("a,b,a\n1,2,3\n", "duplicate column names: 'a'"),
        (",a,b\n0,1,2\n", "column 1 of 3 has no name"),
        (",,\n0,1,2\n", "has no header"),
        ("", "has no header"),
    ],
)
def test_a_file_that_is_not_a_table_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_the_header_reports_all_its_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read(",a,a\n1,2,3\n")
    assert len(caught.value.problems) == 2


def test_blank_lines_are_rows_only_where_a_row_is_one_cell() -> None:
    assert read("a,b\n\n1,2\n\n") == [{"a": "1", "b": "2"}]
    assert read("a\nx\n\ny\n") == [{"a": "x"}, {"a": ""}, {"a": "y"}]


def test_the_last_line_needs_no_end() -> None:
    assert read('a,b\n1,"2"') == [{"a": "1", "b": "2"}]


def test_quotes_within_cells_of_a_tab_separated_file_stand() -> None:
    text = 'document\tsummary\n"Go" he said\tgo\n"open\tb\n'
    assert read(text, "\t") == [
        {"document": '"Go" he said', "summary": "go"},
        {"document": '"open', "summary": "b"},
    ]
    assert read('a\tb\n"x\ty\nz"\t2\n', "\t") == [{"a": "x\ty\nz", "b": "2"}]


@pytest.mark.parametrize(
    "late",
    [
        '"x" y\tz\n',
        # These quotes join two lines, which a later line shows.
        '"x\ny"\n"x" y\tz\n',
        '"open\tz\n',
    ],
)
def test_quotes_that_enclose_cells_only_at_first_are_noticed(late: str) -> None:
    text = f'a\tb\n"1\t2"\t3\n{late}'
    strict = rows(stream(text), "f.tsv", "\t", strict=True)
    assert next(strict) == {"a": "1\t2", "b": "3"}
    with pytest.raises(MisleadingQuotesError):
        list(strict)
    assert not quotes_enclose_cells(stream(text))

from __future__ import annotations

import io

import pytest

from summexp.data.csv_dialects import dialect_of, start_dialect
from summexp.data.csv_rows import Dialect, MisleadingQuotesError, rows
from summexp.errors import ConfigError


def read(text: str, delimiter: str = ",") -> list[dict[str, object]]:
    start = start_dialect(stream(text), "f.csv", delimiter)
    return list(rows(stream(text), "f.csv", dialect_of(stream(text), "f.csv", start)))


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
        ('a,b\n"1,2",3\n"open,3\n4,5\n', "line 3: this record has an unclosed quote"),
        (
            'a,b\n"1,2",3\nx,"4\ny,5\nz,"6\n',
            "lines 3 to 5: a quote that opens a cell in line 3 closes it in line 5, where text",
        ),
        ("a,b,a\n1,2,3\n", "duplicate column names: 'a'"),
        ("a,b\n1,2,,x\n", "line 2: this record has 4 cells"),
        ("a,b\n1,x,y\n2,x,y\nz,x,y\n", "line 4: this record has 3 cells"),
        (",a\n1,x,y\n", "line 2: this record has 3 cells"),
        ("a,b\n1,2\n# end\n", r"line 3: this record has 1 cells(?s:.*)Delete the line"),
        ("# v1\na,b\n1,2\n# 3,4\n", "line 4: this line begins with '#'"),
        (",,\n0,1,2\n", "has no header"),
        ("", "has no header"),
    ],
)
def test_a_file_that_is_not_a_table_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_blank_lines_are_rows_only_where_a_row_is_one_cell() -> None:
    assert read("a,b\n\n1,2\n  \n\n") == [{"a": "1", "b": "2"}]
    assert read("a\nx\n\ny\n") == [{"a": "x"}, {"a": ""}, {"a": "y"}]


def test_the_last_line_needs_no_end() -> None:
    assert read('a,b\n1,"2"') == [{"a": "1", "b": "2"}]


def test_quotes_within_cells_of_a_tab_separated_file_stand() -> None:
    text = 'document\tsummary\n"Go" he said\tgo\n"open\tb\n'
    assert read(text, "\t") == [
        {"document": '"Go" he said', "summary": "go"},
        {"document": '"open', "summary": "b"},
    ]
    assert read('a\tb\n"x\ty\n\nz"\t2\n', "\t") == [{"a": "x\ty\n\nz", "b": "2"}]


def test_a_column_without_a_name_is_called_by_its_place() -> None:
    assert read(",a,b\n0,1,2\n") == [{"Unnamed: 0": "0", "a": "1", "b": "2"}]
    assert read("a,,b,\n0,1,2,\n3,4,5\n") == [
        {"a": "0", "Unnamed: 1": "1", "b": "2", "Unnamed: 3": ""},
        {"a": "3", "Unnamed: 1": "4", "b": "5", "Unnamed: 3": ""},
    ]


def test_row_numbers_may_lack_in_the_header() -> None:
    assert read("a,b\n1,x,y\n12,z,\n") == [
        {"Unnamed: 0": "1", "a": "x", "b": "y"},
        {"Unnamed: 0": "12", "a": "z", "b": ""},
    ]


def test_separators_at_the_ends_of_lines_are_ignored() -> None:
    assert read("a,b\n1,x,\n2,z,,\n") == [{"a": "1", "b": "x"}, {"a": "2", "b": "z"}]


def test_comments_among_the_rows_are_skipped_and_named(caplog: pytest.LogCaptureFixture) -> None:
    text = '# of 2024, by us\na,b\n1,2\n# half\n#x,y\n"# 3",4\n#\n'
    with pytest.raises(ConfigError, match="line 5"):
        read(text)
    caplog.clear()
    assert read(text.replace("#x,y", "#x")) == [{"a": "1", "b": "2"}, {"a": "# 3", "b": "4"}]
    assert caplog.messages[-1] == "f.csv: 3 comments among the rows, lines 4, 5, 7"


@pytest.mark.parametrize(
    "late",
    [
        '"x" y\tz\n',
        # These quotes join two lines, which a later line shows.
        '"x\ny"\n"x" y\tz\n',
        '"open\tz\n',
        'x\t"y\nz\tv"\n',
        'x\t \\"y\\"\n',
        'x\t "y"\n',
        "x\n",
    ],
)
def test_records_that_may_be_others_in_another_dialect_are_noticed(late: str) -> None:
    text = f'a\tb\n"1\t2"\t3\n{late}'
    strict = rows(stream(text), "f.tsv", Dialect(delimiter="\t"), strict=True)
    assert next(strict) == {"a": "1\t2", "b": "3"}
    with pytest.raises(MisleadingQuotesError):
        list(strict)

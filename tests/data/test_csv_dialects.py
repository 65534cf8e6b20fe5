from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.data.reading import read_once

from summexp.data.csv_dialects import dialect_of, start_dialect
from summexp.data.csv_rows import Dialect, rows
from summexp.data.source_files import inspect, verified
from summexp.errors import ConfigError

Rows = list[dict[str, str]]

HEAD = "document,summary\n"


def found(text: str, expected: str = ",") -> tuple[Dialect, Rows]:
    """The dialect of a text, and its rows."""
    stream = io.StringIO(text, newline="")
    dialect = dialect_of(stream, "f.csv", start_dialect(stream, "f.csv", expected))
    stream.seek(0)
    return dialect, [
        {name: str(cell) for name, cell in row.items()} for row in rows(stream, "f.csv", dialect)
    ]


def cells(text: str, expected: str = ",") -> list[list[str]]:
    return [list(row.values()) for row in found(text, expected)[1]]


STRAY = "".join(f"day {n},{chr(34) if n in (5, 20) else ''}Pipe {n}\n" for n in range(40))
ESCAPED = '"document","summary"\n' + "".join(
    f'"It said \\"day {n}\\", twice","Day \\"{n}\\""\n' for n in range(40)
)


def test_quotes_that_open_cells_and_are_text_join_no_rows() -> None:
    dialect, read = found(HEAD + STRAY)
    assert not dialect.quotes
    assert len(read) == 40
    assert read[5] == {"document": "day 5", "summary": '"Pipe 5'}
    with pytest.raises(ConfigError, match="line 2: a quote that opens a cell"):
        found(HEAD + '"Go," he said,go\n')


def test_one_quote_up_to_the_end_of_the_file() -> None:
    assert cells(HEAD + 'a,b\n5,"6\nc,d\n') == [["a", "b"], ["5", '"6'], ["c", "d"]]


def test_quotes_that_may_join_rows_are_rejected_with_their_lines() -> None:
    text = HEAD + 'a,b\nc,"d\ne,f\ng,h"\ni,j\n'
    with pytest.raises(ConfigError, match="lines 3 to 5: a quote opens a cell"):
        found(text)
    # So many of them are no text, whatever cells of several lines the file has.
    lines = "".join(f"x{n},y{n}\n" for n in range(12))
    with pytest.raises(ConfigError, match="lines 4 to 16: a quote opens a cell"):
        found(f'{HEAD}"one\ntwo",b\nc,"d\n{lines[:-1]}"\ni,j\n')


def test_lines_that_look_like_rows_are_named_where_cells_have_several_lines() -> None:
    dialect, read = found(HEAD + '"one\ntwo",b\n"c,d\ne",f\n')
    assert [*read[0].values(), *read[1].values()] == ["one\ntwo", "b", "c,d\ne", "f"]
    assert dialect.notes == ("reading lines 4 to 5 as one row each, by their quotes",)
    # Chats with a comma a line.
    chats = [["A:one,two\nB:three"], ["A:one\nB:two,three"], ["A:one,two\nB:three,four\nA:five"]]
    records = [*chats[0] * 6, *chats[1] * 30, *chats[2] * 3]
    dialect, read = found(HEAD + "".join(f'"{chat}",s\n' for chat in records))
    assert [row["document"] for row in read] == records
    assert dialect.notes[0].endswith("and 4 more as one row each, by their quotes")


@pytest.mark.parametrize(
    "row",
    [
        '"one, two\nthree",s',
        '"1,000\ntwo",s',
        '"one,two\nthree",s\r',
        '"one,two\nthree","s"',
        'd,"one\ntwo,"',
    ],
)
def test_cells_of_several_lines_that_are_no_rows_stand(row: str) -> None:
    dialect, read = found(f"{HEAD}{row}\n")
    assert len(read) == 1
    assert dialect.notes == ()


def test_quotes_escaped_by_a_backslash() -> None:
    dialect, read = found(ESCAPED)
    assert dialect.escapes == "all"
    assert len(read) == 40
    assert read[3] == {"document": 'It said "day 3", twice', "summary": 'Day "3"'}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # All backslashes are escaped, as by MySQL and by Python's escapechar.
        (r'"C:\\dir \"a\"","s"', ['C:\\dir "a"', "s"]),
        (r"say \"hi\"\, now,s", ['say "hi", now', "s"]),
        (r"hi\, now,s", ["hi, now", "s"]),
        ("hi\\\nnow,s", ["hi\nnow", "s"]),
        (r'"Go" he said\, twice,s', ['"Go" he said, twice', "s"]),
        # Only quotes are, as by Spark and R.
        (r'"C:\dir \"a\"","s"', ['C:\\dir "a"', "s"]),
        (r'"C:\new \"a\", x\\","s"', ['C:\\new "a", x\\', "s"]),
        # No backslash is an escape.
        (r'"C:\dir\",s', ["C:\\dir\\", "s"]),
        (r'"a \""b\"" c",s', [r"a \"b\" c", "s"]),
        # Quotes that enclose nothing.
        (r"say \"hi\" now,s", ['say "hi" now', "s"]),
    ],
)
def test_backslashes(row: str, expected: list[str]) -> None:
    assert cells(f"{HEAD}{row}\n") == [expected]


def test_a_backslash_before_a_quote_of_a_tab_separated_file_is_text_and_logged() -> None:
    dialect, read = found('document\tsummary\nr\\"ot\ts\n', "\t")
    assert read == [{"document": 'r\\"ot', "summary": "s"}]
    assert dialect.notes == ("reading a backslash before a quote literally",)


def test_spaces_before_quotes_are_no_part_of_the_cell() -> None:
    text = '"document", "summary"\n"a", "b, c"\n"d","e"\n'
    assert found(text) == (
        Dialect(spaces=True),
        [{"document": "a", "summary": "b, c"}, {"document": "d", "summary": "e"}],
    )
    assert cells(HEAD + 'a, "b"\n') == [["a", "b"]]
    assert cells(HEAD + 'a, "b" c\n') == [["a", ' "b" c']]


def test_quotes_enclose_cells_where_most_quoted_cells_are_whole() -> None:
    """No other row is given quotes because of one mistake."""
    with pytest.raises(ConfigError, match="line 3: a quote that opens a cell"):
        found('"document","summary"\n"a","b"\n"c" d,"e"\n')
    with pytest.raises(ConfigError, match="line 4: a quote that opens a cell"):
        found(HEAD + '"a","b"\nx,y\n"c" d,e\n')


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@pytest.mark.parametrize("expected", [",", "\t"])
def test_separators(separator: str, expected: str) -> None:
    text = f"id{separator}document{separator}summary\n1{separator}a, b; c{separator}d | e\n"
    if separator == ",":
        text = text.replace("a, b", "a. b")
    elif separator == ";":
        text = text.replace("b; c", "b. c")
    elif separator == "|":
        text = text.replace(" | ", " / ")
    dialect, read = found(text, expected)
    assert dialect.delimiter == separator
    assert [list(row) for row in read] == [["id", "document", "summary"]]


def test_the_separator_is_one_that_splits_every_row() -> None:
    text = "document;short, summary\na;b\nc, d, e;f\n"
    assert found(text)[1] == [
        {"document": "a", "short, summary": "b"},
        {"document": "c, d, e", "short, summary": "f"},
    ]

    # All of a short file is looked at.
    assert cells("document, all\tsummary\na, b\tc\nd\te\n") == [["a, b", "c"], ["d", "e"]]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_a_line_that_names_the_separator(line: str) -> None:
    dialect, read = found(f"{line}\ndocument;summary\na, b;c\n")
    assert read == [{"document": "a, b", "summary": "c"}]
    assert list(dialect.remarks(",")) == [
        "reading it as separated by semicolons",
        "the line 'sep=' names the separator",
    ]
    assert cells("sep=\t\na\tb\n1, 2\t3\n") == [["1, 2", "3"]]


@pytest.mark.parametrize(
    "start",
    [
        "# Exported by us, on Monday\n",
        "#\n\n# two\n",
        "\n\n",
        "#Exported by us and others\n",
    ],
)
def test_lines_before_the_header(start: str) -> None:
    dialect, read = found(f"{start}document,summary\na,b\n")
    assert read == [{"document": "a", "summary": "b"}]
    assert dialect.comments == ("#" in start)


def test_a_header_may_begin_with_a_number_sign() -> None:
    assert found("#id,summary\n1,b\n")[1] == [{"#id": "1", "summary": "b"}]
    assert cells(HEAD + "#one day,s\n") == [["#one day", "s"]]


def test_what_is_recognised_is_logged() -> None:
    dialect = found(",document,summary\n0,a,b,\n")[0]
    assert dialect.notes == (
        "columns without a name are called 'Unnamed: 0'",
        "ignoring separators at the ends of lines",
    )
    assert found("document,summary\n7,a,b\n")[0].notes == (
        "columns without a name are called 'Unnamed: 0'",
    )
    assert found("document,summary\n'a','b'\n")[0].notes == (
        "single quotes do not enclose cells, reading them literally",
    )
    assert Dialect.of(json.loads(json.dumps(vars(dialect)))) == dialect
    reported = Dialect(delimiter="|", escapes="quotes", spaces=True, comments=True, quotes=False)
    assert list(reported.remarks(",")) == [
        "reading it as separated by vertical bars",
        "skipping lines that begin with '#'",
        "quotes do not enclose cells, reading them literally",
        "reading a backslash before quotes as an escape",
        "ignoring spaces after separators",
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows"])
@pytest.mark.parametrize(
    ("text", "count"),
    [(HEAD + STRAY, 40), (ESCAPED, 40), (HEAD + "a,b\n" * 9000 + STRAY, 9040)],
)
def test_files(tmp_path: Path, name: str, text: str, count: int) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert len(read_once(path)) == count
    assert verified(inspect(path)).columns == ("document", "summary")


WORDS = st.text("ab1 é요,;|\t\n\"\\'#", max_size=12)
TABLES = st.lists(st.fixed_dictionaries({"document": WORDS, "요약": WORDS}), min_size=1, max_size=6)


def written(
    table: Rows, delimiter: str, line_end: str, style: str, *, trailing: bool, index: bool
) -> str:
    """Write a table in a dialect."""
    text = io.StringIO(newline="")
    styles: dict[str, dict[str, Any]] = {
        "doubled": {"quoting": csv.QUOTE_MINIMAL},
        "all": {"quoting": csv.QUOTE_ALL},
        "backslash": {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"},
        "none": {"quoting": csv.QUOTE_NONE, "quotechar": None},
    }
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, **styles[style])
    for number, record in enumerate(
        [list(table[0]), *([row[one] for one in table[0]] for row in table)]
    ):
        numbered = [str(number - 1) if number else ""] if index else []
        writer.writerow([*numbered, *record, *([""] if trailing else [])])
    return text.getvalue()


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(
    table=TABLES,
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    style=st.sampled_from(["doubled", "all", "backslash", "none"]),
    trailing=st.booleans(),
    index=st.booleans(),
    start=st.sampled_from(["", "sep="]),
    mark=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_rows_in_are_rows_out_or_named(
    tmp_path_factory: pytest.TempPathFactory,
    table: Rows,
    delimiter: str,
    line_end: str,
    style: str,
    trailing: bool,
    index: bool,
    start: str,
    mark: str,
) -> None:
    """The same cells, or an error that names lines."""
    marks = {mark for row in table for cell in row.values() for mark in cell}
    # Without an escaped quote, two backslashes may be text.
    assume(style != "backslash" or "\\" not in marks or '"' in marks)
    assume(style != "none" or not marks & {delimiter, "\n", '"'})
    text = written(table, delimiter, line_end, style, trailing=trailing, index=index)
    text = f"sep={delimiter}{line_end}{text}" if start else text
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_bytes(text.encode(mark))
    try:
        read = read_once(path)
    except ConfigError as error:
        rejected = str(error)
    else:
        rejected = ""
        assert [{name: row[name] for name in table[0]} for row in read] == table
    assert not rejected or "line" in rejected

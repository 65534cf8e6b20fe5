from __future__ import annotations

import io
import json
from itertools import islice

import pytest

from summexp.data.json_rows import rows
from summexp.errors import ConfigError

ROWS = [{"document": "a\nb", "n": 1}, {"document": "정부", "n": None}]


def read(text: str, *, wrapped: bool = True) -> list[dict[str, object]]:
    return list(rows(io.StringIO(text), "f.json", wrapped=wrapped))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, ROWS)),
        "\n\n".join(map(json.dumps, ROWS)) + "\n\n",
        "".join(map(json.dumps, ROWS)),
        "\n".join(json.dumps(row, indent=2) for row in ROWS),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1, ensure_ascii=False),
        json.dumps({"version": "1", "data": ROWS, "tags": ["x"]}),
    ],
    ids=["lines", "blank lines", "one line", "pretty", "array", "pretty array", "wrapped"],
)
def test_every_shape_gives_the_same_rows(text: str) -> None:
    assert read(text) == ROWS


@pytest.mark.parametrize("cells", [["정부", "b"], {"0": "정부", "1": "b"}], ids=["lists", "pandas"])
def test_whole_columns_are_distinguished_from_a_row(cells: object) -> None:
    with pytest.raises(ConfigError, match="object of columns, not rows"):
        read(json.dumps({"document": cells, "summary": cells}))
    assert read(json.dumps({"document": "a", "references": ["b"]})) == [
        {"document": "a", "references": ["b"]}
    ]


def test_values_longer_than_what_is_read_at_once() -> None:
    big = [{"document": "x" * 3_000_000, "n": 1}, {"document": "y", "n": 2}]
    assert read("\n".join(map(json.dumps, big))) == big
    assert read(json.dumps(big)) == big


def test_no_more_is_read_than_is_asked_for() -> None:
    class Endless(io.StringIO):
        taken = 0

        def read(self, size: int | None = -1) -> str:
            assert size is not None
            assert size > 0
            self.taken += size
            return ('{"n": 1}\n' * (size // 9 + 1))[: size - size % 9]

    stream = Endless()
    assert len(list(islice(rows(stream, "f", wrapped=False), 1000))) == 1000
    assert stream.taken <= 4 << 20


def test_one_row_with_a_list_of_objects_in_json_lines_is_a_row() -> None:
    row = {"document": "a", "turns": [{"who": "b"}]}
    assert read(json.dumps(row), wrapped=False) == [row]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": 2,}\n{"a": 3}\n', r"line 2: this row is not valid JSON"),
        ('{"a": 1}\n{"a": "x\n{"a": 3}\n', r"line 2: .* \(line 2, column"),
        # Cut off, so that more is read for first.
        ('{"a": 1}\n{"a": 2}\n{"a":', r"line 3: .* \(line 3, column"),
        ('{"a": 1}\n{"a": 2}\n{\n"a":', r"line 3: .* \(line 4, column"),
        ('{"a": 1}\n\n{"a": 2', r"line 3: this row is not valid"),
        ('[{"a": 1},\n {"a": 2}\n', r"line 3: expected ',' or '\]' after a row, but the file ends"),
        ('[{"a": 1}]\n{"a": 2}', "line 2: unexpected content after the array"),
        ('{"a": 1}\n["x", "y"]\n', "line 2: a row must be an object, not a list"),
        ('["x"]', 'line 1: a row must be an object, not "x"'),
        ('{"a": [{"x": 1}], "b": [{"x": 2}]}', "several lists of rows: 'a', 'b'"),
    ],
)
def test_broken_json_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_a_file_without_rows_gives_none() -> None:
    assert read(" \n ") == read("[]") == []

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from summexp.data.config import DataConfig
from summexp.errors import ConfigError
from summexp.scoring.text_files import (
    TextFile,
    has_both,
    prediction_column,
    read_file,
    references_of,
    rows_of,
    skipped_rows,
)


def table(*names: str, **columns: Sequence[object]) -> TextFile:
    """A file with a cell for each name, or with whole columns."""
    cells = columns or {name: [f"a {name}"] for name in names}
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    ids = [str(cell) for cell in cells["id"]] if "id" in cells else None
    return TextFile(path="file", names=tuple(cells), rows=rows, ids=ids)


@pytest.mark.parametrize(
    ("names", "alone", "column"),
    [
        (("id", "Prediction", "reference", "rouge1"), True, "Prediction"),
        (("document", "summary", "prediction", "skipped"), True, "prediction"),
        (("generated_text", "target"), True, "generated_text"),
        (("id", "summary"), False, "summary"),
        (("document", "highlights"), False, "highlights"),
        (("id", "요약"), False, "요약"),
        (("document",), False, "document"),
    ],
)
def test_the_column_of_predictions(names: tuple[str, ...], alone: bool, column: str) -> None:
    assert prediction_column(table(*names), None, has_references=alone) == column
    assert prediction_column(table(*names, "own"), "own", has_references=alone) == "own"


@pytest.mark.parametrize(
    ("names", "alone", "message"),
    [
        (("prediction", "prediction_2", "reference"), True, "several may be it"),
        (("prediction", "output"), False, "several may be it"),
        (("a", "b"), False, "none has a known name"),
        (("id", "document", "summary"), True, "none has a known name"),
        (("document",), True, "no references beside its predictions"),
    ],
)
def test_a_column_is_never_guessed(names: tuple[str, ...], alone: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prediction_column(table(*names), None, has_references=alone)


@pytest.mark.parametrize(
    ("names", "but", "column"),
    [
        (("id", "prediction", "reference", "summary"), ("prediction",), "reference"),
        (("document", "summary", "prediction"), ("prediction",), "summary"),
        (("article", "highlights", "summary"), (), None),
        (("text", "highlights", "summary"), (), "summary"),
        (("source", "target"), (), "target"),
        (("id", "요약"), (), "요약"),
        (("document",), (), "document"),
        (("id", "prediction", "x"), ("prediction",), None),
    ],
)
def test_the_column_of_references(
    names: tuple[str, ...], but: tuple[str, ...], column: str | None
) -> None:
    if column is None:
        with pytest.raises(ConfigError):
            references_of(table(*names), DataConfig(), but=but)
        return
    assert references_of(table(*names), DataConfig(), but=but) == [(f"a {column}",)]


def test_references_that_are_named_come_first() -> None:
    file = table("prediction", "reference", "요약")
    named = DataConfig(summary_column="요약")
    assert references_of(file, named, but=["prediction"]) == [("a 요약",)]
    # As a run inherits it, for the column of its own data.
    gone = DataConfig(summary_column="highlights")
    assert references_of(file, gone, but=["prediction"]) == [("a reference",)]
    with pytest.raises(ConfigError, match="Did you mean 'reference'"):
        references_of(file, DataConfig(summary_column="referense"), but=["prediction"])


def test_several_references_of_a_row() -> None:
    lists: list[Any] = [["b", "a ", ""], '["c", "a"]', None, "not a list"]
    file = table(reference=["a", "a", " ", "d"], references=lists)
    expected = [("a", "b"), ("a", "c"), (), ("d",)]
    assert references_of(file, DataConfig()) == expected
    alone = table(refs=[["a", "b"], ["c"], [], None])
    config = DataConfig(references_column="refs")
    assert references_of(alone, config) == [("a", "b"), ("c",), (), ()]


def test_a_cell_that_is_no_text_is_named() -> None:
    file = table(prediction=["a", {"text": "b"}])
    with pytest.raises(ConfigError, match="file, row 2: column 'prediction' holds a dict"):
        file.cells("prediction")


def test_only_what_was_not_generated_is_skipped() -> None:
    file = table(prediction=["", "a", "", ""], skipped=["empty document", "no", None, ""])
    assert skipped_rows(file, file.cells("prediction")) == {0: "empty document"}
    assert skipped_rows(table("prediction"), [""]) == {}


def test_rows_belong_together_by_their_ids_or_by_their_order() -> None:
    base = table(id=["a", "b", "c"])
    assert list(rows_of(table(id=["c", "a", "b"]), base)) == [1, 2, 0]
    assert list(rows_of(table(id=["c", "a", "b"]), base, in_order=True)) == [0, 1, 2]
    assert list(rows_of(table(text=["x", "y", "z"]), base)) == [0, 1, 2]
    # As in the predictions of a run whose input has an ID twice.
    twice = table(id=["a", "a"])
    assert list(rows_of(table(id=["a", "a"]), twice)) == [0, 1]
    more = table(id=["d", "c", "b", "a"])
    assert list(rows_of(more, base, may_have_more=True)) == [3, 2, 1]
    with pytest.raises(ConfigError, match=r"has 1 of 4 ids that file lacks \(d\)"):
        rows_of(more, base)
    with pytest.raises(ConfigError, match=r"lacks 4 of the 4 ids of file \(d, c, b, …\) and has 1"):
        rows_of(table(id=["0"]), more)
    with pytest.raises(ConfigError, match="file has 2 rows, file 3, and file has no ids"):
        rows_of(table(text=["x", "y"]), base)


@pytest.mark.parametrize(
    ("name", "content", "names", "rows"),
    [
        ("a.jsonl", '{"id": "0", "prediction": "x"}\n{"references": ["y"]}\n', 3, 2),
        ("a.json", '[{"prediction": "x"}, {"prediction": "y"}]', 1, 2),
        ("a.csv", 'prediction,reference\n"x, y",z\n', 2, 1),
        ("a.tsv", "prediction\treference\nx\ty\n", 2, 1),
        ("a.txt", "x, y; z\n\nw\n", 1, 3),
        ("test.hypo", "x, y; z\tv\n\nw\n", 1, 3),
        ("predictions", "x, y\nw\n", 1, 2),
    ],
)
def test_each_format_is_read(
    name: str, content: str, names: int, rows: int, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    file = read_file(str(tmp_path / name), DataConfig())
    assert (len(file.names), len(file.rows)) == (names, rows)
    assert len(read_file(str(tmp_path / name), DataConfig(), most=1).rows) == 1


def test_what_is_unusual_in_a_file_is_a_remark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("비가 왔다.\n".encode("cp949"))
    file = read_file(str(path), DataConfig(language="ko"))
    assert file.cells("document") == ["비가 왔다."]
    assert file.remarks == (f"{path}: not UTF-8, reading it as cp949",)


def test_a_file_of_both_is_known_as_such() -> None:
    assert has_both(table("prediction", "reference"))
    assert not has_both(table("prediction", "id"))
    assert not has_both(table("document", "summary"))

from __future__ import annotations

import csv
import io
import json
import logging
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.reading import read_rows

from summexp.data.config import DataConfig
from summexp.data.input_rows import InputRows
from summexp.runs.predictions import (
    Predictions,
    input_label,
    move_earlier_predictions,
    write_predictions,
)

TEXTS = ["하나\n둘", "", "three"]
REFERENCES: list[list[str]] = [["하나"], [], ["three\u2028four", "3"]]
ROWS: list[dict[str, object]] = [
    {"번호": "007", "本文": '=SUM(A1) "quoted", 行\r\n改行', "tags": ["a", "b"], "n": 1},
    {"번호": "008", "本文": "", "tags": None, "n": "two"},
    {"번호": "009", "本文": " three ", "n": 2.5, "late": True},
]


def predictions(**changes: Any) -> Predictions:
    values: dict[str, Any] = {
        "ids": ["a", "b", "c"],
        "texts": TEXTS,
        "references": REFERENCES,
        "scores": {"rouge1": [50.0, 66.6], "rougeL": [50.0, 60.0]},
        "scored": [0, 2],
        "skipped": {},
        "chunks": {},
    }
    return Predictions(**values | changes)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_scores_stay_with_their_rows_where_a_reference_is_missing(tmp_path: Path) -> None:
    path = write_predictions(
        tmp_path, "jsonl", predictions(chunks={2: 5}, skipped={1: "empty document"}), None
    )
    assert path == tmp_path / "generated_predictions.jsonl"
    assert lines(path) == [
        {"id": "a", "prediction": "하나\n둘", "reference": "하나", "rouge1": 50.0, "rougeL": 50.0},
        {"id": "b", "prediction": "", "skipped": "empty document"},
        {
            "id": "c",
            "prediction": "three",
            "chunks": 5,
            "reference": "three\u2028four",
            "references": ["three\u2028four", "3"],
            "rouge1": 66.6,
            "rougeL": 60.0,
        },
    ]


def test_a_prediction_is_one_line_of_the_file_whatever_it_holds(tmp_path: Path) -> None:
    alone = {"ids": ["0"], "texts": ['a\n"b"\r\nc'], "references": [[]], "scores": {}, "scored": []}
    path = write_predictions(tmp_path, "jsonl", predictions(**alone), None)
    assert path.read_bytes().count(b"\n") == 1


def test_a_score_that_is_no_number_is_null(tmp_path: Path) -> None:
    path = write_predictions(
        tmp_path, "jsonl", predictions(scores={"rouge1": [math.inf, 1.0]}), None
    )
    assert [line.get("rouge1") for line in lines(path)] == [None, None, 1.0]


def test_a_table_has_the_columns_of_the_input_first(tmp_path: Path) -> None:
    path = write_predictions(tmp_path, "csv", predictions(skipped={1: "empty document"}), ROWS)
    # As Excel wants it.
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    text = path.read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["번호", "本文", "tags", "n", "late", "prediction", "rouge1", "rougeL", "skipped"],
        ["007", ROWS[0]["本文"], '["a", "b"]', "1", "", "하나\n둘", "50.0", "50.0", ""],
        ["008", "", "", "two", "", "", "", "", "empty document"],
        ["009", " three ", "", "2.5", "true", "three", "66.6", "60.0", ""],
    ]
    # summexp reads again what it wrote.
    assert [row["本文"] for row in read_rows(path)] == [row["本文"] for row in ROWS]


def test_a_parquet_file_has_types(tmp_path: Path) -> None:
    chosen = predictions(skipped={1: "empty document"}, chunks={0: 3})
    table = pq.read_table(write_predictions(tmp_path, "parquet", chosen, ROWS))
    types = {field.name: str(field.type) for field in table.schema}
    assert types.pop("tags").startswith("list<")
    assert types == {
        "번호": "string",
        "本文": "string",
        # Of a column of numbers and text.
        "n": "string",
        "late": "bool",
        "prediction": "string",
        "rouge1": "double",
        "rougeL": "double",
        "chunks": "int64",
        "skipped": "string",
    }
    rows = table.to_pylist()
    assert [row["prediction"] for row in rows] == TEXTS
    assert [row["rougeL"] for row in rows] == [50.0, None, 60.0]
    assert [row["chunks"] for row in rows] == [3, None, None]
    assert [row["n"] for row in rows] == ["1", "two", "2.5"]


def test_a_table_of_the_input_keeps_its_types(tmp_path: Path) -> None:
    numbers = pa.array([1, None, 3], pa.int16())
    table = pa.table({"n": numbers, "text": ["a", None, "c"]}, metadata={"huggingface": "{}"})
    found = pq.read_table(write_predictions(tmp_path, "parquet", predictions(), table))
    assert found["n"].type == pa.int16()
    assert b"huggingface" not in (found.schema.metadata or {})
    text = write_predictions(tmp_path, "csv", predictions(), table).read_text("utf-8-sig")
    assert list(csv.DictReader(io.StringIO(text)))[1]["n"] == ""


@pytest.mark.parametrize("value", ["half \ud83d", {"deep": ["\ud83d"]}, 2**70, [1, "a"]])
def test_what_arrow_cannot_hold_is_written_as_text(tmp_path: Path, value: object) -> None:
    rows: InputRows = [{"a": value}, {"a": None}, {"a": value}]
    for file_format in ("csv", "parquet"):
        path = write_predictions(tmp_path, file_format, predictions(), rows)
        assert len(list(read_rows(path))) == 3


def test_the_columns_of_a_run_do_not_hide_those_of_the_input(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows: InputRows = [{"Prediction": "mine", "rougeL": n, "prediction_2": ""} for n in range(3)]
    with caplog.at_level(logging.WARNING):
        path = write_predictions(tmp_path, "csv", predictions(), rows)
    found = list(read_rows(path))
    assert list(found[0]) == [
        *("Prediction", "rougeL", "prediction_2"),
        *("prediction_3", "rouge1", "rougeL_2", "skipped"),
    ]
    assert found[0]["Prediction"] == "mine"
    assert found[2]["prediction_3"] == "three"
    assert "the input has a column 'prediction': writing that of the run as 'prediction_3'" in (
        caplog.text
    )


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ({"test_file": "a/뉴스 2024.csv.gz"}, "뉴스-2024"),
        ({"name": "abisee/cnn_dailymail"}, "cnn_dailymail-test"),
        ({"name": "a/b", "test_split": "test[:5%]"}, "b-test[-5%]"),
        ({"train_file": "one.csv", "test_share": 0.1}, "one-test_share"),
        ({"name": "a/b", "test_share": 0.1}, "b-test_share"),
        ({"name": "a/b", "test_file": "new.txt"}, "new"),
        ({"test_file": "한" * 99 + ".csv"}, "한" * 50),
        ({"test_file": "..csv"}, "input"),
    ],
)
def test_an_input_has_a_name_for_a_file(data: dict[str, Any], label: str) -> None:
    assert input_label(DataConfig(**data)) == label


def test_earlier_predictions_are_moved_and_never_overwritten(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "generated_predictions.csv").write_text(str(number))
        earlier = {"file": "generated_predictions.csv", "input": "new"}
        (moved,) = move_earlier_predictions(tmp_path, earlier)
        assert moved == f"predictions/new{f'-{number + 1}' if number else ''}.csv"
        assert (tmp_path / moved).read_text() == str(number)
    assert not (tmp_path / "generated_predictions.csv").exists()
    (tmp_path / "generated_predictions.jsonl").write_text("kept")
    assert move_earlier_predictions(tmp_path, {}, keep="generated_predictions.jsonl") == []


def test_a_label_from_a_foreign_record_leads_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "predictions").symlink_to(tmp_path / "elsewhere")
    (folder / "generated_predictions.jsonl").write_text("mine")
    earlier = {"file": "generated_predictions.jsonl", "input": "../../victim"}
    (moved,) = move_earlier_predictions(folder, earlier)
    assert (folder / moved).read_text() == "mine"
    assert Path(moved).parts[0] == "predictions-2"
    assert not any((tmp_path / "elsewhere").iterdir())

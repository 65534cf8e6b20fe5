from __future__ import annotations

import json
import math
from pathlib import Path

from summexp.runs.results import PREDICTIONS_FILE, read_metric, save_metrics, save_predictions


def lines(folder: Path) -> list[dict[str, object]]:
    text = (folder / PREDICTIONS_FILE).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_scores_stay_with_their_rows_where_a_reference_is_missing(tmp_path: Path) -> None:
    save_predictions(
        tmp_path,
        ids=["a", "b", "c"],
        predictions=["하나\n둘", "", "three"],
        references=[["하나"], [], ["three\u2028four", "3"]],
        row_scores={"rouge1": [50.0, 66.6], "rougeL": [50.0, 60.0]},
        scored=[0, 2],
        skipped={},
        pieces={1: 5},
    )
    assert lines(tmp_path) == [
        {"id": "a", "prediction": "하나\n둘", "reference": "하나", "rouge1": 50.0, "rougeL": 50.0},
        {"id": "b", "prediction": "", "pieces": 5},
        {
            "id": "c",
            "prediction": "three",
            "reference": "three\u2028four",
            "references": ["three\u2028four", "3"],
            "rouge1": 66.6,
            "rougeL": 60.0,
        },
    ]


def test_a_prediction_is_one_line_of_the_file_whatever_it_holds(tmp_path: Path) -> None:
    save_predictions(tmp_path, ["0"], ['a\n"b"\r\nc'], [[]], {}, [], {}, {})
    assert (tmp_path / PREDICTIONS_FILE).read_bytes().count(b"\n") == 1


def test_metrics_of_all_phases_come_together(tmp_path: Path) -> None:
    save_metrics(tmp_path, "train", {"train_loss": 1.5})
    save_metrics(tmp_path, "eval", {"eval_rougeL": 20.0})
    save_metrics(tmp_path, "eval", {"eval_rougeL": 21.0})
    assert json.loads((tmp_path / "all_results.json").read_text()) == {
        "train_loss": 1.5,
        "eval_rougeL": 21.0,
    }
    assert read_metric(tmp_path, "eval_rougeL") == 21.0
    assert read_metric(tmp_path, "eval_rouge1") is None


def test_what_is_no_number_is_null_in_every_json_file(tmp_path: Path) -> None:
    save_metrics(tmp_path, "train", {"train_loss": math.nan, "epoch": 1.0})
    save_predictions(tmp_path, ["0"], ["a"], [["b"]], {"rouge1": [math.inf]}, [0], {}, {})
    assert (tmp_path / "train_results.json").read_text(encoding="utf-8") == (
        '{\n  "train_loss": null,\n  "epoch": 1.0\n}\n'
    )
    assert lines(tmp_path) == [{"id": "0", "prediction": "a", "reference": "b", "rouge1": None}]
    assert read_metric(tmp_path, "train_loss") is None

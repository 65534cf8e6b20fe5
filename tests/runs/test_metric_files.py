from __future__ import annotations

import json
import math
from pathlib import Path

from summexp.runs.metric_files import read_metric, save_metrics


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
    assert (tmp_path / "train_results.json").read_text(encoding="utf-8") == (
        '{\n  "train_loss": null,\n  "epoch": 1.0\n}\n'
    )
    assert read_metric(tmp_path, "train_loss") is None

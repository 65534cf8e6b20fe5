import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from summexp.metrics.registry import METRICS as KNOWN
from summexp.metrics.registry import SCORES as INFOS
from summexp.metrics.score import GEN_LEN, LOSS, Baseline, Estimate, score_of

SIGNATURE = "rouge|lang:ko(script)|tok:kiwi-0.24.0|stem:none|sents:sentencex-1.0.21|v:0.1.0"
ATTACK = "<script>alert('owned')</script> & [link](javascript:alert(1)) `code` | cell \x1b[31mred"

CONFIG = """\
output_dir: outputs/run
seed: 42
objective: eval_rougeL
offline: false
model:
  name_or_path: null
  source_prefix: 'summarize: '
  init: random
  architecture: {model_type: t5, d_model: 96}
data:
  name: null
  config_name: null
  train_file: /home/kim/private/train.csv
  validation_file: /home/kim/private/validation.csv
  test_file: null
  max_source_length: 512
  max_target_length: 64
  validation_split: validation
  test_split: test
  language: null
metric: {confidence: 0.95}
debug: {tiny: false}
"""

SPLIT = {
    "rows": 2400,
    "empty_document": 3,
    "empty_summary": 1,
    "dropped": 4,
    "duplicate_rows": 12,
    "duplicate_documents": 15,
    "truncated_documents": 599,
    "truncated_summaries": 0,
    "document_tokens": 1000,
    "unknown_document_tokens": 21,
    "streamed": False,
}


def score(
    name: str,
    value: float,
    low: float | None = None,
    high: float | None = None,
    *,
    lead: tuple[str, float] | None = None,
    of: str = "eval",
) -> dict[str, Any]:
    """Return the record of a score, as `run.json` has it."""
    info = {**INFOS, LOSS.name: LOSS, GEN_LEN.name: GEN_LEN}[name]
    metric = next((one.name for one in KNOWN.values() if info in one.scores), None)
    baseline = None if lead is None else Baseline(lead[0], {name: lead[1]})
    return asdict(score_of(of, info, Estimate(value, low, high), metric=metric, baseline=baseline))


SCORES = [
    score("loss", 0.98765),
    score("rouge1", 71.2345678, 69.5, 72.9, lead=("lead1", 30.1)),
    score("rouge2", 55.5, 53.0, 57.8, lead=("lead1", 14.2)),
    score("rougeL", 66.6666, 64.9, 68.3, lead=("lead1", 27.3)),
    score("rougeLsum", 66.6666, 64.9, 68.3, lead=("lead1", 27.3)),
    score("gen_len", 13.24),
]

RECORD: dict[str, Any] = {
    "status": "finished",
    "reason": None,
    "argv": [
        "python",
        "train.py",
        "data=custom_csv",
        "data.train_file=/home/kim/private/train.csv",
        "data.validation_file=/home/kim/private/validation.csv",
        "model=t5_tiny",
        "tracking.run_name=two words",
    ],
    "started": "2025-11-21T22:05:10+00:00",
    "ended": "2025-11-21T22:06:24+00:00",
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True, "diff": "-a\n+b"},
    "versions": {
        "python": "3.11.2",
        "summexp": "0.1.0",
        "torch": "2.13.0",
        "transformers": "5.23.0",
    },
    "device": "cpu (2 threads)",
    "world_size": 1,
    "seconds": {"data": 1.234, "model": 0.512, "train": 66.1, "eval": 6.2},
    "data": {
        "fingerprints": {"train": "ab" * 16},
        "health": {
            "splits": {
                "train": SPLIT,
                "validation": {**SPLIT, "rows": 300, "dropped": 0, "truncated_documents": 0},
            },
            "overlaps": [
                {"split": "validation", "also_in": "train", "rows": 6},
            ],
        },
        "columns": {},
    },
    "model": {
        "architecture": "T5ForConditionalGeneration",
        "parameters": 1_478_912,
        "trainable": 1_478_912,
    },
    "metric": SIGNATURE,
    "scores": SCORES,
    "evaluated": {"eval": {"samples": 300}},
    "language": "language: ko (98 % of the letters in 300 references are Hangul)",
    "examples": [
        {
            "kind": "best",
            "set": "eval",
            "ranked_by": "rougeL",
            "id": "ko-7",
            "document": "서울시는 21일 한강 공원의 야간 조명을 모두 절전형으로 바꾼다고 밝혔다. "
            * 12,
            "reference": "서울시, 한강 공원 조명 절전형으로 교체",
            "prediction": "서울시 한강 공원 야간 조명 교체",
            "scores": {"rouge1": 80.0, "rougeL": 72.7272},
        },
        {
            "kind": "best",
            "set": "eval",
            "ranked_by": "rougeL",
            "id": "ja-8",
            "document": "京都市は新しいバス路線を来春から走らせると発表した。\r\n停留所は十二。",
            "reference": "京都市、来春に市営バスの新路線",
            "prediction": "京都市が新しいバス路線を発表",
            "scores": {"rouge1": 50.0, "rougeL": 40.0},
        },
        {
            "kind": "worst",
            "set": "eval",
            "ranked_by": "rougeL",
            "id": "x<9>",
            "document": "A document with <b>tags</b> & entities &amp; more.",
            "reference": "Tags & entities",
            "prediction": ATTACK,
            "scores": {"rouge1": 0.0, "rougeL": 0.0},
        },
    ],
    "phases": {"train": {"steps": 300, "epochs": 2.0}},
    "files": [],
}

METRICS = {
    "train_loss": 2.1034,
    "train_runtime": 66.1,
    "epoch": 2.0,
    "train_samples": 2396,
}

HISTORY = [
    *(
        {"step": step, "epoch": step / 150, "loss": 6 / (1 + step / 40)}
        for step in range(10, 310, 10)
    ),
    {"step": 150, "epoch": 1.0, "eval_loss": 1.8, "eval_rougeL": 38.5, "eval_lead1_rougeL": 27.3},
    {"step": 300, "epoch": 2.0, "eval_loss": 0.99, "eval_rougeL": 66.7, "eval_lead1_rougeL": 27.3},
    {"step": 300, "epoch": 2.0, "train_runtime": 66.1, "train_loss": 2.1034},
]

MakeRun = Callable[..., Path]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: opens a page in a real browser")


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run folder; each file's content can be replaced, or left out with None."""

    def make(
        name: str = "run",
        *,
        config: str | None = CONFIG,
        record: dict[str, Any] | None = RECORD,
        metrics: dict[str, float] | None = METRICS,
        history: list[dict[str, float]] | None = HISTORY,
        predictions: list[dict[str, Any]] | None = None,
        **changes: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        state = None if history is None else {"log_history": history, "global_step": 300}
        for file, content in (
            ("run.json", None if record is None else {**record, **changes}),
            ("all_results.json", metrics),
            ("trainer_state.json", state),
        ):
            if content is not None:
                (folder / file).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
        if config is not None:
            (folder / "config.yaml").write_text(config, "utf-8")
        if predictions is not None:
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in predictions]
            (folder / "generated_predictions.jsonl").write_text("".join(lines), "utf-8")
        return folder

    return make


@pytest.fixture
def run_folder(make_run: MakeRun) -> Path:
    return make_run()


@pytest.fixture
def failed_folder(make_run: MakeRun) -> Path:
    """A run that failed before its model was made."""
    begun = {
        name: RECORD[name] for name in ("argv", "started", "ended", "git", "versions", "world_size")
    }
    reason = "data.train_file: train.csv holds no rows\ndata.text_column: there is no <column>"
    record = {**begun, "status": "failed", "reason": reason, "seconds": {"data": 0.2}}
    return make_run("failed", record=record, metrics=None, history=None)

import datetime as dt
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reports.conftest import SCORES

from summexp.data.health import Overlap
from summexp.errors import ConfigError
from summexp.reports.run_results import read_run

MakeRun = Callable[..., Path]


def test_a_complete_run_is_read(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert (run.status, run.reason, run.device, run.world_size) == (
        "finished",
        None,
        "cpu (2 threads)",
        1,
    )
    assert run.started == dt.datetime(2025, 11, 21, 22, 5, 10, tzinfo=dt.UTC)
    assert (run.commit, run.dirty) == ("0123456789abcdef0123456789abcdef01234567", True)
    assert (run.architecture, run.parameters) == ("T5ForConditionalGeneration", 1_478_912)
    assert run.health.splits["train"].used == 2396
    assert run.health.overlaps == [Overlap(split="validation", also_in="train", rows=6)]
    assert run.metrics == json.loads((run_folder / "all_results.json").read_text())
    assert run.steps == 300
    assert run.history[0] == {"step": 10, "epoch": 10 / 150, "loss": 4.8}
    assert [example.id for example in run.examples] == ["ko-7", "ja-8", "x<9>"]
    assert run.examples[1].scores == {"rouge1": 50.0, "rougeL": 40.0}
    assert [example.kind for example in run.examples] == ["best", "best", "worst"]
    assert run.option("data.max_source_length") == 512
    assert run.option("data.nothing.below") is None


def test_a_run_that_only_began_is_read(make_run: MakeRun) -> None:
    folder = make_run(config=None, record={"status": "running"}, metrics=None, history=None)
    run = read_run(folder)
    assert run.status == "running"
    assert (run.argv, run.examples, run.history, run.steps) == ((), (), (), None)
    assert (run.config, run.config_text, dict(run.metrics)) == ({}, "", {})
    assert run.health.splits == {}


def test_a_phases_own_file_adds_to_the_metrics(run_folder: Path) -> None:
    before = read_run(run_folder).metrics
    (run_folder / "predict_results.json").write_text('{"predict_rougeL": 12.5, "note": "text"}')
    assert read_run(run_folder).metrics == {**before, "predict_rougeL": 12.5}


def test_the_first_predictions_replace_examples(make_run: MakeRun) -> None:
    rows = [{"id": str(n), "prediction": f"one\u2028line {n}"} for n in range(5)]
    rows[1] |= {"reference": "참조", "rougeL": 3.5}
    predictions = read_run(make_run(examples=[], predictions=rows)).predictions
    assert predictions is not None
    assert (predictions.file, predictions.note) == ("generated_predictions.jsonl", "")
    examples = predictions.examples
    assert [example.prediction for example in examples] == [f"one\u2028line {n}" for n in range(3)]
    assert [(e.reference, dict(e.scores), e.document) for e in examples][:2] == [
        (None, {}, None),
        ("참조", {"rougeL": 3.5}, None),
    ]


@pytest.mark.parametrize("content", [None, "{half", "[]"])
def test_a_folder_without_a_run_is_reported(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ConfigError, match="holds no run"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("all_results.json", '{"eval_loss": 1'),
        ("trainer_state.json", "nothing"),
        ("config.yaml", "model: {name: [}"),
        ("generated_predictions.jsonl", '{"id": "0", "predic'),
    ],
)
def test_a_corrupt_file_is_named(make_run: MakeRun, name: str, content: str) -> None:
    folder = make_run(examples=[])
    (folder / name).write_text(content)
    with pytest.raises(ConfigError, match=f"{name} is corrupt"):
        read_run(folder)


def test_a_nan_is_read(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "eval_results.json").write_text(json.dumps({"eval_loss": float("nan")}))
    assert math.isnan(read_run(folder).metrics["eval_loss"])


@pytest.mark.parametrize(
    "corruption",
    [
        {"data": {"health": {"splits": {"train": {"unknown": 1}}}}},
        {"data": {"health": {"splits": ["train"]}}},
        {"started": "yesterday"},
        {"model": {"adapted": 3}},
        {"examples": ["a text"]},
        {"scores": ["a text"]},
        {"scores": [{"set": "eval", "name": "rougeL", "value": 1.0}]},
        {"scores": [{**SCORES[0], "set": "elsewhere"}]},
        {"scores": [{**SCORES[0], "value": None}]},
        {"evaluated": {"elsewhere": {"samples": 3}}},
    ],
)
def test_a_corrupt_record_is_named(run_folder: Path, corruption: dict[str, object]) -> None:
    path = run_folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | corruption))
    with pytest.raises(ConfigError, match=r"run\.json is corrupt"):
        read_run(run_folder)

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.runs.tracking import trackers


def composed(*words: str) -> Config:
    return check(parse(list(words)))[0].config


def test_tensorboard_gets_the_final_scores(tmp_path: Path) -> None:
    with trackers(composed("tracking=tensorboard"), tmp_path) as log_all:
        log_all({"predict_rougeL": 12.5})
    events = EventAccumulator(str(tmp_path / "tracking"))
    events.Reload()
    assert [one.value for one in events.Scalars("final/predict_rougeL")] == [12.5]


def test_each_job_of_a_process_has_its_own_wandb_run(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        words = ("tracking=wandb", "offline=true", f"tracking.run_name=run-{name}")
        with trackers(composed(*words, "tracking.tags=[a,b]"), tmp_path / name) as log_all:
            log_all({"eval_rougeL": 1.0})
    for name, other in (("first", "second"), ("second", "first")):
        (kept,) = (tmp_path / name / "tracking" / "wandb").glob("offline-run-*/*.wandb")
        content = kept.read_bytes()
        assert f"run-{name}".encode() in content
        assert f"run-{other}".encode() not in content
        assert b"eval_rougeL" in content


def test_no_tracker_leaves_nothing(tmp_path: Path) -> None:
    with trackers(composed(), tmp_path) as log_all:
        log_all({"eval_rougeL": 1.0})
    assert not any(tmp_path.iterdir())


def test_a_failing_run_closes_its_trackers(tmp_path: Path) -> None:
    import wandb

    config = composed("tracking=wandb", "offline=true")
    with pytest.raises(RuntimeError, match="stop"), trackers(config, tmp_path):
        raise RuntimeError("stop")
    assert wandb.run is None

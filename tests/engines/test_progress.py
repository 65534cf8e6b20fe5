"""Progress for who looks from outside: the numbers of `run.json`, and plain lines of a log."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tests import forked, in_process
from tests.engines.jobs import job, training

from summexp.engines import progress
from summexp.engines.config import EngineConfig
from summexp.engines.progress import Progress, TrainingProgress
from summexp.engines.registry import build_engine

ENGINES = pytest.mark.parametrize("engine", ["trainer", "accelerate"])


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report each position, and not only some in an interval."""
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LINES", 10**9)


@ENGINES
@pytest.mark.usefixtures("always")
def test_a_training(engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published: list[dict[str, Any]] = []
    loop = EngineConfig(name=engine)
    options = training(max_steps=3, per_device_train_batch_size=14, lr_scheduler_type="constant")
    one = job(tmp_path, engine=loop, training=options)
    one.progress._publish = published.append
    with caplog.at_level(logging.INFO, logger="summexp"):
        build_engine(loop).fit(one, None)
    assert [values["step"] for values in published] == [1, 2, 3]
    assert {(values["phase"], values["total_steps"]) for values in published} == {("train", 3)}
    last = published[-1]
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    # The loss of a step is logged after it.
    assert last["loss"] == history[1]["loss"]
    assert last["learning_rate"] == 1e-3
    assert last["epoch"] == 1.0
    assert (published[0]["seconds_left"] >= 0, last["seconds_left"]) == (True, 0)
    lines = [one for one in caplog.messages if one.startswith("train: ")]
    assert lines[1].startswith("train: step 2 of 3 (67%), epoch 0.6667, loss ")
    assert ", learning rate 0.001, " in lines[1]
    assert lines[1].endswith(" left")
    assert lines[2].startswith("train: step 3 of 3 (100%), epoch 1, loss ")


def test_the_first_and_the_last_position_are_always_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    published: list[dict[str, Any]] = []
    shown = Progress("predict", "row", 10, publish=published.append)
    with caplog.at_level(logging.INFO, logger="summexp"):
        for _ in range(4):
            shown.advance(2)
        shown.extend(2)
        shown.advance(4)
        shown.close()
    assert [(one["row"], one["total_rows"]) for one in published] == [(2, 10), (12, 12)]
    assert [one.partition(",")[0] for one in caplog.messages] == [
        "predict: row 2 of 10 (20%)",
        "predict: row 12 of 12 (100%)",
    ]


def test_a_part_of_a_training_is_reported_if_it_takes_long(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[dict[str, Any]] = []
    shown = Progress("eval", "row", 10, publish=published.append, nested=True)
    with caplog.at_level(logging.INFO, logger="summexp"):
        shown.advance(2)
        assert (published, caplog.messages) == ([], [])
        monkeypatch.setattr(progress, "_SECONDS", 0.0)
        shown.advance(2)
        shown.close()
    assert [one["row"] for one in published] == [4]
    assert len(caplog.messages) == 1


def test_a_resumed_run_has_the_speed_of_its_own_steps() -> None:
    published: list[dict[str, Any]] = []
    shown = Progress("train", "step", 1000, publish=published.append, done=998)
    shown.advance(1)
    first = published[0]
    assert first["step"] == 999
    # One step of this run is left, of the one that it has taken.
    assert first["seconds_left"] == pytest.approx(1 / first["steps_per_second"], abs=1.0)


@pytest.mark.usefixtures("always")
def test_what_a_redirected_run_prints_and_keeps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, Any]] = []
    from summexp.runs.record import RunRecord

    write = RunRecord.update

    def update(record: RunRecord, **entries: Any) -> None:
        write(record, **entries)
        content = json.loads((record.folder / "run.json").read_text(encoding="utf-8"))
        kept.append(content.get("progress"))

    monkeypatch.setattr(RunRecord, "update", update)
    words = ("debug=tiny", "training.do_predict=true")
    in_process.run(*words, folder=tmp_path / "run")
    output, errors = capsys.readouterr()
    assert "\r" not in output + errors
    phases = [one["phase"] for one in kept if one]
    assert list(dict.fromkeys(phases)) == ["train", "predict"]
    (evaluation, *_) = [one["evaluation"] for one in kept if one and "evaluation" in one]
    assert (evaluation["phase"], evaluation["row"], evaluation["total_rows"]) == ("eval", 4, 8)
    # A finished run has none.
    assert kept[-1] is None


def show_progress(words: list[str]) -> None:
    logging.basicConfig(filename=words[0], level=logging.INFO, format="%(message)s", force=True)
    shown = Progress("train", "step", 3, publish=lambda _: None)
    shown.facts["loss"] = 1.5
    for _ in range(3):
        shown.advance(1)
    shown.close()


def test_a_terminal_has_a_bar_and_the_log_the_lines(tmp_path: Path) -> None:
    terminal = forked.Terminal(tmp_path / "log", cwd=tmp_path, function=show_progress)
    assert terminal.end() == 0, terminal.output
    assert "training: 100%" in terminal.output
    assert "loss=1.500" in terminal.output
    assert "step 3 of 3" not in terminal.output
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "train: step 1 of 3 (33%)",
        "train: step 3 of 3 (100%)",
    ]


def test_a_rank_other_than_0_logs_nothing() -> None:
    quiet = TrainingProgress()
    quiet.close()
    assert quiet._progress is None

"""Data files that are replaced while a run reads or trains, or after it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.in_process import run
from tests.runs.test_resume import composed

from summexp.data import corpus
from summexp.engines.accelerate import TrainingLoop
from summexp.errors import ConfigError
from summexp.runs.resume import RunPlan, plan_run

WORDS = (
    *("debug=tiny", "data=custom_json", "engine=accelerate"),
    *("data.train_file=train.jsonl", "data.validation_file=dev.jsonl"),
    *("data.test_file=test.jsonl", "training.do_predict=true", "training.max_steps=1"),
)


def write(name: str, summary: str) -> None:
    """Replace a file at once, as an editor or rsync does."""
    rows = [{"document": f"Rain fell on day {n}.", "summary": summary} for n in range(3)]
    Path("draft").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    os.replace("draft", name)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl"):
        write(name, "Rain.")


def plan(folder: Path, *words: str) -> RunPlan:
    return plan_run(composed("hardware=cpu", *WORDS, *words), folder)


def test_what_is_recorded_is_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are replaced in the middle of the training, and not read again."""
    step = TrainingLoop.step

    def replacing(loop: TrainingLoop, batches: Any) -> None:
        step(loop, batches)
        for name in ("dev.jsonl", "test.jsonl"):
            write(name, "Snow.")

    monkeypatch.setattr(TrainingLoop, "step", replacing)
    folder = tmp_path / "run"
    run(*WORDS, folder=folder)
    assert plan(folder) == RunPlan(True, False, True, True)
    write("dev.jsonl", "Rain.")
    assert plan(folder) == RunPlan(True, False, False, True)
    write("test.jsonl", "Rain.")
    assert plan(folder).is_done
    # Nobody who asks for a model of the new rows is told that it is there.
    write("train.jsonl", "Snow.")
    with pytest.raises(ConfigError, match=r"train\.jsonl was replaced since") as caught:
        plan(folder)
    assert "training.do_train=false" in str(caught.value)
    assert plan(folder, "training.do_train=false").is_done


@pytest.mark.parametrize("tiny", [True, False])
def test_a_file_that_is_replaced_while_it_is_read_is_told(
    tiny: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be kept under the digest of others."""
    read = corpus.read_rows

    def replacing(path: str, **options: Any) -> Iterator[dict[str, object]]:
        for row in read(path, **options):
            if path == "dev.jsonl":
                write("dev.jsonl", "Snow.")
            yield row

    monkeypatch.setattr(corpus, "read_rows", replacing)
    cache = tmp_path / "cache"
    config = composed(*WORDS).data
    with pytest.raises(ConfigError, match="was replaced while it was read") as caught:
        corpus.load_corpus(config, phases=("eval",), offline=True, cache_dir=cache, in_memory=tiny)
    assert [problem.key for problem in caught.value.problems] == ["data.validation_file"]
    assert not list(cache.glob("corpus/*"))

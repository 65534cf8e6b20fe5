"""Data files that are replaced while a run reads or trains, or after it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from tests.in_process import run
from tests.runs.test_resume import chosen, composed

from summexp.check import check
from summexp.command_line import parse
from summexp.config.typed import typed_config
from summexp.data import corpus
from summexp.data.source_files import RowReader
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
    # A model of the old rows is not the one that is asked for.
    write("train.jsonl", "Snow.")
    with pytest.raises(ConfigError, match=r"train\.jsonl has changed since") as caught:
        plan(folder)
    assert "training.do_train=false" in str(caught.value)
    assert plan(folder, "training.do_train=false").is_done


def save(name: str, document: str) -> None:
    """Write a dataset folder, in place of what was there."""
    rows = [{"document": f"{document} {n}.", "summary": "Rain."} for n in range(3)]
    splits = {one: Dataset.from_list(rows) for one in ("train", "validation", "test")}
    DatasetDict(splits).save_to_disk(name)


def test_a_dataset_folder_that_is_replaced(tmp_path: Path) -> None:
    words = ("debug=tiny", "data=custom_hub", "data.name=rows", "engine=accelerate")
    words += ("data.text_column=document", "data.summary_column=summary")
    words += ("training.do_predict=true", "training.max_steps=1")
    folder = tmp_path / "run"

    def plan(*more: str) -> RunPlan:
        return plan_run(composed("hardware=cpu", *words, *more), folder)

    save("rows", "Rain fell on day")
    run(*words, folder=folder)
    (tmp_path / "rows" / "train" / "cache-1.arrow").write_text("left by datasets")
    assert plan().is_done
    save("rows", "Snow fell on day")
    with pytest.raises(ConfigError, match="rows has changed since") as caught:
        plan()
    assert [problem.key for problem in caught.value.problems] == ["data.name"]
    assert plan("training.do_train=false") == RunPlan(True, False, True, True)
    # What is gone can be neither compared nor read again.
    shutil.rmtree("rows")
    assert not plan().evaluate


def test_a_model_folder_that_is_replaced(tmp_path: Path) -> None:
    run(*WORDS, folder=tmp_path / "model")
    words = ("model=custom", "model.name_or_path=model", "training.do_predict=false")
    folders = {False: tmp_path / "evaluated", True: tmp_path / "trained"}

    def plan(trains: bool, *more: str) -> RunPlan:
        # model=custom is valid only together with model.name_or_path.
        checked = chosen(
            *("hardware=cpu", *WORDS, *words, f"training.do_train={str(trains).lower()}", *more)
        )
        return plan_run(typed_config(checked.tree), folders[trains])

    for trains, folder in folders.items():
        run(*WORDS, *words, f"training.do_train={str(trains).lower()}", folder=folder)
        # A run folder as a model's: its other files say nothing of the model.
        (tmp_path / "model" / "report.md").write_text("another")
        assert plan(trains).is_done
    tokenizer = tmp_path / "model" / "tokenizer_config.json"
    tokenizer.write_text(f"{tokenizer.read_text()}\n")
    assert plan(False) == RunPlan(True, False, True, False)
    for more, advice in (
        ((), "training.do_train=false"),
        (("training.max_steps=2",), "Restore"),
    ):
        with pytest.raises(ConfigError, match="model has changed since") as caught:
            plan(True, *more)
        assert [problem.key for problem in caught.value.problems] == ["model.name_or_path"]
        assert advice in str(caught.value)
    shutil.rmtree("model")
    assert plan(True).is_done


@pytest.mark.parametrize("tiny", [True, False])
def test_a_file_that_is_replaced_while_it_is_read_is_reported(
    tiny: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be kept under the digest of others."""
    rows = RowReader.__iter__

    def replacing(reader: RowReader) -> Iterator[dict[str, object]]:
        for row in rows(reader):
            write("dev.jsonl", "Snow.")
            yield row

    monkeypatch.setattr(RowReader, "__iter__", replacing)
    cache = tmp_path / "cache"
    config = composed(*WORDS).data
    with pytest.raises(ConfigError, match="changed while it was being read") as caught:
        corpus.load_corpus(config, phases=("eval",), offline=True, cache_dir=cache, in_memory=tiny)
    assert [problem.key for problem in caught.value.problems] == ["data.validation_file"]
    assert not list(cache.glob("corpus/*"))


def test_a_file_that_is_replaced_after_the_checks_is_inspected_again() -> None:
    (job,) = check(parse(["hardware=cpu", *WORDS]))
    write("train.jsonl", "Snow.")
    rows = corpus.load_corpus(
        job.config.data, phases=("train",), offline=True, cache_dir=None, files=job.files
    ).train
    assert rows is not None
    assert [row["summary"] for row in rows] == ["Snow."] * 3
    Path("train.jsonl").write_text('{"document": "Rain fell.", "resume": "Rain."}\n')
    with pytest.raises(ConfigError, match="cannot detect the columns") as caught:
        corpus.load_corpus(
            job.config.data, phases=("train",), offline=True, cache_dir=None, files=job.files
        )
    assert [problem.key for problem in caught.value.problems] == ["data.text_column"]

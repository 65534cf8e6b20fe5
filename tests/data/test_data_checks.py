from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from summexp.data.config import DataConfig
from summexp.data.data_checks import check_data
from summexp.errors import Problem


def check(
    *phases: str, debug_tiny: bool = False, offline: bool = False, **config: Any
) -> list[Problem]:
    return check_data(
        DataConfig(**config),
        do_train="train" in phases,
        do_eval="eval" in phases,
        do_predict="predict" in phases,
        debug_tiny=debug_tiny,
        offline=offline,
    )


@pytest.fixture
def train(tmp_path: Path) -> str:
    path = tmp_path / "train.csv"
    path.write_text("id,dialogue,summary\n1,a,b\n")
    return str(path)


def test_good_data_has_no_problem(train: str) -> None:
    phases = ("train", "eval", "predict")
    assert not check(*phases, train_file=train, validation_file=train, test_file=train)
    assert not check(*phases, name="news_briefs")
    assert not check(*phases, name="owner/name")


def test_what_cannot_be_streamed_is_reported_before_the_run(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text("{}")
    folder = str(tmp_path)
    for config, reported in (
        ({"name": "a/b", "offline": True}, "cannot be streamed from the Hub with offline=true"),
        ({"name": "a/b", "train_split": "train[:5]"}, "'train[:5]' is a slice"),
        ({"name": folder, "train_split": "train[:5]"}, "'train[:5]' is a slice"),
        ({"name": str(saved)}, "was written by save_to_disk"),
    ):
        (problem,) = check("train", "eval", streaming=True, **config)
        assert reported in problem.what
        assert not check("train", "eval", **config)
    assert not check("train", name=folder, streaming=True, offline=True)
    # Made-up rows stand in.
    tiny = {"debug_tiny": True, "offline": True, "streaming": True}
    assert not check("train", name="a/b", train_split="train[:5]", **tiny)


def test_all_problems_are_reported_at_once_each_with_its_key(train: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    problems = check(
        *("train", "eval", "predict"),
        train_file=train.replace("train", "trian"),
        validation_files={"in": train, "out": str(empty)},
        text_column="dialog",
    )
    assert [(problem.key, problem.what.split(" ")[-3:]) for problem in problems] == [
        ("data.train_file", ["no", "file", str(tmp_path / "trian.csv")]),
        ("data.text_column", ["no", "column", "'dialog'"]),
        ("data.validation_files.out", ["empty", "(zero", "bytes)"]),
        ("data.test_file", ["no", "test", "data"]),
    ]
    assert problems[0].hint == f"Did you mean '{train}'?"
    assert problems[1].hint.startswith("Did you mean 'dialogue'?")


def test_a_cell_that_is_no_text_is_reported_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "summary": "b"}\n{"text": "a", "summary": ["b", "c"]}\n')
    (problem,) = check("train", train_file=str(path))
    assert problem.key == "data.summary_column"
    assert "row 2: column 'summary' holds a list" in problem.what


def test_a_file_of_a_phase_that_is_off(train: str) -> None:
    (problem,) = check("eval", test_file=train)
    assert (problem.key, problem.what) == (
        "data.test_file",
        "is the only data, and training.do_predict is false",
    )
    assert problem.hint is not None
    assert problem.hint.startswith("Set training.do_predict=true and training.do_eval=false.")


def test_the_same_wrong_column_in_one_file_is_reported_once(train: str) -> None:
    problems = check("train", "eval", train_file=train, validation_file=train, text_column="x")
    assert len(problems) == 1


@pytest.mark.parametrize("debug_tiny", [False, True])
@pytest.mark.parametrize(
    ("phase", "key"),
    [
        ("train", "data.train_file"),
        ("eval", "data.validation_file"),
        ("predict", "data.test_file"),
    ],
)
def test_a_phase_without_data(train: str, phase: str, key: str, debug_tiny: bool) -> None:
    files = {"train_file": train, "validation_file": train, "test_file": train}
    del files[key.removeprefix("data.")]
    (problem,) = check("train", "eval", "predict", **files, debug_tiny=debug_tiny)
    assert problem.key == key
    assert f"training.do_{phase} is true" in problem.what
    assert problem.hint == f"Set {key}=FILE, or training.do_{phase}=false."


def test_no_data_at_all_is_one_problem() -> None:
    (problem,) = check("train", "eval")
    assert problem.key == "data.name"
    assert "data.train_file=FILE and data.validation_file=FILE" in (problem.hint or "")
    assert not check("train", "eval", debug_tiny=True)


def test_files_of_phases_that_are_off_are_not_looked_at(train: str) -> None:
    assert not check("train", train_file=train, test_file="absent.csv")


def test_plain_text_is_for_prediction_only(tmp_path: Path) -> None:
    path = tmp_path / "documents.txt"
    path.write_text("one\n")
    assert not check("predict", test_file=str(path), text_column="dialogue")
    (problem,) = check("train", train_file=str(path))
    assert problem.key == "data.train_file"
    assert "plain text, which has no summaries" in problem.what


def test_an_unknown_ending(tmp_path: Path) -> None:
    path = tmp_path / "train.xlsx"
    path.write_bytes(b"PK\x03\x04")
    (problem,) = check("train", train_file=str(path))
    assert problem.key == "data.train_file"
    assert ".parquet" in (problem.hint or "")


def test_a_name_and_files_are_either_or(train: str) -> None:
    (problem,) = check("train", name="news_briefs", train_file=train)
    assert problem.key == "data.train_file"
    assert "is set together with data.name=news_briefs" in problem.what


@pytest.mark.parametrize("name", ["./corpora/new", "corpora/a/b", "~nobody/x", "/absent/x"])
def test_a_folder_that_is_not_there(name: str) -> None:
    (problem,) = check("train", name=name)
    assert problem.key == "data.name"
    assert problem.what == f"there is no folder {name}"


def test_a_missing_folder_brings_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (problem,) = check("train", name=str(tmp_path / "copus"))
    assert problem.hint == f"Did you mean '{tmp_path / 'corpus'}'?"


def test_a_name_that_can_be_neither_folder_nor_repository(train: str) -> None:
    (problem,) = check("train", name="my corpus!")
    assert "neither a folder nor the name of a Hub repository" in problem.what
    (problem,) = check("train", name=train)
    assert problem.what == f"{train} is a file"


def test_the_splits_of_a_saved_folder_are_known(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "dev"]}))
    (problem,) = check("train", "eval", name=str(tmp_path))
    assert problem.key == "data.validation_split"
    assert "Its splits: train, dev." in (problem.hint or "")
    assert not check("train", "eval", name=str(tmp_path), validation_split="dev[:10]")


def test_nothing_slow_is_imported(train: str) -> None:
    code = """
import sys
from summexp.data.config import DataConfig
from summexp.data.data_checks import check_data
data = DataConfig(train_file=sys.argv[1])
assert not check_data(data, do_train=True, do_eval=False, do_predict=False)
print(*sys.modules)
"""
    loaded = subprocess.check_output([sys.executable, "-c", code, train], text=True).split()
    assert not {"torch", "transformers", "datasets", "pandas", "numpy", "evaluate"} & set(loaded)

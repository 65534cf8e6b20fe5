from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from datasets import Dataset

from summexp.check import check
from summexp.command_line import parse
from summexp.data.health import CorpusHealth, Overlap, SplitHealth
from summexp.evaluation.evaluate import EvaluationResult, EvaluationSet
from summexp.metrics.score import LOSS, Estimate, score_of
from summexp.runs.record import RunRecord, begin, git_state

TOKEN = "hf_" + "a" * 30


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    subprocess.run(["git", *identity, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_holds_commit_and_changes(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one\n")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert (state["dirty"], state["diff"]) == (False, "")
    (tmp_path / "file").write_text("two\n")
    state = git_state(tmp_path)
    assert state is not None
    assert state["dirty"] is True
    assert "+two" in state["diff"]
    (tmp_path / "file").write_text(f"{TOKEN}\n")
    state = git_state(tmp_path)
    assert state is not None
    assert TOKEN not in json.dumps(state)


def test_outside_a_checkout_there_is_no_git_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None


def test_no_secret_of_the_environment_reaches_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setattr("sys.argv", ["train.py", "tracking.run_name=0123456789abcdef"])
    begin(check(parse([]))[0].config, tmp_path, resumes=False)
    assert "0123456789abcdef" not in (tmp_path / "run.json").read_text()


def test_a_later_part_keeps_what_an_earlier_one_counted(tmp_path: Path) -> None:
    first = RunRecord(tmp_path, {})
    overlap = Overlap(split="validation", also_in="train", rows=1)
    both = {"train": SplitHealth(rows=5), "validation": SplitHealth(rows=2)}
    first.add_data(
        fingerprints={"train": "a", "validation": "b"},
        columns={},
        health=CorpusHealth(splits=both, overlaps=[overlap]),
    )
    first.update(phases={"train": {"steps": 3, "epochs": 1.0}})
    with first.phase("train"):
        pass
    first.end("finished")
    later = begin(check(parse([]))[0].config, tmp_path, resumes=True)
    later.add_data(
        fingerprints={"test": "c"},
        columns={},
        health=CorpusHealth(splits={"test": SplitHealth(rows=7)}),
    )
    later.end("finished")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["data"]["fingerprints"] == {"train": "a", "validation": "b", "test": "c"}
    assert set(record["data"]["health"]["splits"]) == {"train", "validation", "test"}
    assert record["data"]["health"]["overlaps"][0]["rows"] == 1
    assert record["phases"]["train"]["steps"] == 3
    assert record["seconds"].keys() == {"train"}
    assert record["resumed_from"] == "finished"


def test_the_scores_of_a_phase_take_the_place_of_its_earlier_ones(tmp_path: Path) -> None:
    def evaluated(name: str, loss: float) -> tuple[EvaluationSet, EvaluationResult]:
        rows = Dataset.from_dict({"document": ["a", "b"], "summary": ["a", None]})
        scores = [score_of(name, LOSS, Estimate(loss))]
        found = EvaluationResult({}, [], {}, scores, {"scored": 1})
        return EvaluationSet(name, rows, rows, None), found

    record = RunRecord(tmp_path, {"scores": ["of somebody else"]})
    record.add_scores("eval", [evaluated("eval_a", 1.0), evaluated("eval_predict", 2.0)])
    record.add_scores("predict", [evaluated("predict", 3.0)])
    record.add_scores("eval", [evaluated("eval_predict", 4.0)])
    assert [(one["set"], one["name"], one["value"]) for one in record.content["scores"]] == [
        ("predict", "loss", 3.0),
        ("eval_predict", "loss", 4.0),
    ]
    counts = {"samples": 2, "scored": 1}
    assert record.content["evaluated"] == {"predict": counts, "eval_predict": counts}

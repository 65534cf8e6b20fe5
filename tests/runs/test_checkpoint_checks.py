from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from summexp.modeling.config import ModelConfig
from summexp.run_folder.checkpoints import write_manifest
from summexp.run_folder.layout import MANIFEST, incomplete_marker
from summexp.runs.checkpoint_checks import checkpoint_problem

T5 = ModelConfig(init="random", architecture={"model_type": "t5", "d_model": 8})


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A checkpoint as its files are seen without torch."""
    checkpoint = tmp_path / "run" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    save_file({"shared.weight": np.ones((4, 8), np.float32)}, checkpoint / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt"):
        with zipfile.ZipFile(checkpoint / name, "w") as archive:
            archive.writestr("data.pkl", "x" * 100)
    write(checkpoint / "config.json", {"model_type": "t5", "d_model": 8})
    write(checkpoint / "trainer_state.json", {"global_step": 5, "log_history": []})
    write_manifest(checkpoint)
    return checkpoint


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda one: (one / "model.safetensors").unlink(), "holds no weights"),
    "weights cut off": (lambda one: cut(one / "model.safetensors"), "weights that cannot be read"),
    "no optimizer": (lambda one: (one / "optimizer.pt").unlink(), "has no optimizer.pt"),
    "optimizer cut off": (
        lambda one: cut(one / "optimizer.pt"),
        "is corrupt: optimizer.pt is truncated",
    ),
    "a model alone": (lambda one: (one / "scheduler.pt").unlink(), "holds a model only"),
    "no state": (lambda one: (one / "trainer_state.json").unlink(), "no trainer_state.json"),
    "a broken state": (lambda one: cut(one / "trainer_state.json"), "broken trainer_state.json"),
    "another state": (
        lambda one: write(one / "trainer_state.json", {"a": 1}),
        "without the training progress",
    ),
    "another size": (lambda one: write(one / "config.json", {"d_model": 16}), "its d_model is 16"),
    "another kind": (
        lambda one: write(one / "config.json", {"model_type": "bart"}),
        "its model_type is bart, and this model has t5",
    ),
}


def test_a_complete_checkpoint_is_taken_with_a_manifest_or_without(whole: Path) -> None:
    assert checkpoint_problem(whole, T5) is None
    # As a plain Trainer would write it.
    (whole / MANIFEST).unlink()
    assert checkpoint_problem(whole, T5) is None


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_wrong_with_a_checkpoint_is_reported(name: str, whole: Path) -> None:
    corruption, words = CORRUPTIONS[name]
    (whole / MANIFEST).unlink()
    corruption(whole)
    problem = checkpoint_problem(whole, T5)
    assert problem is not None
    assert problem.key == "training.resume_from_checkpoint"
    assert words in problem.what
    assert problem.hint


def test_the_manifest_knows_what_was_written(whole: Path) -> None:
    cut(whole / "optimizer.pt")
    problem = checkpoint_problem(whole, T5)
    assert problem is not None
    assert "is corrupt: optimizer.pt has 20 bytes, not " in problem.what
    (whole / MANIFEST).write_text("{", encoding="utf-8")
    problem = checkpoint_problem(whole, T5)
    assert problem is not None
    assert "cannot read manifest.json" in problem.what


def test_one_that_was_cut_short_is_not_taken(whole: Path) -> None:
    (whole / MANIFEST).unlink()
    marker = incomplete_marker(whole)
    marker.touch()
    problem = checkpoint_problem(whole, T5)
    assert problem is not None
    assert "is incomplete" in problem.what
    marker.unlink()
    write(whole.parent / "run.json", {"status": "failed"})
    problem = checkpoint_problem(whole, T5)
    assert problem is not None
    assert "is incomplete" in problem.what


def test_the_advice_names_a_complete_one(whole: Path) -> None:
    later = whole.with_name("checkpoint-9")
    shutil.copytree(whole, later)
    cut(later / "optimizer.pt")
    for named in (later, whole.parent):
        problem = checkpoint_problem(named, T5)
        assert problem is not None
        assert problem.hint is not None
        assert f"training.resume_from_checkpoint={whole.parent}" in problem.hint
    folder = whole.parent.parent
    problem = checkpoint_problem(folder, T5)
    assert problem is not None
    assert "is not a checkpoint" in problem.what

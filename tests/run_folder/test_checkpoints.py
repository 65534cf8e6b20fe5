from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from summexp.run_folder.checkpoints import (
    checkpoints,
    keep_only,
    last_complete_checkpoint,
    make_checkpoint,
    rotate,
    step_of,
    verify,
    write_manifest,
)
from summexp.run_folder.layout import MANIFEST


def make(folder: Path, step: int, *, complete: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    (checkpoint / "trainer_state.json").write_text("{}")
    if complete:
        write_manifest(checkpoint)
    return checkpoint


def test_the_last_step_comes_first(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        make(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    assert [one.name for one in checkpoints(tmp_path)] == [
        "checkpoint-100",
        "checkpoint-10",
        "checkpoint-9",
    ]


def flip_a_bit(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))


def cut(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (flip_a_bit, "model.safetensors is corrupt"),
        (cut, "model.safetensors is corrupt"),
        (lambda one: (one / "trainer_state.json").unlink(), "trainer_state.json is missing"),
        (lambda one: (one / MANIFEST).unlink(), "it is incomplete"),
        (lambda one: (one / MANIFEST).write_text("{"), "cannot read manifest.json"),
    ],
)
def test_a_corrupt_one_is_skipped_with_a_warning(
    harm: object, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = make(tmp_path, 5), make(tmp_path, 10)
    assert last_complete_checkpoint(tmp_path) == bad
    harm(bad)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert last_complete_checkpoint(tmp_path) == good
    assert "skipping checkpoint-10" in caplog.text
    assert words in caplog.text
    assert verify(good) is None


def test_none_is_left(tmp_path: Path) -> None:
    make(tmp_path, 5, complete=False)
    assert last_complete_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"../outside.txt": {"bytes": 1, "blake2b": "x"}}, "outside of the checkpoint"),
        ({"/etc/hostname": {"bytes": 1, "blake2b": "x"}}, "outside of the checkpoint"),
        ({"a/../../outside.txt": {"bytes": 1, "blake2b": "x"}}, "outside of the checkpoint"),
        ({"": {}}, "outside of the checkpoint"),
        ({}, "lists no files"),
        (["model.safetensors"], "lists no files"),
        ("model.safetensors", "lists no files"),
        ({"model.safetensors": None}, "is corrupt"),
    ],
)
def test_a_manifest_is_not_taken_on_trust(manifest: object, words: str, tmp_path: Path) -> None:
    checkpoint = make(tmp_path, 5)
    (tmp_path / "outside.txt").write_text("x")
    (checkpoint / MANIFEST).write_text(json.dumps(manifest))
    assert words in (verify(checkpoint) or "")
    assert last_complete_checkpoint(tmp_path) is None


def test_a_step_is_written_in_latin_digits(tmp_path: Path) -> None:
    for name in ("checkpoint-\u00b2", "checkpoint-\u0663", "checkpoint-+3", "checkpoint-3_0"):
        (tmp_path / name).mkdir()
    assert checkpoints(tmp_path) == []


def test_older_checkpoints_go_and_those_of_somebody_else_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        make(tmp_path, step)
    for step in (5, 35, 50):
        make(tmp_path, step, complete=False)
    make(tmp_path, 15).rename(tmp_path / "checkpoint-15-mine")
    (tmp_path / "checkpoint-25").symlink_to(tmp_path / "checkpoint-15-mine")
    rotate(tmp_path / "checkpoint-40", 2, tmp_path / "checkpoint-10")
    left = ["checkpoint-10", "checkpoint-15-mine", "checkpoint-35"]
    left += ["checkpoint-40", "checkpoint-5", "checkpoint-50"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    keep_only(tmp_path, tmp_path / "checkpoint-10")
    left.remove("checkpoint-40")
    assert sorted(path.name for path in tmp_path.iterdir()) == left


@pytest.mark.parametrize(("limit", "left"), [(None, 4), (0, 4), (-1, 4), (9, 4), (3, 3), (1, 1)])
def test_as_many_checkpoints_are_kept_as_asked_for(
    limit: int | None, left: int, tmp_path: Path
) -> None:
    for step in (10, 20, 30, 40):
        make(tmp_path, step)
    rotate(tmp_path / "checkpoint-40", limit, None)
    assert [step_of(one) for one in checkpoints(tmp_path)] == [40, 30, 20, 10][:left]


def test_a_half_written_checkpoint_makes_room_and_a_foreign_one_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_checkpoint(tmp_path / "checkpoint-5")
    (tmp_path / "checkpoint-5" / "half").write_text("written")
    make_checkpoint(tmp_path / "checkpoint-5")
    write_manifest(tmp_path / "checkpoint-5")
    make_checkpoint(tmp_path / "checkpoint-5")
    assert not caplog.records
    make(tmp_path, 6, complete=False)
    make_checkpoint(tmp_path / "checkpoint-6")
    assert not any((tmp_path / "checkpoint-6").iterdir())
    assert (tmp_path / "checkpoint-6.backup-1" / "trainer_state.json").read_text() == "{}"
    assert (
        "checkpoint-6 was not written by summexp: renamed to checkpoint-6.backup-1" in caplog.text
    )

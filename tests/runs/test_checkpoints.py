from __future__ import annotations

import logging
from pathlib import Path

import pytest

from summexp.runs.checkpoints import MANIFEST, checkpoints, damage, last_whole_checkpoint, seal


def make(folder: Path, step: int, *, sealed: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    (checkpoint / "trainer_state.json").write_text("{}")
    if sealed:
        seal(checkpoint)
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
        (flip_a_bit, "model.safetensors is damaged"),
        (cut, "model.safetensors is damaged"),
        (lambda one: (one / "trainer_state.json").unlink(), "trainer_state.json is missing"),
        (lambda one: (one / MANIFEST).unlink(), "it was not finished"),
        (lambda one: (one / MANIFEST).write_text("{"), "cannot be read"),
    ],
)
def test_a_damaged_one_is_passed_over_with_a_warning(
    harm: object, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = make(tmp_path, 5), make(tmp_path, 10)
    assert last_whole_checkpoint(tmp_path) == bad
    harm(bad)  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert last_whole_checkpoint(tmp_path) == good
    assert "checkpoint-10 is passed over" in caplog.text
    assert words in caplog.text
    assert damage(good) is None


def test_none_is_left(tmp_path: Path) -> None:
    make(tmp_path, 5, sealed=False)
    assert last_whole_checkpoint(tmp_path) is None

"""Which of schema, files and command line wins, weakest first, and the user's own files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from summexp.check import check
from summexp.command_line import parse
from summexp.config import compose
from summexp.config.schema import Config
from summexp.errors import ConfigError

Write = Callable[[str, str], None]
Composed = Callable[..., Config]

GROUPS = ["training", "model", "data", "engine", "hardware", "experiment", "debug"]
"""From weak to strong; `training` holds its own keys, the others set them from outside."""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped choices that a test may add to."""
    copy = tmp_path / "conf"
    shutil.copytree(compose.conf_dir(), copy)
    monkeypatch.setattr(compose, "conf_dir", lambda: copy)
    monkeypatch.chdir(tmp_path)
    return copy


@pytest.fixture
def write(conf: Path) -> Write:
    def write_choice(name: str, body: str) -> None:
        path = conf / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        header = "" if name.startswith("training/") else "# @package _global_\n"
        path.write_text(header + body, encoding="utf-8")

    return write_choice


def composed(*words: str) -> Config:
    (job,) = check(parse(list(words)))
    return job.config


def test_the_stronger_file_wins_at_every_step(write: Write) -> None:
    words = []
    assert composed("model=t5_small").training.logging_steps == 10
    for steps, group in enumerate(GROUPS, start=101):
        body = f"do_train: true\nlogging_steps: {steps}\n"
        if group != "training":
            body = f"training:\n  logging_steps: {steps}\n"
        if group == "model":
            body += "model:\n  name_or_path: owner/name\n"
        if group == "data":
            body += "data:\n  name: news_briefs\n"
        write(f"{group}/mine", body)
        # Named from strong to weak, so that the order of the words cannot be what decides.
        words.insert(0, f"{group}=mine")
        assert composed(*words).training.logging_steps == steps
    write("local/default", "training:\n  logging_steps: 200\n")
    assert composed(*words).training.logging_steps == 200
    assert composed(*words, "training.logging_steps=201").training.logging_steps == 201


def test_generation_follows_the_same_order(write: Write) -> None:
    write("model/mine", "model:\n  name_or_path: owner/name\ngeneration:\n  num_beams: 6\n")
    assert composed("model=mine", "generation=beam4").generation.num_beams == 6
    parity = composed("model=mine", "experiment=hf_parity", "metric.sentences=sentencex")
    assert parity.generation.num_beams == 1
    assert composed("model=mine", "generation.num_beams=3").generation.num_beams == 3


def test_what_the_tiny_model_needs_is_not_inherited() -> None:
    tiny, small = composed(), composed("model=t5_small")
    assert tiny.training.learning_rate != small.training.learning_rate
    assert small.training.learning_rate == 5e-5


def test_an_experiment_chooses_and_the_command_line_overrules_it() -> None:
    chosen = composed("experiment=cnn_dailymail_t5_small")
    assert chosen.model.name_or_path == "google-t5/t5-small"
    assert chosen.data.name == "abisee/cnn_dailymail"
    overruled = composed("experiment=cnn_dailymail_t5_small", "model=bart_base")
    assert overruled.model.name_or_path == "facebook/bart-base"
    assert overruled.data.name == "abisee/cnn_dailymail"


def test_a_local_choice_holds_for_every_run(write: Write) -> None:
    write("local/default", "defaults:\n  - override /tracking: tensorboard\noffline: true\n")
    config = composed()
    assert config.tracking.trackers == ["tensorboard"]
    assert config.offline


def test_a_local_choice_is_stronger_than_an_experiment(write: Write) -> None:
    write("local/default", "defaults:\n  - override /model: bart_base\n")
    words = ["experiment=cnn_dailymail_t5_small"]
    assert composed(*words).model.name_or_path == "facebook/bart-base"
    assert composed(*words, "model=t5_base").model.name_or_path == "google-t5/t5-base"


def test_a_mistake_in_the_local_file_is_reported(write: Write, conf: Path) -> None:
    write("local/default", "modle: 3\noffline: maybe\n")
    with pytest.raises(ConfigError) as raised:
        composed()
    reported = [(problem.key, problem.where) for problem in raised.value.problems]
    where = str(conf.relative_to(conf.parent) / "local" / "default.yaml")
    assert reported == [("modle", where), ("offline", where)]


def test_a_folder_of_ones_own_adds_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, body in {
        "model/mine": "model:\n  name_or_path: owner/mine\ntraining:\n  learning_rate: 3e-4\n",
        "data/ours": "data:\n  name: owner/ours\n  text_column: body\n",
    }.items():
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# @package _global_\n{body}", encoding="utf-8")
    config = composed("--config-dir", "own", "model=mine", "data=ours")
    assert config.model.name_or_path == "owner/mine"
    assert config.training.learning_rate == 3e-4
    assert (config.data.name, config.data.text_column) == ("owner/ours", "body")

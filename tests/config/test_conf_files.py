"""Every file of `conf/`: its voice, and that it composes alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from summexp.config.compose import choice_tree, conf_dir
from summexp.config.typed import read_tree

CONF = conf_dir()
FILES = sorted(CONF.rglob("*.yaml"))
CHOICES = [path for path in FILES if path.parent != CONF and "hydra" not in path.parts]


def name(path: Path) -> str:
    return path.relative_to(CONF).with_suffix("").as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_opens_with_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[0].startswith("# @package"):
        lines.pop(0)
    assert lines[0].startswith("# ")
    assert "train.py" not in lines[0]
    assert len(lines[0]) <= 120


@pytest.mark.parametrize("path", CHOICES, ids=name)
def test_a_choice_names_the_command_that_uses_it(path: Path) -> None:
    group, choice = name(path).rsplit("/", 1)
    comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("# ")]
    commands = [line for line in comments if line.startswith("# python train.py ")]
    assert any(f"{group}={choice}" in line.split() for line in commands)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_file_names_code_to_import(path: Path) -> None:
    assert not re.search(r"\b_target_\b", OmegaConf.to_yaml(OmegaConf.load(path)))


@pytest.mark.parametrize("path", CHOICES, ids=name)
def test_a_choice_composes_alone(path: Path) -> None:
    group, choice = name(path).rsplit("/", 1)
    with choice_tree() as tree:
        # The one choice that says nothing without a name beside it.
        beside = ["model.name_or_path=my/model"] if choice == "custom" else []
        composed, problems = tree.compose([f"{group}={choice}", *beside])
    assert problems == []
    assert read_tree(composed).problems == []

"""Every file of `conf/`: its voice, and that it composes alone."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import OmegaConf

from summexp.config.compose import choice_tree, conf_dir
from summexp.config.typed import read_tree

CONF = conf_dir()
FILES = sorted(CONF.rglob("*.yaml"))
CHOICES = [path for path in FILES if path.parent != CONF and "hydra" not in path.parts]


def name(path: Path) -> str:
    return path.relative_to(CONF).with_suffix("").as_posix()


def test_a_file_opens_with_what_it_is() -> None:
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        first = lines[1] if lines[0].startswith("# @package") else lines[0]
        assert first.startswith("# "), path
        assert "train.py" not in first, path
        assert len(first) <= 120, path


def test_a_choice_names_the_command_that_uses_it() -> None:
    for path in CHOICES:
        group, choice = name(path).rsplit("/", 1)
        lines = path.read_text("utf-8").splitlines()
        commands = [line.split() for line in lines if line.startswith("# python train.py ")]
        assert any(f"{group}={choice}" in words for words in commands), path


def test_no_file_names_code_to_import() -> None:
    for path in FILES:
        text = OmegaConf.to_yaml(OmegaConf.load(path))
        assert not re.search(r"\b_target_\b", text), path


def test_a_choice_composes_alone() -> None:
    with choice_tree() as tree:
        for path in CHOICES:
            group, choice = name(path).rsplit("/", 1)
            # The one choice that says nothing without a name beside it.
            beside = ["model.name_or_path=my/model"] if choice == "custom" else []
            composed, problems = tree.compose([f"{group}={choice}", *beside])
            assert problems == [], path
            assert read_tree(composed).problems == [], path

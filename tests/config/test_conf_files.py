"""Every file of `conf/`: its voice; `tests/test_docs.py` composes the commands that it names."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import OmegaConf

from summexp.config.compose import conf_dir

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

"""What a printed command says: read by a shell, by Hydra, and by the typed schema."""

from __future__ import annotations

import shlex
from functools import reduce
from typing import Any

from omegaconf import OmegaConf

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config


def words_of(line: str) -> list[str]:
    """Return the words that follow `python train.py`, variables in front left out."""
    words = shlex.split(line)
    start = words.index("python")
    assert all("=" in word for word in words[:start])
    assert words[start + 1] == "train.py"
    return words[start + 2 :]


def composed(line: str) -> Config:
    """Compose a printed line as `train.py` would."""
    assert "\n" not in line
    command = parse([*words_of(line), "--cfg", "job"])
    assert command.problems == []
    (job,) = check(command)
    return job.config


def value_at(config: Config, key: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = reduce(
        lambda node, name: node.get(name) if hasattr(node, "get") else getattr(node, name),
        key.split("."),
        config,
    )
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value

"""Provenance of values: the files of a job, and which file or override set a key.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from summexp.config.schema import SECTIONS
from summexp.paths import display_path
from summexp.upstream.hydra import chosen_files

COMMAND_LINE = "command line"
"""Source of a key that an override set."""
SHIPPED = "main"
"""Hydra's name of the folder of shipped choices."""


@dataclass(frozen=True)
class ChoiceFile:
    """A YAML file of a job."""

    path: str
    """Path for messages."""
    package: str
    """Package of its content in the tree, dotted; empty for the root."""
    content: DictConfig
    """Content with unresolved interpolations, without the defaults list."""
    is_shipped: bool = False
    """Whether it is shipped with summexp, and need not be checked."""

    @property
    def group(self) -> str:
        """Name of its group, which is its folder."""
        return Path(self.path).parent.name

    @property
    def choice(self) -> str:
        """Name of the choice."""
        return Path(self.path).stem

    def key(self, inner: str) -> str:
        """Return the key of the tree that `inner` sets."""
        return f"{self.package}.{inner}" if self.package else inner

    def sets(self, key: str) -> bool:
        """Return whether the file sets `key` of the tree, or a part of it."""
        if self.package:
            if not key.startswith(f"{self.package}."):
                return False
            key = key.removeprefix(f"{self.package}.")
        node = self._plain
        for name in key.split("."):
            if not isinstance(node, dict) or name not in node:
                return False
            node = node[name]
        return True

    @cached_property
    def _plain(self) -> Any:
        """The content as it was read, in plain Python, with interpolations unresolved."""
        return OmegaConf.to_container(self.content)


def files_of(loader: ConfigLoader, config_name: str, overrides: list[str]) -> list[ChoiceFile]:
    """Return the YAML files of a job, the strongest last, without Hydra's files and the schema.

    Raises:
        Exception: an error of Hydra in a defaults list.
    """
    files = []
    for chosen in chosen_files(loader, config_name, overrides):
        if chosen.folder.startswith("file://") and isinstance(chosen.content, DictConfig):
            name = f"{chosen.name}.yaml"
            path = display_path(Path(chosen.folder.removeprefix("file://"), name))
            is_shipped = chosen.provider == SHIPPED and not name.startswith("local/")
            files.append(ChoiceFile(path, chosen.package, chosen.content, is_shipped))
    return files


def source_of(key: str, files: Sequence[ChoiceFile], overrides: Sequence[str]) -> str | None:
    """Return the source of `key`: the command line, a file, or None for a default of the schema."""
    if any(_sets(word, key) for word in overrides):
        return COMMAND_LINE
    return next((file.path for file in reversed(files) if file.sets(key)), None)


def _sets(word: str, key: str) -> bool:
    name = word.split("=", 1)[0].lstrip("+~")
    # `data=custom_csv` chooses a file, which then sets `data.name`.
    return name == key or (name not in SECTIONS and key.startswith(f"{name}."))

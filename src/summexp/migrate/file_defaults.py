"""Values that the files of `conf/` set, beside those that an old command sets.

Tested in tests/migrate/test_translation.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf

from summexp.config.compose import choice_tree
from summexp.config.keys import declared, declared_fields
from summexp.config.values import plain


def composed(choices: Mapping[str, str]) -> DictConfig:
    """Return the config with these choices, group to file, and nothing else set."""
    return _composed(tuple(f"{group}={name}" for group, name in choices.items()))


@cache
def _composed(words: tuple[str, ...]) -> DictConfig:
    with choice_tree() as tree:
        return tree.compose(list(words))[0]


def is_in_file(base: DictConfig, key: str, value: Any, *, may_be_default: bool = False) -> bool:
    """Return whether a chosen file gives `key` this value.

    A default of the schema is no file's: what the old command sets is set again.

    Args:
        base: the config with the choices.
        key: a config key.
        value: its value.
        may_be_default: whether a default of the schema will do too.
    """
    there = plain(OmegaConf.select(base, key))
    if type(there) is not type(value) or there != value:
        return False
    is_of_file = declared(key) == key and there != declared_fields()[key].default
    return is_of_file or may_be_default


def source_of(base: DictConfig, key: str) -> str | None:
    """Return the key whose value a file gives to another of its section, or None."""
    section, _, name = key.partition(".")
    written = OmegaConf.to_container(base[section], resolve=False)
    assert isinstance(written, dict)
    match = re.fullmatch(r"\$\{\.(\w+)\}", str(written[name]))
    return f"that of {section}.{match[1]}" if match else None

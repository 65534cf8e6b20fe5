"""Validation of the `hydra` node: no foreign code, no secrets, no unknown keys.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, ListConfig, OmegaConf

from summexp.config.files import IN_A_FILE, holds_secret, plain
from summexp.config.slurm_launcher import SlurmConfig
from summexp.errors import Problem, nearest

_OURS = (
    "hydra._internal.core_plugins.",
    "hydra_plugins.summexp_launchers.",
    "summexp.",
    "logging.",
)
"""Prefixes of the code that the `hydra` node may name; log handlers are those of `logging`."""


def hydra_problems(node: Any, path: str = "hydra") -> Iterator[Problem]:
    """Yield foreign code and secrets in the composed `hydra` node."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for name in node:
            yield from _entry_problems(node._get_node(name), path, str(name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for index in range(len(node)):
            yield from hydra_problems(node._get_node(index), f"{path}.{index}")


def _entry_problems(child: Any, path: str, name: str) -> Iterator[Problem]:
    key = f"{path}.{name}"
    if OmegaConf.is_config(child):
        yield from hydra_problems(child, key)
        return
    value = plain(child)
    names_code = name in ("_target_", "()") or (name == "class" and "logging" in path)
    if names_code and value is not None and not str(value).startswith(_OURS):
        yield Problem(
            key=key,
            what=f"imports {str(value)!r}, which is not shipped with summexp",
            hint="Choose one of the files in conf/hydra.",
        )
    elif holds_secret(key, value):
        yield Problem(key=key, what=IN_A_FILE.what, hint=IN_A_FILE.hint)


def unknown_hydra_key(key: str) -> Problem | None:
    """Return the problem of a key below `hydra.` that Hydra does not have."""
    node: Any = OmegaConf.structured(HydraConf)
    # Hydra's default launcher has no keys.
    OmegaConf.update(node, "launcher", OmegaConf.structured(SlurmConfig))
    parts = key.split(".")[1:]
    for depth, part in enumerate(parts):
        if not (isinstance(node, DictConfig) and is_dataclass(OmegaConf.get_type(node))):
            return None
        # Not `in`, which is False for a missing value.
        if part not in node.keys():  # noqa: SIM118
            above = ".".join(["hydra", *parts[:depth]])
            names = sorted(map(str, node.keys()))
            hint = nearest(key, [f"{above}.{name}" for name in names])
            hint = hint or f"{above} has: {', '.join(names)}."
            return Problem(key=key, what="there is no such key", hint=hint)
        node = node._get_node(part)
    return None

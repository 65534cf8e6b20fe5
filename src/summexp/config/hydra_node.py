"""Validation of the `hydra` node: no foreign code, no secrets, no unknown keys.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from hydra.conf import HydraConf

from summexp.config.files import IN_A_FILE, holds_secret
from summexp.config.slurm_launcher import SlurmConfig
from summexp.errors import Problem, nearest
from summexp.upstream.hydra import CORE_PLUGINS

_OURS = (
    CORE_PLUGINS,
    "hydra_plugins.summexp_launchers.",
    "summexp.",
    "logging.",
)
"""Prefixes of the code that the `hydra` node may name; log handlers are those of `logging`."""


def hydra_problems(node: Any, path: str = "hydra") -> Iterator[Problem]:
    """Yield foreign code and secrets in the composed `hydra` node, given as a plain container."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _entry_problems(child, path, str(name))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from hydra_problems(child, f"{path}.{index}")


def _entry_problems(value: Any, path: str, name: str) -> Iterator[Problem]:
    key = f"{path}.{name}"
    if isinstance(value, dict | list):
        yield from hydra_problems(value, key)
        return
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
    schema: Any = HydraConf
    parts = key.split(".")[1:]
    for depth, part in enumerate(parts):
        if not is_dataclass(schema):
            return None
        types = get_type_hints(schema)
        if part not in types:
            above = ".".join(["hydra", *parts[:depth]])
            names = sorted(types)
            hint = nearest(key, [f"{above}.{name}" for name in names])
            hint = hint or f"{above} has: {', '.join(names)}."
            return Problem(key=key, what="there is no such key", hint=hint)
        # Hydra's default launcher has no keys, and no type.
        schema = SlurmConfig if parts[: depth + 1] == ["launcher"] else types[part]
    return None

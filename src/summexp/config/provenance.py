"""Which file, or which word of the command line, set a key."""

from __future__ import annotations

from pathlib import Path

from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.types import RunMode
from omegaconf import OmegaConf

COMMAND_LINE = "command line"
"""The source of a key that a word of the command line set."""


def source_of(
    key: str, loader: ConfigLoader, config_name: str, overrides: list[str]
) -> str | None:
    """Return what set `key` last: the command line, a file, or None for a default of the schema."""
    if any(_sets(word, key) for word in overrides):
        return COMMAND_LINE
    repository = CachingConfigRepository(loader.repository)  # type: ignore[attr-defined]
    defaults = loader.compute_defaults_list(config_name, overrides, RunMode.RUN)
    for default in reversed(defaults.defaults):
        loaded = repository.load_config(default.config_path) if default.config_path else None
        if loaded is None or loaded.provider == "summexp":
            continue
        package = default.package or ""
        inner = key.removeprefix(f"{package}.") if package else key
        if (not package or key.startswith(f"{package}.")) and _holds(loaded.config, inner):
            root = loaded.path.removeprefix("file://")
            return display_path(Path(root, f"{default.config_path}.yaml"))
    return None


def display_path(path: Path) -> str:
    """Return `path` as a user would write it: relative to the working folder where it lies below."""
    absolute = path.resolve()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def _sets(word: str, key: str) -> bool:
    name = word.split("=", 1)[0].lstrip("+~")
    return name == key or key.startswith(f"{name}.")


def _holds(config: object, key: str) -> bool:
    missing = object()
    return OmegaConf.select(config, key, default=missing, throw_on_missing=False) is not missing  # type: ignore[arg-type]

"""What can be found wrong with the model without importing torch: folders, and the Hub's cache."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from summexp.errors import Problem, nearest
from summexp.modeling.config import ModelConfig

_NAMES = ("name_or_path", "config_name", "tokenizer_name")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def check_model(config: ModelConfig, *, offline: bool) -> Iterator[Problem]:
    """Yield what is wrong with the folders and repositories that the model names.

    Args:
        config: the `model` group.
        offline: whether the Hub's cache is all there is.
    """
    for field in _NAMES:
        name = getattr(config, field)
        if not name or Path(name).expanduser().is_dir():
            continue
        problem = name_problem(name, config.cache_dir if offline else None, offline=offline)
        if problem is not None:
            yield Problem(key=f"model.{field}", what=problem.what, hint=problem.hint)


def name_problem(name: str, cache_dir: str | None, *, offline: bool) -> Problem | None:
    """Say why nothing can be loaded under a name that is no folder's, or return None."""
    folder = Path(name).expanduser()
    if folder.is_file():
        return Problem(what=f"{name} is a file", hint="Name the folder that it lies in.")
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        return Problem(what=f"there is no folder {name}", hint=_nearby(folder))
    if not _REPOSITORY.fullmatch(name):
        return Problem(
            what=f"{name!r} is neither a folder nor the name of a Hub repository",
            hint="A Hub repository is called owner/name, such as google-t5/t5-small.",
        )
    if offline and not is_cached(name, cache_dir):
        return Problem(
            what=f"{name} was not downloaded before, and offline=true forbids it now",
            hint="Run once with the network, name a folder, or try the way with debug=tiny.",
        )
    return None


def is_cached(repository: str, cache_dir: str | None = None) -> bool:
    """Tell whether any revision of a Hub model lies in the Hugging Face cache.

    The cache's folder and its layout are those that the documentation of huggingface_hub describes.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    hub = Path(os.environ.get("HF_HOME") or home, "hub")
    root = Path(cache_dir or os.environ.get("HF_HUB_CACHE") or hub).expanduser()
    snapshots = root / f"models--{repository.replace('/', '--')}" / "snapshots"
    return snapshots.is_dir() and any(snapshots.iterdir())


def _nearby(folder: Path) -> str | None:
    if not folder.parent.is_dir():
        return f"There is no folder {folder.parent} either (from {Path.cwd()})."
    return nearest(folder.name, [entry.name for entry in folder.parent.iterdir() if entry.is_dir()])

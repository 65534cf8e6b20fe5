"""Environment variables of the Hugging Face libraries, understood as they understand them.

Read in huggingface_hub 2.4, datasets 5.2 and evaluate 0.4. Importing this module is cheap, and its
functions import none of them.

Tested in tests/runs/test_process_environment.py, tests/upstream/test_hf_environment.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from summexp.paths import at_home, user_caches

_TRUE = ("1", "ON", "YES", "TRUE")
"""Values taken as true, in upper or lower case."""
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
_overridden: dict[str, str | None] = {}
"""The user's values of the variables that `set_offline` has replaced."""


def hf_home() -> Path | None:
    """Return the folder of all downloads and caches, or None without a home folder."""
    given = os.environ.get("HF_HOME")
    if given:
        return Path(at_home(given))
    caches = user_caches()
    return caches and Path(at_home(str(caches)), "huggingface")


def hub_cache() -> Path | None:
    """Return the folder of downloaded models, or None without a home folder."""
    return _inside_home("HF_HUB_CACHE", "hub")


def modules_cache() -> Path | None:
    """Return the folder of downloaded code, or None without a home folder."""
    return _inside_home("HF_MODULES_CACHE", "modules")


def _inside_home(variable: str, name: str) -> Path | None:
    given, home = os.environ.get(variable), hf_home()
    return Path(at_home(given)) if given else home and home / name


def variables_of_caches(home: Path | None) -> list[str]:
    """Return the variables that set where is written to, if `home` is not writable.

    Downloads that lie in it are still used. Those that are set already are left out.
    """
    if home is None or not os.path.isdir(home):
        return ["HF_HOME"]
    names = ["HF_DATASETS_CACHE", "HF_MODULES_CACHE"]
    names += [] if (home / "hub").is_dir() else ["HF_HUB_CACHE"]
    return [name for name in names if name not in os.environ]


def set_offline(*, offline: bool) -> None:
    """Set the offline mode of all libraries, or restore the user's environment.

    Constants that they set at import are set again, if an earlier job of a sweep has imported them.
    """
    if offline:
        for name in _OFFLINE:
            _overridden.setdefault(name, os.environ.get(name))
            os.environ[name] = "1"
    while not offline and _overridden:
        name, value = _overridden.popitem()
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    hub = _is_on("HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "TRANSFORMERS_OFFLINE")
    corpora = _is_on("HF_DATASETS_OFFLINE") if "HF_DATASETS_OFFLINE" in os.environ else hub
    for module, attribute, value_read in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE", hub),
        ("datasets.config", "HF_HUB_OFFLINE", corpora),
        ("datasets.config", "HF_DATASETS_OFFLINE", corpora),
        ("evaluate.config", "HF_EVALUATE_OFFLINE", _is_on("HF_EVALUATE_OFFLINE")),
    ):
        if hasattr(sys.modules.get(module), attribute):
            setattr(sys.modules[module], attribute, value_read)


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").upper() in _TRUE


def datasets_is_offline() -> bool:
    """Return whether datasets, which is imported, may not use the network."""
    config: Any = sys.modules["datasets.config"]
    return bool(config.HF_HUB_OFFLINE)


@contextmanager
def datasets_offline(*, offline: bool) -> Iterator[None]:
    """Forbid datasets the network, where it is not forbidden already.

    `load_dataset` has no argument for it.
    """
    config: Any = sys.modules["datasets.config"]
    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = offline or before
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before

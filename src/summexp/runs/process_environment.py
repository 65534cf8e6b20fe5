"""Environment variables of a run's process, set before torch and transformers are imported."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.data.split_sources import BUNDLED
from summexp.errors import RunError
from summexp.run_folder.creation import may_write
from summexp.upstream.accelerate import uses_torch_xla

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_LEAST_ROOM = 1 << 20
"""Minimum free bytes of a disk for a cache."""

_TRUE = ("1", "ON", "YES", "TRUE")
"""Values that Hugging Face's libraries take as true, in upper or lower case."""
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
_overridden: dict[str, str | None] = {}
"""The user's values of the variables that a job with `offline=true` has replaced."""


def cache_dir() -> Path | None:
    """Return the cache folder of tokenized splits and trained tokenizers.

    `SUMMEXP_CACHE`, else `summexp` in the user's cache folder. None, with a warning, if the user
    has no home.
    """
    given = os.environ.get("SUMMEXP_CACHE")
    if given:
        return Path(given)
    caches = _user_caches()
    if caches is None:
        log.warning("caching is disabled: no home folder; set SUMMEXP_CACHE to a folder")
    return caches and caches / "summexp"


def _user_caches() -> Path | None:
    """Return the cache folder of this user, or None without a home folder."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given)
    home = os.path.expanduser("~")
    return Path(home, ".cache") if home != "~" else None


def cache_remark(config: Config) -> str | None:
    """Return why a run could not write to its cache, or None if it can."""
    cache = None if config.debug.tiny else cache_dir()
    if cache is None or _is_writable(cache):
        return None
    return f"caching is disabled: {cache} is not writable; set SUMMEXP_CACHE to another folder"


def prepare(config: Config) -> None:
    """Set the environment variables of a run: offline mode, caches, threads, XLA.

    Call it before datasets and transformers are imported. If an earlier job of a sweep has imported
    them, the constants that they read at import are set again.
    """
    _set_offline(offline=config.offline)
    _place_hub_caches(config)
    _choose_xla(config)
    # accelerate imports DeepSpeed for every run, if it is installed.
    logging.getLogger("DeepSpeed").addFilter(_is_not_accelerator_warning)
    # Parallel tokenizers would deadlock in forked data loader workers.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if _forks(config) else "true")
    # By default OpenMP's threads wait by spinning, which is slow if another program uses a core:
    # 60 steps of t5_tiny on two busy cores took 179 s, and 33 s with PASSIVE.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _place_hub_caches(config: Config) -> None:
    """Use a temporary folder for the caches of the Hub's libraries if `HF_HOME` is not writable.

    Existing downloads in a read-only `HF_HOME` are still used.
    """
    caches = _user_caches()
    given = os.environ.get("HF_HOME")
    home = Path(given) if given else caches and caches / "huggingface"
    if home is not None and _is_writable(home):
        return
    names = ["HF_HOME"]
    if home is not None and os.path.isdir(home):
        names = ["HF_DATASETS_CACHE", "HF_MODULES_CACHE"]
        names += [] if (home / "hub").is_dir() else ["HF_HUB_CACHE"]
        # The process that started this rank may have set them, and has logged it.
        names = [name for name in names if name not in os.environ]
    if not names:
        return
    temporary = tempfile.TemporaryDirectory(prefix="summexp-hf-", ignore_cleanup_errors=True)
    atexit.register(temporary.cleanup)
    for name in names:
        os.environ[name] = str(Path(temporary.name, name.lower()))
    uses_hub = config.data.name not in (None, BUNDLED) or config.model.init == "pretrained"
    if uses_hub and not config.debug.tiny:
        where = "no home folder" if home is None else f"{home} is not writable"
        log.warning("downloads are not cached: %s; set HF_HOME to a folder", where)


def _is_writable(folder: Path) -> bool:
    """Return whether `folder` can be written or created, with enough free space."""
    # Unlike `Path.exists`, `os.path.exists` is False inside another user's private folder.
    places = (folder, *folder.absolute().parents)
    existing = next(place for place in places if os.path.exists(place))
    if not (existing.is_dir() and may_write(existing)):
        return False
    return shutil.disk_usage(existing).free >= _LEAST_ROOM


def _set_offline(*, offline: bool) -> None:
    """Set the offline mode of Hugging Face's libraries, or restore the user's environment."""
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
    # Constants that the libraries set from the variables at import (huggingface_hub 2.4,
    # datasets 5.2, evaluate 0.4).
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


def _is_not_accelerator_warning(record: logging.LogRecord) -> bool:
    """Return whether `record` is not DeepSpeed's warning of a missing accelerator."""
    return not record.getMessage().startswith("Setting accelerator to CPU")


def _choose_xla(config: Config) -> None:
    """Enable or disable torch_xla.

    transformers (5.23) and accelerate (1.15) use it for every run if it is installed.
    """
    chosen = config.hardware.backend == "xla"
    if uses_torch_xla() not in (None, chosen):
        raise RunError(
            "an earlier job of this process used another hardware.backend, and xla cannot share "
            "a process with others; run it in a separate sweep"
        )
    os.environ["USE_TORCH_XLA"] = "1" if chosen else "0"
    if not chosen:
        return
    virtual = config.hardware.virtual_devices
    if virtual is not None:
        os.environ.update(PJRT_DEVICE="CPU", CPU_NUM_DEVICES=str(virtual))
    else:
        os.environ.setdefault("PJRT_DEVICE", "TPU")
    # The compiler prints deprecation warnings for each program.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _forks(config: Config) -> bool:
    return bool(config.training.dataloader_num_workers or config.data.preprocessing_num_workers)

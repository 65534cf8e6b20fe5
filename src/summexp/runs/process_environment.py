"""Environment variables of a run's process, set before torch and transformers are imported."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.data.split_sources import BUNDLED
from summexp.errors import RunError
from summexp.paths import user_caches
from summexp.run_folder.creation import may_write
from summexp.upstream.accelerate import uses_torch_xla
from summexp.upstream.deepspeed import silence_missing_accelerator
from summexp.upstream.hf_environment import hf_home, set_offline, variables_of_caches

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_LEAST_ROOM = 1 << 20
"""Minimum free bytes of a disk for a cache."""


def cache_dir() -> Path | None:
    """Return the cache folder of tokenized splits and trained tokenizers.

    `SUMMEXP_CACHE`, else `summexp` in the user's cache folder. None, with a warning, if the user
    has no home.
    """
    given = os.environ.get("SUMMEXP_CACHE")
    if given:
        return Path(given)
    caches = user_caches()
    if caches is None:
        log.warning("caching is disabled: no home folder; set SUMMEXP_CACHE to a folder")
    return caches and caches / "summexp"


def cache_remark(config: Config) -> str | None:
    """Return why a run could not write to its cache, or None if it can."""
    cache = None if config.debug.tiny else cache_dir()
    if cache is None or _is_writable(cache):
        return None
    return f"caching is disabled: {cache} is not writable; set SUMMEXP_CACHE to another folder"


def prepare(config: Config) -> None:
    """Set the environment variables of a run: offline mode, caches, threads, XLA.

    Call it before datasets and transformers are imported.
    """
    set_offline(offline=config.offline)
    _place_hub_caches(config)
    _choose_xla(config)
    silence_missing_accelerator()
    # Parallel tokenizers would deadlock in forked data loader workers.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if _forks(config) else "true")
    # By default OpenMP's threads wait by spinning, which is slow if another program uses a core:
    # 60 steps of t5_tiny on two busy cores took 179 s, and 33 s with PASSIVE.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _place_hub_caches(config: Config) -> None:
    """Use a temporary folder for the caches of the Hub's libraries if `HF_HOME` is not writable.

    Existing downloads in a read-only `HF_HOME` are still used.
    """
    home = hf_home()
    if home is not None and _is_writable(home):
        return
    names = variables_of_caches(home)
    if not names:
        # The process that started this rank has set them, and has logged it.
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

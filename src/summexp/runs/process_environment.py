"""What a run sets in its process before the libraries that read it are imported."""

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

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_LEAST_ROOM = 1 << 20
"""Bytes below which a disk counts as full."""

_TRUE = ("1", "ON", "YES", "TRUE")
"""Values that switch a variable of Hugging Face's libraries on, in upper or lower case."""
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
_overridden: dict[str, str | None] = {}
"""The user's own values of the variables that a job with `offline=true` has replaced."""


def cache_dir() -> Path | None:
    """Return where tokenized splits and trained tokenizers are kept by content.

    `SUMMEXP_CACHE`, else `summexp` in the user's cache folder; None, which is logged, for a user
    who has no home.
    """
    given = os.environ.get("SUMMEXP_CACHE")
    if given:
        return Path(given)
    caches = _user_caches()
    if caches is None:
        log.warning("nothing is cached: this user has no home; SUMMEXP_CACHE names a folder")
    return caches and caches / "summexp"


def _user_caches() -> Path | None:
    """Return the folder of all caches of this user, or None where there is no home."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given)
    home = os.path.expanduser("~")
    return Path(home, ".cache") if home != "~" else None


def cache_remark(config: Config) -> str | None:
    """Return that a run would keep nothing in its cache, and why, or None where it would."""
    cache = None if config.debug.tiny else cache_dir()
    if cache is None or _is_writable(cache):
        return None
    return f"nothing would be cached: {cache} cannot be written; SUMMEXP_CACHE names another folder"


def prepare(config: Config) -> None:
    """Set network use, threads and the kind of device for a run.

    Must be called before datasets and transformers are imported; where an earlier job of a sweep
    has imported them, what they read at import is set again.
    """
    _set_offline(offline=config.offline)
    _place_hub_caches(config)
    _choose_xla(config)
    # Where DeepSpeed is installed, accelerate imports it for every run.
    logging.getLogger("DeepSpeed").addFilter(_is_no_guess)
    # The tokenizers of a data loader's worker processes would deadlock after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if _forks(config) else "true")
    # OpenMP's threads wait for each other by spinning. Where another program has one of the cores,
    # most of the time goes into that: 60 steps of t5_tiny on two busy cores took 179 s, so 33 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _place_hub_caches(config: Config) -> None:
    """Let the Hub's libraries keep in a temporary folder what they cannot keep in `HF_HOME`.

    A folder that can only be read still serves the downloads that are in it.
    """
    caches = _user_caches()
    given = os.environ.get("HF_HOME")
    home = Path(given) if given else caches and caches / "huggingface"
    if home is not None and _is_writable(home):
        return
    temporary = tempfile.TemporaryDirectory(prefix="summexp-hf-", ignore_cleanup_errors=True)
    atexit.register(temporary.cleanup)
    names = ["HF_HOME"]
    if home is not None and os.path.isdir(home):
        names = ["HF_DATASETS_CACHE", "HF_MODULES_CACHE"]
        names += [] if (home / "hub").is_dir() else ["HF_HUB_CACHE"]
    for name in names:
        if name == "HF_HOME" or name not in os.environ:
            os.environ[name] = str(Path(temporary.name, name.lower()))
    uses_hub = config.data.name not in (None, BUNDLED) or config.model.init == "pretrained"
    if uses_hub and not config.debug.tiny:
        where = "this user has no home" if home is None else f"{home} cannot be written"
        log.warning("what is downloaded is not kept: %s; HF_HOME names a folder", where)


def _is_writable(folder: Path) -> bool:
    """Return whether `folder` can be written, or be made, and the disk has room."""
    # Unlike `Path.exists`, this takes what is in another user's folder to be absent.
    places = (folder, *folder.absolute().parents)
    existing = next(place for place in places if os.path.exists(place))
    if not (existing.is_dir() and may_write(existing)):
        return False
    return shutil.disk_usage(existing).free >= _LEAST_ROOM


def _set_offline(*, offline: bool) -> None:
    """Forbid the network, or give it back as the user's environment has it."""
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
    # What the libraries make of the variables at their import (huggingface_hub 2.4, datasets 5.2,
    # evaluate 0.4).
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


def _is_no_guess(record: logging.LogRecord) -> bool:
    """Return whether `record` is other than DeepSpeed's warning that it found no accelerator."""
    return not record.getMessage().startswith("Setting accelerator to CPU")


def _choose_xla(config: Config) -> None:
    """Let torch_xla drive the run, or keep it away.

    Where it is installed, transformers and accelerate (5.23, 1.15) take it for every run.
    """
    chosen = config.hardware.backend == "xla"
    known = sys.modules.get("accelerate.utils.imports")
    if known is not None and chosen != known.is_torch_xla_available():
        raise RunError(
            "an earlier job of this process ran with another hardware.backend, and xla does not "
            "share a process with others; give it a sweep of its own"
        )
    os.environ["USE_TORCH_XLA"] = "1" if chosen else "0"
    if not chosen:
        return
    virtual = config.hardware.virtual_devices
    if virtual is not None:
        os.environ.update(PJRT_DEVICE="CPU", CPU_NUM_DEVICES=str(virtual))
    else:
        os.environ.setdefault("PJRT_DEVICE", "TPU")
    # The compiler warns of its own future, several times for each program.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def _forks(config: Config) -> bool:
    return bool(config.training.dataloader_num_workers or config.data.preprocessing_num_workers)

"""What a run sets in its process before the libraries that read it are imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.errors import RunError

if TYPE_CHECKING:
    from summexp.config.schema import Config


def cache_dir() -> Path:
    """Return where tokenized splits and trained tokenizers are kept by content.

    `SUMMEXP_CACHE`, else `summexp` in the user's cache folder.
    """
    given = os.environ.get("SUMMEXP_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "summexp")


def prepare(config: Config) -> None:
    """Set network use, threads and the kind of device for a run.

    Must be called before datasets and transformers are imported; where an earlier job of a sweep
    has imported them, what they read at import is set again.
    """
    offline = "1" if config.offline else "0"
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        if config.offline or name in _set_by_us:
            os.environ[name] = offline
            _set_by_us.add(name)
    for module, attribute in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_DATASETS_OFFLINE"),
    ):
        if module in sys.modules and hasattr(sys.modules[module], attribute):
            setattr(sys.modules[module], attribute, os.environ.get("HF_HUB_OFFLINE", "0") == "1")
    _choose_xla(config)
    # The tokenizers of a data loader's worker processes would deadlock after a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if _forks(config) else "true")
    # OpenMP's threads wait for each other by spinning. Where another program has one of the cores,
    # most of the time goes into that: 60 steps of t5_tiny on two busy cores took 179 s, so 33 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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


_set_by_us: set[str] = set()


def _forks(config: Config) -> bool:
    return bool(config.training.dataloader_num_workers or config.data.preprocessing_num_workers)

"""What machine a run uses: the `hardware` group of the config."""

from __future__ import annotations

from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice


@dataclass(kw_only=True)
class HardwareConfig:
    """The device, and how much of it evaluation may fill at once."""

    backend: str = choice("auto", "auto", "cpu", "cuda", "mps")
    """Device to run on; `auto` takes an accelerator if there is one."""
    eval_batch_tokens: int | None = None
    """Fill a generation batch up to so many source tokens, padding counted, instead of to
    `training.per_device_eval_batch_size` rows."""

    def __post_init__(self) -> None:
        if self.eval_batch_tokens is not None and self.eval_batch_tokens < 1:
            raise ConfigError(
                Problem(key="hardware.eval_batch_tokens", what="must be at least 1, or not set")
            )

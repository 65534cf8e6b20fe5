"""Config group `hardware`: devices, processes and nodes of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice, too_small

_MINIMA = {
    "processes": 1,
    "nodes": 1,
    "virtual_devices": 1,
    "grace_seconds": 0,
    "eval_batch_tokens": 1,
}
_DRIVEN_BY_ONE = {
    "mps": "mps supports one process only",
    "xla": "one process drives all cores of a TPU",
}
"""Why a backend supports one process only."""


_A_YEAR = 365 * 24 * 60.0
"""In minutes. A `timedelta` cannot be infinite."""


@dataclass(kw_only=True)
class HardwareConfig:
    """Devices, processes and nodes of a run."""

    backend: str = choice("auto", "auto", "cpu", "cuda", "mps", "xla")
    """Device to run on; `auto` takes an accelerator if there is one, and `xla` is a TPU."""
    processes: int | None = None
    """Processes per node, one GPU each; null runs one, or as many as torchrun, accelerate launch
    or srun started."""
    nodes: int = 1
    """Number of nodes (machines), each with `hardware.processes` processes."""
    virtual_devices: int | None = None
    """Number of virtual CPU devices in place of TPU cores, to try `backend=xla` without a TPU."""
    timeout_minutes: float = 30.0
    """Timeout of collectives, in minutes: how long a process waits for the others before the run
    fails."""
    grace_seconds: int = 30
    """Seconds in which the processes may save a checkpoint after a signal that asks the run to
    stop; after that they are killed."""
    eval_batch_tokens: int | None = None
    """Maximum source tokens of a generation batch, padding included, in place of
    `training.per_device_eval_batch_size` rows; for decoder-only models, plus summary tokens."""

    def __post_init__(self) -> None:
        problems = [*_number_problems(self), *_backend_problems(self)]
        if problems:
            raise ConfigError(problems)


def _number_problems(config: HardwareConfig) -> Iterator[Problem]:
    for name, what in too_small(config, _MINIMA):
        yield Problem(key=f"hardware.{name}", what=what)
    if not 0 < config.timeout_minutes <= _A_YEAR:
        what = f"must be above 0 and at most a year, not {config.timeout_minutes}"
        yield Problem(key="hardware.timeout_minutes", what=what)


def _backend_problems(config: HardwareConfig) -> Iterator[Problem]:
    if config.virtual_devices is not None and config.backend != "xla":
        yield Problem(
            key="hardware.virtual_devices",
            what=f"requires hardware.backend=xla, and hardware.backend is {config.backend}",
            hint="Add it to hardware=tpu8; for several processes on the CPU set "
            "hardware.processes.",
        )
    if config.backend == "xla" and config.eval_batch_tokens is not None:
        yield Problem(
            key="hardware.eval_batch_tokens",
            what="gives batches of many shapes, and XLA compiles a program for each shape",
            hint="Remove it; training.per_device_eval_batch_size sets the rows of each core.",
        )
    if config.backend in _DRIVEN_BY_ONE:
        for name in ("processes", "nodes"):
            count = getattr(config, name)
            if count is not None and count > 1:
                yield Problem(
                    key=f"hardware.{name}",
                    what=f"is {count}, but {_DRIVEN_BY_ONE[config.backend]}",
                    hint=f"Set hardware.{name}=1.",
                )

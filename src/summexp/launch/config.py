"""What machine a run uses: the `hardware` group of the config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice

_MINIMA = {
    "processes": 1,
    "nodes": 1,
    "virtual_devices": 1,
    "grace_seconds": 0,
    "eval_batch_tokens": 1,
}
_DRIVEN_BY_ONE = {
    "mps": "the GPU of an Apple computer is driven by one process",
    "xla": "one process drives all cores of a TPU",
}
"""Why a backend does not take several processes."""


_A_YEAR = 365 * 24 * 60.0
"""Minutes. Infinity is no time that can be waited for."""


@dataclass(kw_only=True)
class HardwareConfig:
    """The devices, the processes that drive them, and how much evaluation may fill at once."""

    backend: str = choice("auto", "auto", "cpu", "cuda", "mps", "xla", "torch_tpu")
    """Device to run on; `auto` takes an accelerator if there is one, `xla` is a TPU, and
    `torch_tpu` is refused until it can train on several cores."""
    processes: int | None = None
    """Processes on each node, a GPU each; null runs one, or as many as torchrun or its like
    started."""
    nodes: int = 1
    """Machines that the run is spread over, each with `hardware.processes` processes."""
    virtual_devices: int | None = None
    """Split the CPU into so many devices in place of a TPU's cores, to try `backend=xla` out."""
    timeout_minutes: float = 30.0
    """Minutes that a process waits for the others before the run fails."""
    grace_seconds: int = 30
    """Seconds that the processes have to save a checkpoint once the run is asked to end by
    a signal; then they are killed."""
    eval_batch_tokens: int | None = None
    """Fill a generation batch up to so many source tokens, padding counted, instead of to
    `training.per_device_eval_batch_size` rows; a decoder-only model's summaries count too."""

    def __post_init__(self) -> None:
        problems = [*_number_problems(self), *_backend_problems(self)]
        if problems:
            raise ConfigError(problems)


def _number_problems(config: HardwareConfig) -> Iterator[Problem]:
    for name, least in _MINIMA.items():
        value = getattr(config, name)
        if value is not None and value < least:
            what = f"must be at least {least}, not {value}"
            yield Problem(key=f"hardware.{name}", what=what)
    if not 0 < config.timeout_minutes <= _A_YEAR:
        what = f"must be above 0 and at most a year, not {config.timeout_minutes}"
        yield Problem(key="hardware.timeout_minutes", what=what)


def _backend_problems(config: HardwareConfig) -> Iterator[Problem]:
    if config.backend == "torch_tpu":
        yield Problem(
            key="hardware.backend",
            what="torch_tpu cannot do the job yet: transformers and accelerate know its device, "
            "but have no way to train on several of its cores together",
            hint="Choose hardware=tpu8, which drives the TPU through torch_xla.",
        )
    if config.virtual_devices is not None and config.backend != "xla":
        yield Problem(
            key="hardware.virtual_devices",
            what=f"stand in for the cores of a TPU, and hardware.backend is {config.backend}",
            hint="Add it to hardware=tpu8; hardware.processes is how the CPU runs several.",
        )
    if config.backend == "xla" and config.eval_batch_tokens is not None:
        yield Problem(
            key="hardware.eval_batch_tokens",
            what="makes batches of many shapes, and XLA compiles anew for each",
            hint="Leave it away; training.per_device_eval_batch_size is the rows of each core.",
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

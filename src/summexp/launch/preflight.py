"""Does this machine have what `hardware` asks for? Answered without importing torch."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.errors import Problem

if TYPE_CHECKING:
    from summexp.config.schema import Config


def cuda_devices() -> int:
    """Return how many NVIDIA GPUs the driver shows; 0 where there is no driver."""
    nodes = Path("/proc/driver/nvidia/gpus")
    return sum(1 for _ in nodes.iterdir()) if nodes.is_dir() else 0


def check_hardware(config: Config) -> Iterator[Problem]:
    """Yield what the config asks of the machine that it does not have."""
    backend = config.hardware.backend
    on_cpu = backend == "cpu"
    if backend == "cuda" and not cuda_devices() and not Path("/dev/kfd").exists():
        yield Problem(
            key="hardware.backend",
            what="there is no GPU on this machine",
            hint="Choose hardware=cpu, or hardware=auto to take what there is.",
        )
        on_cpu = True
    if backend == "mps" and (platform.system(), platform.machine()) != ("Darwin", "arm64"):
        yield Problem(
            key="hardware.backend",
            what="mps is the GPU of an Apple computer, which this is not",
            hint="Choose hardware=cpu, or hardware=auto to take what there is.",
        )
    if backend == "auto":
        on_cpu = not cuda_devices() and not Path("/dev/kfd").exists()
    if config.training.fp16 and config.training.bf16:
        yield Problem(
            key="training.fp16",
            what="and training.bf16 are both on",
            hint="Choose one; bf16 where the GPU has it.",
        )
    elif config.training.fp16 and on_cpu and platform.system() != "Darwin":
        yield Problem(
            key="training.fp16",
            what="needs a GPU, and this machine has none",
            hint="Leave it away on a CPU: training.fp16=false",
        )

"""Does this machine have what `hardware` asks for? Answered without importing torch."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

from summexp.engines.training_schema import TrainingConfig
from summexp.errors import Problem
from summexp.launch.config import HardwareConfig


def cuda_devices() -> int:
    """Return how many NVIDIA GPUs the driver shows; 0 where there is no driver."""
    nodes = Path("/proc/driver/nvidia/gpus")
    return sum(1 for _ in nodes.iterdir()) if nodes.is_dir() else 0


def check_hardware(hardware: HardwareConfig, training: TrainingConfig) -> Iterator[Problem]:
    """Yield what the config asks of the machine that it does not have."""
    backend = hardware.backend
    elsewhere = "Choose hardware=cpu, or hardware=auto to take what there is."
    if backend == "cuda" and not has_gpu():
        what = "there is no GPU on this machine"
        yield Problem(key="hardware.backend", what=what, hint=elsewhere)
    if backend == "mps" and not is_apple():
        what = "mps is the GPU of an Apple computer, which this is not"
        yield Problem(key="hardware.backend", what=what, hint=elsewhere)
    if backend == "cpu" or not (has_gpu() or is_apple()):
        yield from _needing_a_gpu(training)


def _needing_a_gpu(training: TrainingConfig) -> Iterator[Problem]:
    for name in ("fp16", "tf32"):
        if getattr(training, name):
            yield Problem(
                key=f"training.{name}",
                what="needs a GPU, and this run has none",
                hint=f"Leave it away on a CPU: training.{name}=false",
            )


def has_gpu() -> bool:
    """Tell whether there is an NVIDIA GPU, or the driver of AMD's."""
    return bool(cuda_devices()) or Path("/dev/kfd").exists()


def is_apple() -> bool:
    """Tell whether this is an Apple computer with a GPU that PyTorch can use."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")

"""The cores of a TPU, all driven by one process through torch_xla's SPMD.

Imports torch_xla, which reads its variables then: `runs.process_environment.prepare` comes first.
"""

from __future__ import annotations

import numpy as np
import torch_xla
import torch_xla.distributed.spmd as spmd
import torch_xla.runtime as runtime
from transformers import PreTrainedModel

from summexp.errors import RunError
from summexp.launch.config import HardwareConfig

ROWS = "rows"
"""The axis of the mesh of cores along which a batch is shared out."""


def place(model: PreTrainedModel, hardware: HardwareConfig) -> None:
    """Take the cores, and put the model on each of them.

    Raises:
        RunError: there is no TPU, or an earlier job of this process took other devices.
    """
    runtime.use_spmd()
    try:
        count = cores()
    except RuntimeError as error:
        raise RunError(f"torch_xla finds no TPU: {error}") from error
    if hardware.virtual_devices not in (None, count):
        raise RunError(
            f"hardware.virtual_devices is {hardware.virtual_devices}, but an earlier job of this "
            f"process has taken {count}; give it a sweep of its own"
        )
    spmd.set_global_mesh(spmd.Mesh(np.arange(count), (count,), (ROWS,)))
    model.to(torch_xla.device())
    # Each use of a shared weight has become a weight of its own.
    model.tie_weights()


def cores() -> int:
    """Return how many devices share each batch."""
    return int(runtime.global_runtime_device_count())


def describe_cores() -> str:
    """Format the cores for messages."""
    kind = runtime.device_type()
    return f"xla ({cores()} {'virtual devices on the CPU' if kind == 'CPU' else f'{kind} cores'})"

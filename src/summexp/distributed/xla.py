"""TPU cores, driven by one process through torch_xla's SPMD.

Import it after `runs.process_environment.prepare`: torch_xla reads its environment variables when
it is imported.

Tested in tests/tpu/test_tpu.py.
"""

from __future__ import annotations

import numpy as np
import torch_xla
import torch_xla.distributed.spmd as spmd
import torch_xla.runtime as runtime
from transformers import PreTrainedModel

from summexp.distributed.config import HardwareConfig
from summexp.errors import RunError

ROWS = "rows"
"""The axis of the device mesh along which a batch is sharded."""


def place(model: PreTrainedModel, hardware: HardwareConfig) -> None:
    """Initialize the device mesh and replicate the model on all cores.

    Raises:
        RunError: there is no TPU, or an earlier job of this process used other devices.
    """
    runtime.use_spmd()
    try:
        count = cores()
    except RuntimeError as error:
        raise RunError(f"torch_xla finds no TPU: {error}") from error
    if hardware.virtual_devices not in (None, count):
        raise RunError(
            f"hardware.virtual_devices is {hardware.virtual_devices}, but an earlier job of this "
            f"process uses {count}; run it in a separate sweep"
        )
    spmd.set_global_mesh(spmd.Mesh(np.arange(count), (count,), (ROWS,)))
    model.to(torch_xla.device())
    # The move to the device has untied shared weights.
    model.tie_weights()


def cores() -> int:
    """Return the number of devices that share each batch."""
    return int(runtime.global_runtime_device_count())


def describe_cores() -> str:
    """Format the cores for messages."""
    kind = runtime.device_type()
    return f"xla ({cores()} {'virtual devices on the CPU' if kind == 'CPU' else f'{kind} cores'})"

"""Private and unstable names of accelerate that exist with torch_xla only, read in 1.15.

Imports torch_xla, which reads its variables then: `runs.process_environment.prepare` comes first.

Tested in tests/tpu/test_tpu.py.
"""

from __future__ import annotations

from typing import Any

import accelerate.data_loader
import torch
from torch.utils.data import DataLoader


class DeviceLoader(accelerate.data_loader.MpDeviceLoaderWrapper):  # type: ignore[misc]
    """Base of a loader that brings batches to an XLA device; a subclass has `__iter__`.

    accelerate takes the wrapped loader from it as `dataloader`, and its device, where it skips the
    batches of a checkpoint.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        """Wrap `loader` without the thread of torch_xla (2.9), which its own `__init__` starts."""
        self._loader = loader
        self.device = device


def use_device_loader(kind: type[DeviceLoader]) -> None:
    """Make accelerate create loaders of this class.

    It has no argument for that. Its own reads batches in a thread, where an error ends the epoch
    silently.
    """
    accelerate.data_loader.MpDeviceLoaderWrapper = kind

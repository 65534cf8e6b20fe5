"""Selection of the torch device of this process.

Tested in tests/launch/test_launch_checks.py.
"""

from __future__ import annotations

import torch

from summexp.distributed.world import outside_world


def select_device(backend: str) -> torch.device:
    """Return the device of `hardware.backend`; `auto` takes an accelerator if there is one.

    With several ranks on a node, each rank gets the GPU of its local rank.
    """
    if backend == "cuda" or (backend == "auto" and torch.cuda.is_available()):
        world = outside_world()
        # Slurm may make one GPU visible to each task, which then has index 0.
        return torch.device("cuda", world.local_rank % torch.cuda.device_count() if world else 0)
    if backend != "auto":
        return torch.device(backend)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def devices_behind(device: torch.device) -> int:
    """Return the number of devices driven by this process: the cores of a TPU, else one."""
    if device.type == "xla":
        from summexp.distributed.xla import cores

        return cores()
    return 1


def describe(device: torch.device) -> str:
    """Format `device` for messages."""
    if device.type == "xla":
        from summexp.distributed.xla import describe_cores

        return describe_cores()
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return device.type

"""Collectives over the ranks of a run: broadcast, gather, reduce, barrier.

With one process every function here is the identity.

Tested in tests/engines/test_sharded.py, tests/integration/test_ranks.py.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from summexp.distributed.devices import select_device
from summexp.distributed.threads import OMP_NUM_THREADS, threads_of_rank
from summexp.distributed.world import World, export_slurm_world, outside_world

if TYPE_CHECKING:
    from summexp.distributed.config import HardwareConfig

T = TypeVar("T")


def this_world() -> World:
    """Return the world of this process; a single process is a world of size 1."""
    return outside_world() or World()


def is_main() -> bool:
    """Return whether this process is rank 0, which writes files and logs."""
    return this_world().rank == 0


@contextmanager
def process_group(hardware: HardwareConfig) -> Iterator[None]:
    """Hold the default process group, if this process is a rank of several."""
    export_slurm_world()
    if outside_world() is None or dist.is_initialized():
        yield
        return
    _set_threads()
    # Accelerate (1.15) uses an existing group. The group that it would create has no gloo beside
    # nccl, which object collectives and barriers need.
    device = select_device(hardware.backend)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=dt.timedelta(minutes=hardware.timeout_minutes))
    yield
    # Not after an error: the other ranks could hang.
    dist.destroy_process_group()


def _set_threads() -> None:
    """Set the threads of this rank to its share of the cores, unless its launcher has set them.

    srun does not. Accelerate (1.15) would with a warning, and fails unless the variable is a single
    number.
    """
    threads = threads_of_rank(this_world().local_size)
    os.environ[OMP_NUM_THREADS] = str(threads)
    # torch read the variable when it was imported.
    torch.set_num_threads(threads)


def is_initialized() -> bool:
    """Return whether the default process group is initialized."""
    return dist.is_available() and dist.is_initialized()


def all_gather_object(mine: T) -> list[T]:
    """Return the objects of all ranks, in rank order, on every rank."""
    if not _is_distributed():
        return [mine]
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, mine)
    return parts


def broadcast_object(mine: T) -> T:
    """Return the object of rank 0 on every rank."""
    if not _is_distributed():
        return mine
    shared = [mine]
    dist.broadcast_object_list(shared, src=0, device=torch.device("cpu"))
    return shared[0]


def any_reduce(*flags: bool, group: dist.ProcessGroup | None = None) -> list[bool]:
    """Return for each flag whether it is set on any rank.

    Args:
        flags: the same number of flags on every rank.
        group: process group; None for the default group.
    """
    if not _is_distributed():
        return list(flags)
    shared = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(shared, dist.ReduceOp.MAX, group)
    return [bool(flag) for flag in shared]


def barrier() -> None:
    """Wait until every rank has reached this call."""
    any_reduce(False)


@contextmanager
def local_main_first() -> Iterator[bool]:
    """Run the block on the first rank of each node, then on the others.

    Yields:
        Whether this is the first rank of its node.
    """
    first = this_world().local_rank == 0
    # Reading and tokenizing a large corpus may exceed the timeout of the default group.
    group = (
        dist.new_group(timeout=dt.timedelta(days=7), backend="gloo") if _is_distributed() else None
    )
    if not first:
        any_reduce(False, group=group)
    yield first
    if first:
        any_reduce(False, group=group)


def _is_distributed() -> bool:
    return is_initialized() and dist.get_world_size() > 1

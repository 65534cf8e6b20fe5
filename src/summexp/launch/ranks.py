"""What the ranks of a run do together: meet, share objects, wait for each other.

With one process every function here is the identity.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from summexp.launch.devices import select_device
from summexp.launch.threads import OMP_NUM_THREADS, threads_of_rank
from summexp.launch.world import World, export_slurm_world, outside_world

if TYPE_CHECKING:
    from summexp.launch.config import HardwareConfig

T = TypeVar("T")


def this_world() -> World:
    """Return the world of this process; a process on its own is all of it."""
    return outside_world() or World()


def is_main() -> bool:
    """Tell whether this process is the one that writes and speaks."""
    return this_world().rank == 0


@contextmanager
def joined(hardware: HardwareConfig) -> Iterator[None]:
    """Meet the other ranks, if this process is a rank; part from them at the end."""
    export_slurm_world()
    if outside_world() is None or dist.is_initialized():
        yield
        return
    _set_threads()
    # Accelerate (1.15) takes a group that is there; its own would have no gloo beside nccl, which
    # objects and the moments of waiting need.
    device = select_device(hardware.backend)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=dt.timedelta(minutes=hardware.timeout_minutes))
    yield
    # Not after an error: the ranks that are left might wait for ever.
    dist.destroy_process_group()


def _set_threads() -> None:
    """Give this rank its share of the cores, where what started it did not (srun does not).

    Accelerate (1.15) would do so with a warning, and fails where the variable is no single number.
    """
    threads = threads_of_rank(this_world().local_size)
    os.environ[OMP_NUM_THREADS] = str(threads)
    # torch has read the variable already.
    torch.set_num_threads(threads)


def have_met() -> bool:
    """Tell whether this process has met the other ranks already."""
    return dist.is_available() and dist.is_initialized()


def gathered(mine: T) -> list[T]:
    """Return each rank's object, in the order of ranks, on every rank."""
    if not _together():
        return [mine]
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, mine)
    return parts


def from_main(mine: T) -> T:
    """Return the object of rank 0, on every rank."""
    if not _together():
        return mine
    shared = [mine]
    dist.broadcast_object_list(shared, src=0, device=torch.device("cpu"))
    return shared[0]


def any_rank(*flags: bool, group: dist.ProcessGroup | None = None) -> list[bool]:
    """Return for each flag whether any rank has set it; with a `group` of all, in its patience."""
    if not _together():
        return list(flags)
    shared = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(shared, dist.ReduceOp.MAX, group)
    return [bool(flag) for flag in shared]


def wait_for_all() -> None:
    """Wait until every rank is here."""
    any_rank(False)


@contextmanager
def local_main_first() -> Iterator[bool]:
    """Let the first rank of each node do the block, then the others, who find what it has made.

    The block is told whether this is the first.
    """
    first = this_world().local_rank == 0
    # To read and tokenize a large corpus takes longer than a lost rank is waited for.
    patient = dist.new_group(timeout=dt.timedelta(days=7), backend="gloo") if _together() else None
    if not first:
        any_rank(False, group=patient)
    yield first
    if first:
        any_rank(False, group=patient)


def _together() -> bool:
    return have_met() and dist.get_world_size() > 1

"""Rank, world size and nodes of a run, from environment variables. Standard library only.

Tested in tests/launch/test_launch_checks.py.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from summexp.distributed.threads import OMP_NUM_THREADS
from summexp.errors import ConfigError, RunError

if TYPE_CHECKING:
    from summexp.distributed.config import HardwareConfig

_FIRST_PORT, _PORTS = 20_000, 12_000
"""Range of the ports derived from a Slurm step's number, below Linux's ephemeral ports."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The rank of this process and the size of the world, under the names of torch.distributed."""

    rank: int = 0
    """Rank of this process among all, from 0."""
    size: int = 1
    """Number of processes (world size)."""
    local_rank: int = 0
    """Rank of this process on its node, from 0."""
    local_size: int = 1
    """Number of processes on this node."""

    @property
    def node_count(self) -> int:
        """Number of nodes, each with `local_size` processes."""
        return self.size // self.local_size


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The nodes of a run that was started once on each node."""

    rank: int = 0
    """Rank of this node, from 0."""
    count: int = 1
    """Number of nodes."""
    address: str = "127.0.0.1"
    """Name or address of node 0."""
    port: int = 0
    """Port of the rendezvous on node 0; 0 takes a free one."""


def outside_world(environment: Mapping[str, str] | None = None) -> World | None:
    """Return the world of a process that was started as a rank, or None.

    Ranks are started by `torchrun`, `accelerate launch`, `srun` with more tasks than nodes, or by
    summexp's own launcher.

    Raises:
        ConfigError: a variable of a launcher is not a number in its range.
    """
    environment = os.environ if environment is None else environment
    if "RANK" in environment and "LOCAL_RANK" in environment:
        size = _number("WORLD_SIZE", environment, 1, least=1)
        local_size = _number("LOCAL_WORLD_SIZE", environment, size, least=1, most=size)
        return World(
            rank=_number("RANK", environment, most=size - 1),
            size=size,
            local_rank=_number("LOCAL_RANK", environment, most=local_size - 1),
            local_size=local_size,
        )
    tasks, nodes = _slurm_step(environment)
    if tasks > nodes:
        return World(
            rank=_number("SLURM_PROCID", environment),
            size=tasks,
            local_rank=_number("SLURM_LOCALID", environment),
            local_size=_tasks_here(environment),
        )
    return None


def nodes(hardware: HardwareConfig, environment: Mapping[str, str] | None = None) -> Nodes | None:
    """Return the nodes of this run, or None if `hardware.nodes` asks for several and none is given.

    Several nodes are given by a Slurm step with one task per node, or by `MASTER_ADDR`,
    `MASTER_PORT` and `NODE_RANK` together with `hardware.nodes`.
    """
    environment = os.environ if environment is None else environment
    tasks, count = _slurm_step(environment)
    if tasks == count > 1:
        rank, port = int(environment["SLURM_NODEID"]), _slurm_port(environment)
        return Nodes(rank=rank, count=count, address=_slurm_first_node(environment), port=port)
    names = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    if hardware.nodes > 1 and all(name in environment for name in names):
        return Nodes(
            rank=int(environment["NODE_RANK"]),
            count=hardware.nodes,
            address=environment["MASTER_ADDR"],
            port=int(environment["MASTER_PORT"]),
        )
    return Nodes() if hardware.nodes == 1 else None


def _number(
    name: str,
    environment: Mapping[str, str],
    default: int = 0,
    *,
    least: int = 0,
    most: int = 2**31,
) -> int:
    value = environment.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,10}", value) or not least <= int(value) <= most:
        what = f"{name} must lie between {least} and {most}, not {value!r}"
        hint = f"A launcher such as torchrun sets it. Without one: unset {name}"
        raise ConfigError.of(what=what, where="environment", hint=hint)
    return int(value)


def starts_ranks(hardware: HardwareConfig) -> bool:
    """Return whether a run with `hardware` starts its own ranks."""
    return outside_world() is None and hardware.nodes * (hardware.processes or 1) > 1


def world_size(hardware: HardwareConfig) -> int:
    """Return the world size of a run with `hardware`, started from this process."""
    outside = outside_world()
    return hardware.nodes * (hardware.processes or 1) if outside is None else outside.size


def slurm_rendezvous_port(environment: Mapping[str, str] | None = None) -> int:
    """Return the rendezvous port of a Slurm step, on its first node."""
    environment = os.environ if environment is None else environment
    given = environment.get("MASTER_PORT")
    return _slurm_port(environment) if given is None else int(given)


def export_slurm_world() -> None:
    """Set the variables that torch reads, on a rank of a Slurm step, if they are not set."""
    world = outside_world()
    if world is None or "RANK" in os.environ:
        return
    os.environ |= {
        "RANK": str(world.rank),
        "WORLD_SIZE": str(world.size),
        "LOCAL_RANK": str(world.local_rank),
        "LOCAL_WORLD_SIZE": str(world.local_size),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR") or _slurm_first_node(os.environ),
        "MASTER_PORT": str(slurm_rendezvous_port()),
    }
    if "SLURM_CPUS_PER_TASK" in os.environ:
        os.environ.setdefault(OMP_NUM_THREADS, os.environ["SLURM_CPUS_PER_TASK"])


def _slurm_step(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of tasks and of nodes of this process's Slurm step."""
    if "SLURM_PROCID" not in environment:
        return 1, 1
    tasks = _number("SLURM_STEP_NUM_TASKS", environment, 1)
    return tasks, _number("SLURM_STEP_NUM_NODES", environment, 1)


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Return the number of tasks on this node, from a text such as `2(x3),1`."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        tasks, _, times = part.partition("(x")
        counts += [int(tasks)] * int(times.rstrip(")") or 1)
    return counts[int(environment.get("SLURM_NODEID", 0))]


def _slurm_port(environment: Mapping[str, str]) -> int:
    number = 100 * int(environment.get("SLURM_JOB_ID", 0)) + int(environment["SLURM_STEP_ID"])
    return _FIRST_PORT + number % _PORTS


def _slurm_first_node(environment: Mapping[str, str]) -> str:
    command = ["scontrol", "show", "hostnames", environment.get("SLURM_STEP_NODELIST", "")]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"cannot list the nodes of this Slurm step: scontrol: {error}") from error
    return shown.stdout.split()[0]

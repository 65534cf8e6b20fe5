"""The other processes of a run, which wait for the leader.

Ranks that torchrun or srun started wait for the broadcast of the run spec. Nodes that start their
own ranks wait at the rendezvous.

Tested in tests/integration/test_launch.py, tests/integration/test_ranks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from summexp.distributed.world import outside_world
from summexp.runs.spec import RunSpec

if TYPE_CHECKING:
    from summexp.distributed.config import HardwareConfig


class Peers:
    """The ranks or nodes that wait for the leader, if there are any."""

    def __init__(self, hardware: HardwareConfig) -> None:
        """Store the hardware of the run."""
        self._hardware = hardware
        self._wait = outside_world() is not None or hardware.nodes > 1

    def start(self, spec: RunSpec) -> None:
        """Send the run spec to every rank; nodes start when the leader joins the rendezvous."""
        self._send(spec)

    def abort(self, code: int) -> None:
        """End the processes that are still waiting with an exit code."""
        if self._wait:
            self._send(code)

    def _send(self, message: RunSpec | int) -> None:
        self._wait = False
        if outside_world() is not None:
            from summexp.distributed.ranks import broadcast_object

            broadcast_object(message)
        elif isinstance(message, int):
            from summexp.launch.local import abort_nodes

            abort_nodes(self._hardware, message)


@contextmanager
def waiting_peers(hardware: HardwareConfig) -> Iterator[Peers]:
    """Join the process group, if a launcher started the ranks, and yield the peers.

    Peers that are still waiting at the end are aborted, with the exit code of the error or 0.
    """
    if outside_world() is None:
        with _aborted_at_the_end(Peers(hardware)) as peers:
            yield peers
        return
    # Imports torch.
    from summexp.distributed.ranks import process_group

    with process_group(hardware), _aborted_at_the_end(Peers(hardware)) as peers:
        yield peers


@contextmanager
def _aborted_at_the_end(peers: Peers) -> Iterator[Peers]:
    try:
        yield peers
    except BaseException as error:
        peers.abort(getattr(error, "exit_code", 1))
        raise
    peers.abort(0)


def receive_spec() -> RunSpec:
    """Receive the run spec from rank 0; a collective over all ranks.

    Raises:
        SystemExit: rank 0 has aborted; carries its exit code.
    """
    from summexp.distributed.ranks import broadcast_object

    spec = broadcast_object(None)
    if not isinstance(spec, RunSpec):
        raise SystemExit(spec)
    return spec


def abort_peers(hardware: HardwareConfig, code: int) -> None:
    """Abort the peers if this process failed before it joined them."""
    if outside_world() is None:
        Peers(hardware).abort(code)
        return
    from summexp.distributed.ranks import is_initialized, process_group

    if not is_initialized():
        with process_group(hardware):
            Peers(hardware).abort(code)

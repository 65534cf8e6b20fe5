"""The rendezvous of a run: its nodes join, leave, and learn of a failure on another one.

Tested in tests/integration/test_launch.py.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from datetime import timedelta

from summexp.distributed.world import Nodes
from summexp.errors import RunError

POLL_SECONDS = 1.0
"""Seconds between two checks for a failure on another node."""
_JOIN_TIMEOUT = 300.0
"""Seconds in which every node has to join."""
_LEAVE_TIMEOUT = 60.0
"""Seconds that node 0 waits for the others to leave, since the store ends with it."""


class Rendezvous:
    """A key-value store on node 0, to which every node connects."""

    def __init__(self, here: Nodes) -> None:
        """Start the store on node 0, or connect to it.

        Raises:
            RunError: node 0 cannot be reached, or cannot start the store.
        """
        import torch.distributed as dist

        self._lost = dist.DistError
        self._here = here
        self._until = time.monotonic() + _JOIN_TIMEOUT
        if here.rank > 0:
            self._wait_for_node_0()
        try:
            self._store = dist.TCPStore(  # type: ignore[attr-defined]
                here.address,
                here.port,
                is_master=here.rank == 0,
                wait_for_workers=False,
                timeout=timedelta(seconds=_LEAVE_TIMEOUT),
            )
        except dist.DistError as error:
            text = f"node {here.rank} cannot open the rendezvous at {self._address}"
            raise RunError(text) from error
        self.port = self._store.port

    @property
    def _address(self) -> str:
        return f"{self._here.address}:{self._here.port}"

    def _wait_for_node_0(self) -> None:
        # Poll in Python, where signals are handled; torch would block in C++.
        while True:
            try:
                socket.create_connection((self._here.address, self._here.port), timeout=2).close()
            except OSError:
                if time.monotonic() > self._until:
                    text = f"node 0 did not open the rendezvous at {self._address} in five minutes"
                    raise RunError(text) from None
                time.sleep(POLL_SECONDS / 2)
            else:
                return

    def wait_for_nodes(self) -> None:
        """Join, and wait until every node has joined.

        Raises:
            RunError: a node has not joined in time.
            SystemExit: node 0 has aborted; carries its exit code.
        """
        if self._here.count == 1:
            return
        self._store.set(f"joined-{self._here.rank}", "")
        while not self._store.check(["complete"]):
            if self._store.check(["aborted"]):
                code = int(self._store.get("aborted"))
                self._store.set(f"left-{self._here.rank}", "")
                raise SystemExit(code)
            missing = [n for n in range(self._here.count) if not self._store.check([f"joined-{n}"])]
            if self._here.rank == 0 and not missing:
                self._store.set("complete", "")
            elif time.monotonic() > self._until:
                names = " and ".join(f"node {number}" for number in missing)
                raise RunError(
                    f"{names} did not join the rendezvous at {self._address} in five minutes"
                )
            else:
                time.sleep(POLL_SECONDS / 5)

    def abort(self, code: int) -> None:
        """On node 0: end the nodes that wait, or join within a minute, with an exit code."""
        with suppress(self._lost):
            self._store.set("aborted", str(code))
            self._wait_until_left(range(1, self._here.count))

    def remote_failure(self) -> str | None:
        """Return the failure that another node has reported, or None."""
        if self._here.count == 1:
            return None
        try:
            if self._store.check(["failure"]):
                return str(self._store.get("failure").decode())
        except self._lost:
            return "since node 0 is gone"
        return None

    def report_failure(self, reason: str) -> None:
        """Report a failure on this node, so that the others end their ranks."""
        if self._here.count > 1:
            with suppress(self._lost):
                self._store.set("failure", f"on node {self._here.rank}: {reason}")
                # The store ends with node 0.
                time.sleep(2 * POLL_SECONDS)

    def leave(self) -> None:
        """Leave; node 0 waits for the others to do so first."""
        if self._here.count == 1:
            return
        with suppress(self._lost):
            self._store.set(f"left-{self._here.rank}", "")
            if self._here.rank == 0:
                self._wait_until_left(range(self._here.count))

    def _wait_until_left(self, numbers: range) -> None:
        self._store.wait(
            [f"left-{number}" for number in numbers], timedelta(seconds=_LEAVE_TIMEOUT)
        )

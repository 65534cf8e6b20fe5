"""Where the nodes and the ranks of a run meet, and learn of each other's end."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from datetime import timedelta

from summexp.errors import RunError
from summexp.launch.world import Nodes

LOOK_SECONDS = 1.0
"""Between two looks at what other nodes say."""
_NODES_MAY_TAKE = 300.0
"""Seconds for every node to come."""
_LAST_WORD = 60.0
"""Seconds that node 0 waits for the others at the end, since it takes the store with it."""


class Meeting:
    """A store on node 0, which this opens there, and comes to elsewhere."""

    def __init__(self, here: Nodes) -> None:
        """Open the store, or wait for it.

        Raises:
            RunError: node 0 does not open it, or cannot.
        """
        import torch.distributed as dist

        self._lost = dist.DistError
        self._here = here
        self._until = time.monotonic() + _NODES_MAY_TAKE
        if here.rank > 0:
            self._wait_for_node_0()
        try:
            self._store = dist.TCPStore(  # type: ignore[attr-defined]
                here.address,
                here.port,
                is_master=here.rank == 0,
                wait_for_workers=False,
                timeout=timedelta(seconds=_LAST_WORD),
            )
        except dist.DistError as error:
            raise RunError(f"node {here.rank} cannot meet the others at {self._place}") from error
        self.port = self._store.port

    @property
    def _place(self) -> str:
        return f"{self._here.address}:{self._here.port}"

    def _wait_for_node_0(self) -> None:
        # In Python, where a signal ends it; torch would wait in compiled code.
        while True:
            try:
                socket.create_connection((self._here.address, self._here.port), timeout=2).close()
            except OSError:
                if time.monotonic() > self._until:
                    text = f"node 0 has not come to {self._place} within five minutes"
                    raise RunError(text) from None
                time.sleep(LOOK_SECONDS / 2)
            else:
                return

    def gather(self) -> None:
        """Wait until every node is here.

        Raises:
            RunError: one does not come.
            SystemExit: there is nothing to do, with the exit code of node 0.
        """
        if self._here.count == 1:
            return
        self._store.set(f"here-{self._here.rank}", "")
        while not self._store.check(["go"]):
            if self._store.check(["dismissed"]):
                code = int(self._store.get("dismissed"))
                self._store.set(f"done-{self._here.rank}", "")
                raise SystemExit(code)
            missing = [n for n in range(self._here.count) if not self._store.check([f"here-{n}"])]
            if self._here.rank == 0 and not missing:
                self._store.set("go", "")
            elif time.monotonic() > self._until:
                names = " and ".join(f"node {number}" for number in missing)
                raise RunError(f"{names} did not come to {self._place} within five minutes")
            else:
                time.sleep(LOOK_SECONDS / 5)

    def dismiss(self, code: int) -> None:
        """On node 0: let the nodes that wait, or come within a minute, end with an exit code."""
        with suppress(self._lost):
            self._store.set("dismissed", str(code))
            self._wait_until_done(range(1, self._here.count))

    def failure_elsewhere(self) -> str | None:
        """Return what another node says of its failure, or None."""
        if self._here.count == 1:
            return None
        try:
            if self._store.check(["failure"]):
                return str(self._store.get("failure").decode())
        except self._lost:
            return "since node 0 is gone"
        return None

    def tell_failure(self, reason: str) -> None:
        """Let the other nodes end their ranks."""
        if self._here.count > 1:
            with suppress(self._lost):
                self._store.set("failure", f"on node {self._here.rank}: {reason}")
                # Node 0 takes the store with it.
                time.sleep(2 * LOOK_SECONDS)

    def part(self) -> None:
        """Say that this node is done; node 0 waits for the others."""
        if self._here.count == 1:
            return
        with suppress(self._lost):
            self._store.set(f"done-{self._here.rank}", "")
            if self._here.rank == 0:
                self._wait_until_done(range(self._here.count))

    def _wait_until_done(self, numbers: range) -> None:
        self._store.wait([f"done-{number}" for number in numbers], timedelta(seconds=_LAST_WORD))

"""Local launcher: starts the ranks of this node, monitors them and stops them together.

torch's own launcher (`torch.distributed.run`) sends SIGTERM and waits half a minute, both when
another rank has failed and when the run is to stop. A rank that saves a checkpoint on SIGTERM could
then outlive a dead peer by that time.

Tested in tests/integration/test_launch.py.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from summexp.distributed.failures import Failure, failure_environment, read_failure
from summexp.distributed.signals import Stopped, stop_requests
from summexp.distributed.threads import OMP_NUM_THREADS, threads_of_rank
from summexp.distributed.world import Nodes, nodes
from summexp.errors import RunError
from summexp.launch.rendezvous import POLL_SECONDS, Rendezvous
from summexp.upstream.torch import LAUNCHER_HAS_STORE

if TYPE_CHECKING:
    from summexp.distributed.config import HardwareConfig

log = logging.getLogger(__name__)

PARENT = "SUMMEXP_PARENT"
"""Environment variable with the process ID of the launcher, with which a rank ends."""

_POLL_SECONDS = 0.05
"""Seconds between two polls of the ranks of this node."""
_PEER_EXIT_SECONDS = 1.0
"""Seconds in which ranks that lost a peer may end too, before the first cause is determined."""
_LAST_LINES = 40
_STOPPED = 128 + signal.SIGTERM
"""Exit code of a rank that saved a checkpoint after a signal."""


def launch_ranks(hardware: HardwareConfig, run_folder: Path | None) -> None:
    """Start the ranks of this node and wait until they end.

    Args:
        hardware: number of processes and nodes.
        run_folder: where rank 0 finds the run spec; None on a node other than the first.

    Raises:
        SummexpError: a rank failed; the others were stopped.
        Stopped: a signal was received, and the ranks have ended.
    """
    spec = {"hardware": asdict(hardware), "folder": run_folder and str(run_folder)}
    here = nodes(hardware)
    assert here is not None, "preflight rejects several nodes without a rendezvous"
    processes = hardware.processes or 1
    rendezvous = Rendezvous(here)
    rendezvous.wait_for_nodes()
    with tempfile.TemporaryDirectory(prefix="summexp-ranks-") as folder:
        group = _Ranks(here, processes, json.dumps(spec), rendezvous, Path(folder))
        try:
            group.start()
            group.monitor(hardware.grace_seconds)
        finally:
            group.kill()


def abort_nodes(hardware: HardwareConfig, code: int) -> None:
    """On node 0 of several: end the other nodes, which wait at the rendezvous, with `code`."""
    here = nodes(hardware)
    if here is not None and here.count > 1 and here.rank == 0:
        Rendezvous(here).abort(code)


class _Ranks:
    """The ranks of one node."""

    def __init__(
        self, here: Nodes, count: int, words: str, rendezvous: Rendezvous, folder: Path
    ) -> None:
        self._here = here
        self._count = count
        self._words = words
        self._rendezvous = rendezvous
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the ranks; rank 0 alone prints to this terminal."""
        log.info("starting %s", _describe(self._here, self._count))
        for local in range(self._count):
            rank = self._here.rank * self._count + local
            environment = os.environ | self._environment(rank, local)
            # -P: a user's folder `datasets` must not shadow the library.
            command = [sys.executable, "-P", "-m", "summexp.worker", self._words]
            output: Any = None
            if rank:
                output = self._output(rank).open("wb")
            self._processes[rank] = _start(command, environment, output)
            if output is not None:
                output.close()

    def monitor(self, grace_seconds: float) -> None:
        """Wait until all ranks are done, one has failed, or a signal asks for a stop."""
        with stop_requests() as request:
            until = math.inf
            polled_others = time.monotonic()
            while self._is_alive() and time.monotonic() < until:
                if request.received and until == math.inf:
                    until = time.monotonic() + grace_seconds
                    self.signal(signal.SIGTERM)
                if not request.received:
                    self._raise_failure()
                if time.monotonic() - polled_others > POLL_SECONDS:
                    polled_others = time.monotonic()
                    self._raise_remote_failure()
                time.sleep(_POLL_SECONDS)
            if request.received and (self._is_alive() or self._failed()):
                self._report_unsaved_checkpoint(grace_seconds)
                request.exit()
        self._raise_failure()
        self._rendezvous.leave()

    def _report_unsaved_checkpoint(self, grace_seconds: float) -> None:
        """Log why the ranks saved no checkpoint, if that is so."""
        if self._is_alive():
            log.warning(
                "the ranks saved no checkpoint within %g s (hardware.grace_seconds)",
                grace_seconds,
            )
        self.kill()
        failures = map(self._failure, self._failed())
        # The other ranks report the loss of a peer.
        causes = [one for one in failures if one.report and not one.report["lost_peer"]]
        if causes:
            first = min(causes, key=lambda one: one.weight)
            log.error("no checkpoint was saved: %s", first.error())

    def signal(self, signum: int) -> None:
        """Send a signal to the running ranks."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signum)

    def wait(self, seconds: float) -> None:
        """Wait until all have ended, or `seconds` have passed."""
        until = time.monotonic() + seconds
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))

    def kill(self) -> None:
        """Kill the running ranks."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def _raise_failure(self) -> None:
        if not self._failed():
            return
        if {self._code(rank) for rank in self._failed()} == {_STOPPED}:
            # One rank received a signal, and all have saved a checkpoint.
            self.wait(_PEER_EXIT_SECONDS)
            raise Stopped(signal.SIGTERM)
        if any(read_failure(self._failure_file(rank)) for rank in self._failed()):
            self.wait(_PEER_EXIT_SECONDS)
        first = min((self._failure(rank) for rank in self._failed()), key=lambda one: one.weight)
        error = first.error()
        self._rendezvous.report_failure(str(error).splitlines()[0])
        raise error

    def _raise_remote_failure(self) -> None:
        reason = self._rendezvous.remote_failure()
        if reason is not None and self._is_alive():
            raise RunError(f"the run failed {reason}")

    def _is_alive(self) -> bool:
        return any(process.poll() is None for process in self._processes.values())

    def _failed(self) -> list[int]:
        """Return the ranks that ended with an error."""
        return [rank for rank, one in self._processes.items() if one.poll() not in (None, 0)]

    def _code(self, rank: int) -> int:
        code = self._processes[rank].returncode
        assert code is not None, "called for ended ranks only"
        return code

    def _failure(self, rank: int) -> Failure:
        report = read_failure(self._failure_file(rank))
        code = self._code(rank)
        moment = time.time() if report is None else report["moment"]
        output = ""
        if self._output(rank).is_file():
            lines = self._output(rank).read_text(encoding="utf-8", errors="replace").splitlines()
            output = "\n".join(lines[-_LAST_LINES:])
        return Failure(rank=rank, moment=moment, code=code, report=report, output=output)

    def _environment(self, rank: int, local: int) -> dict[str, str]:
        address = self._here.address
        return {
            "RANK": str(rank),
            "WORLD_SIZE": str(self._count * self._here.count),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(self._count),
            "GROUP_RANK": str(self._here.rank),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(self._rendezvous.port),
            **LAUNCHER_HAS_STORE,
            OMP_NUM_THREADS: str(threads_of_rank(self._count)),
            PARENT: str(os.getpid()),
            **failure_environment(self._failure_file(rank)),
        }

    def _failure_file(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.json"

    def _output(self, rank: int) -> Path:
        return self._folder / f"rank-{rank}.log"


def _start(command: list[str], environment: dict[str, str], output: Any) -> subprocess.Popen[bytes]:
    # Slurm sends its warning signal to every process of a job. Ranks inherit the blocked signal;
    # the launcher sends them SIGTERM instead.
    if sys.platform == "win32":
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    blocked = {signal.SIGUSR2}
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        # A new session, so that Ctrl-C reaches the launcher alone.
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)


def _describe(here: Nodes, processes: int) -> str:
    if here.count == 1:
        return f"{processes} processes"
    each = "1 process" if processes == 1 else f"{processes} processes"
    return f"{each} on each of {here.count} nodes; this is node {here.rank}"

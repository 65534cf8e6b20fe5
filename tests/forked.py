"""Runs of `train.py` in processes of their own that need not import torch again.

A server process imports everything once; each run is a fork of it, so that a test can start dozens,
and kill them as a user or a cluster would. Ranks that a run launches are forks of the run.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from tests import terminal

from summexp import worker
from summexp.entry import main
from summexp.launch import local

_DEFAULT_METHOD = multiprocessing.get_all_start_methods()[0]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preloaded"])
_Result = TypeVar("_Result")
_ROOT = Path(__file__).resolve().parents[1]


def start(
    *words: str,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> multiprocessing.process.BaseProcess:
    """Start `train.py` with `words` in `cwd`, its output going to `log`.

    `before`, a function of a module, is called in the new process first.
    """
    return call(_run, words, str(log), str(cwd), dict(environment or {}), before)


def call(function: Callable[..., object], *args: Any) -> multiprocessing.process.BaseProcess:
    """Call a function of a module, with `args`, in a process that is forked from the server."""
    _start_server()
    process = _context.Process(target=function, args=args)
    process.start()
    return process


def result(function: Callable[..., _Result], *args: Any) -> _Result:
    """Return what a function of a module returns in a process that is forked from the server."""
    _start_server()
    with ProcessPoolExecutor(1, mp_context=_context) as pool:
        return pool.submit(function, *args).result()


def _start_server() -> None:
    # Wherever a test is: the server imports from where it starts.
    with contextlib.chdir(_ROOT):
        forkserver.ensure_running()


def start_ranks(
    count: int,
    *words: str,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> list[multiprocessing.process.BaseProcess]:
    """Start `train.py` as `count` ranks, as torchrun would.

    The output of rank r goes to `log` with `.r` behind.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **(environment or {})}
    sizes = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [
        start(
            *words,
            log=log.with_name(f"{log.name}.{rank}"),
            cwd=cwd,
            environment={"RANK": str(rank), "LOCAL_RANK": str(rank), **sizes, **shared},
            before=before,
        )
        for rank in range(count)
    ]


def run_ranks(
    count: int,
    *words: str,
    log: Path,
    cwd: Path,
    timeout: float = 900,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> list[int]:
    """Run `train.py` as `count` ranks to their end; return their exit codes."""
    ranks = start_ranks(count, *words, log=log, cwd=cwd, environment=environment, before=before)
    for rank in ranks:
        rank.join(timeout)
    for rank in ranks:
        rank.kill()
        rank.join()
    return [rank.exitcode for rank in ranks]


def run(*words: str, log: Path, cwd: Path, timeout: float = 900) -> tuple[int, str]:
    """Run `train.py` to its end; return exit code and output."""
    process = start(*words, log=log, cwd=cwd)
    process.join(timeout)
    assert process.exitcode is not None, "the run did not end"
    return process.exitcode, log.read_text(encoding="utf-8")


class Terminal(terminal.Terminal):
    """`train.py` with some words on a terminal, or another function that takes them."""

    def __init__(
        self,
        *words: str | Path,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        function: Callable[[list[str]], object] = main,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._function, self._before = function, before
        super().__init__(words, cwd=cwd, environment=environment)

    def _start(self, command: list[str], cwd: str, environment: dict[str, str]) -> None:
        name = os.ttyname(self._slave)
        words = (self._function, command, name, cwd, environment, self._before)
        self._forked = call(_run_on_terminal, *words)

    def _code(self, seconds: float) -> int | None:
        self._forked.join(seconds)
        return self._forked.exitcode


def _run(
    words: tuple[str, ...],
    log: str,
    cwd: str,
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    output = os.open(os.path.join(cwd, log), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _call(main, list(words), {1: output, 2: output}, cwd, environment, before)


def _run_on_terminal(
    function: Callable[[list[str]], object],
    words: list[str],
    name: str,
    cwd: str,
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    os.setsid()
    # The terminal that the leader of a session opens first is that of the session.
    opened = os.open(name, os.O_RDWR)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _call(function, words, dict.fromkeys((0, 1, 2), opened), cwd, environment, before)


def _call(
    function: Callable[[list[str]], object],
    words: list[str],
    descriptors: Mapping[int, int],
    cwd: str,
    environment: Mapping[str, str],
    before: Callable[[], None] | None = None,
) -> None:
    os.environ.update(environment)
    # That of a new process; here it would be that by which this one was started.
    multiprocessing.set_start_method(_DEFAULT_METHOD, force=True)
    local._start = _fork_rank
    # A shell starts what runs in the background with Ctrl-C ignored, and that is inherited.
    terminal.heed_signals()
    os.chdir(cwd)
    for number, opened in descriptors.items():
        os.dup2(opened, number)
    if before is not None:
        before()
    sys.argv = ["train.py", *words]
    function(words)


class _Rank:
    """The part of `subprocess.Popen` that the launcher uses, of a rank that was forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("a rank", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)


def _fork_rank(command: list[str], environment: Mapping[str, str], output: Any) -> _Rank:
    """Start a rank as the launcher does, but without importing everything anew."""
    if pid := os.fork():
        return _Rank(pid)
    try:
        os.setsid()
        for number in (1, 2) if output is not None else ():
            os.dup2(output.fileno(), number)
        # A new process has no lock, no handlers of a log and nothing of Hydra.
        for number in map(int, os.listdir("/dev/fd")):
            if number > 2:
                with contextlib.suppress(OSError):
                    os.close(number)
        os.environ.clear()
        os.environ.update(environment)
        logging.getLogger().handlers.clear()
        HydraConfig.instance().cfg = None
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        terminal.heed_signals()
        sys.argv = command[-2:]
        worker.main()
    finally:
        os._exit(255)

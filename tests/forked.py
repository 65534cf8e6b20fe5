"""Runs of `train.py` in processes of their own that need not import torch again.

A server process imports everything once; each run is a fork of it, so that a test can start dozens,
and kill them as a user or a cluster would.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["summexp.runs.phases", "summexp.engines.trainer"])


def start(*words: str, log: Path, cwd: Path) -> multiprocessing.process.BaseProcess:
    """Start `train.py` with `words` in `cwd`, its output going to `log`."""
    process = _context.Process(target=_run, args=(words, str(log), str(cwd)))
    process.start()
    return process


def run(*words: str, log: Path, cwd: Path, timeout: float = 300) -> tuple[int, str]:
    """Run `train.py` to its end; return exit code and output."""
    process = start(*words, log=log, cwd=cwd)
    process.join(timeout)
    assert process.exitcode is not None, "the run did not end"
    return process.exitcode, log.read_text(encoding="utf-8")


def _run(words: tuple[str, ...], log: str, cwd: str) -> None:
    import torch

    from summexp.entry import main

    torch.set_num_threads(1)
    # A shell starts what runs in the background with Ctrl-C ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["train.py", *words]
    main(list(words))

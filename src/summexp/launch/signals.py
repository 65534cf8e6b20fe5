"""Signals: a request to stop that leaves time to save, and an end together with the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name))
"""What asks a run to stop: SIGTERM, and what Slurm's submitit sends before it requeues a job."""

_PR_SET_PDEATHSIG = 1


class StopRequest:
    """Whether a signal has asked the training to save a checkpoint and stop."""

    def __init__(self, *, repeats_end: bool) -> None:
        """Begin without a request.

        Args:
            repeats_end: whether a second signal ends the process at once.
        """
        self.signum: int | None = None
        self._repeats_end = repeats_end
        self._obeys = False
        self._earlier: dict[int, Any] = {}

    @property
    def came(self) -> bool:
        """Whether it has."""
        return self.signum is not None

    def obey(self) -> NoReturn:
        """Do what the signal does where nothing waits for a checkpoint: as a rule, end."""
        # Of several ranks, only some may have been sent a signal.
        signum = signal.SIGTERM if self.signum is None else self.signum
        earlier = self._earlier.get(signum)
        self._obeys = True
        if callable(earlier):
            earlier(signum, None)
        raise SystemExit(128 + signum)

    def listen(self) -> None:
        """Take over the signals that ask for a stop."""
        for signum in STOPPING:
            earlier = signal.getsignal(signum)
            if signum == signal.SIGTERM or callable(earlier):
                self._earlier[signum] = earlier
                signal.signal(signum, self._note)

    def ignore(self) -> None:
        """Give the signals back."""
        for signum, earlier in self._earlier.items():
            signal.signal(signum, earlier)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if self.came and self._repeats_end and not self._obeys:
            self.obey()
        self.signum = signum


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn SIGTERM into a request for as long as the block lasts.

    A second one ends the process at once, unless it is a rank: there, Slurm and the launcher each
    send one, and the launcher sees to it that the end comes.
    """
    request = StopRequest(repeats_end="RANK" not in os.environ)
    if threading.current_thread() is not threading.main_thread():
        # Python hands signals to the main thread alone.
        yield request
        return
    request.listen()
    try:
        yield request
    finally:
        request.ignore()


def end_with(parent: int) -> None:
    """Make this process, and every process that it forks, end when its parent does.

    Linux does so by itself; elsewhere a thread looks every second. Neither asks the process, which
    may be waiting for another rank.

    Args:
        parent: process number of the parent, which may have ended already.
    """
    if sys.platform == "linux":
        _end_with_parent()
        os.register_at_fork(after_in_child=_end_with_parent)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

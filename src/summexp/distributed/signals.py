"""Signal handling: stop requests that leave time to save, and exit with the parent process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from summexp.distributed.world import outside_world

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that ask a run to stop: Ctrl-C, a cluster or `kill`, a closed terminal."""
_REQUEUE = "SIGUSR2"
"""Signal of submitit before it requeues a job; handled only if submitit has a handler."""

_DUPLICATE_SECONDS = 0.05
"""`timeout` signals its child and then its process group: one request arrives twice."""

_PR_SET_PDEATHSIG = 1


class Stopped(SystemExit):
    """A signal ends the process: exit code 128+n."""

    def __init__(self, signum: int) -> None:
        """Take the signal's number."""
        super().__init__(128 + signum)
        self.signum = signum
        self.reported = False
        """Whether the user was informed."""


class _State:
    """State of the handlers, one for the process."""

    request: StopRequest | None = None
    """The active request, if there is something to save first."""
    ends = False
    """Whether a signal is ending this process."""
    absorbs = False
    """Whether a signal received now is a duplicate."""
    resets_children = False
    """Whether the fork handlers are registered."""


def end_at_once_on_interrupt() -> None:
    """Let Ctrl-C end this process without a traceback, until `end_on_signals` is called.

    Used during the imports, before there is anything to save. An ignored SIGINT stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_on_signals(*, also_ignored: Sequence[int] = ()) -> None:
    """Raise `Stopped` on the signals that ask for a stop.

    An ignored signal stays ignored: SIGHUP under `nohup`, SIGINT in a background job of a script.

    Args:
        also_ignored: signals to handle even if they are ignored.
    """
    for name in _STOPPING:
        signum = getattr(signal, name, None)
        if signum is None:
            continue
        if signal.getsignal(signum) is not signal.SIG_IGN or signum in also_ignored:
            signal.signal(signum, _end)
    if not _State.resets_children and hasattr(os, "register_at_fork"):
        _State.resets_children = True
        os.register_at_fork(
            before=_block_signals,
            after_in_parent=_unblock_signals,
            after_in_child=_leave_signals_to_parent,
        )


def _end(signum: int, _frame: FrameType | None) -> None:
    if _State.absorbs or (_State.ends and not _is_second_request(signum)):
        return
    _State.ends = True
    _absorb_duplicates()
    raise Stopped(signum)


def _is_second_request(signum: int) -> bool:
    """Return whether a second signal means that the user does not want to wait.

    A closed terminal is signalled twice, by the shell and by the kernel. A rank is signalled by
    Slurm and by its launcher, which kills it if it does not end.
    """
    is_hangup = signum == getattr(signal, "SIGHUP", None)
    return not is_hangup and outside_world() is None


def _absorb_duplicates() -> None:
    _State.absorbs = True
    # Handlers run during the sleep.
    time.sleep(_DUPLICATE_SECONDS)
    _State.absorbs = False


class _Fork(threading.local):
    mask: Iterable[int] = ()
    """Signals that were blocked before the fork."""


_fork = _Fork()


def _block_signals() -> None:
    """Before a fork: block signals, so that the child does not run the parent's handlers."""
    signals = {getattr(signal, name) for name in _STOPPING if hasattr(signal, name)}
    _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)


def _leave_signals_to_parent() -> None:
    """In a forked child, such as a data loader's worker: ignore the signals of the terminal."""
    for name in _STOPPING:
        signum = getattr(signal, name, None)
        if signum is not None and callable(signal.getsignal(signum)):
            is_ended_by = signum == signal.SIGTERM
            signal.signal(signum, signal.SIG_DFL if is_ended_by else signal.SIG_IGN)
    _unblock_signals()


def leave_sigterm_to_parent(_worker: int = 0) -> None:
    """In a data loader's worker: end on SIGTERM only if the parent sent it.

    `scancel`, systemd and `kill -- -GROUP` send it to every process of a run, and the parent needs
    its workers until it has saved a checkpoint. Call it before the worker starts a thread.
    """
    # Not on macOS.
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_sigterm, args=(os.getppid(),), daemon=True).start()


def _await_sigterm(sender: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != sender:
        pass
    os._exit(128 + signal.SIGTERM)


class StopRequest:
    """A request, made by a signal, to save a checkpoint and stop."""

    def __init__(self) -> None:
        """Create it without a signal received."""
        self.signum: int | None = None
        self.announcement: Callable[[], str | None] = lambda: None
        """Returns the message to print when a signal is received, or None."""
        self._announced = False
        self._exits = False
        self._earlier: dict[int, Any] = {}

    @property
    def received(self) -> bool:
        """Whether a signal was received."""
        return self.signum is not None

    def announce(self) -> None:
        """Print the announcement once, on rank 0."""
        world = outside_world()
        text = None if self._announced or (world and world.rank) else self.announcement()
        if text is None:
            return
        self._announced = True
        # A new line, since the terminal shows ^C after a progress bar. `os.write`, since the
        # interrupted code may hold the locks of Python's streams.
        start = "\n" if os.isatty(2) else ""
        with suppress(OSError):
            os.write(2, f"{start}{text}, Ctrl-C again to stop at once\n".encode())

    def exit(self) -> NoReturn:
        """Run the handler from before `install`, or exit.

        Raises:
            Stopped: the earlier handler did not raise.
        """
        # Among several ranks, some may not have received a signal.
        signum = signal.SIGTERM if self.signum is None else self.signum
        earlier = self._earlier.get(signum)
        self._exits = True
        if callable(earlier) and earlier is not signal.default_int_handler:
            earlier(signum, None)
        raise Stopped(signum)

    def install(self) -> None:
        """Install handlers for the signals that ask for a stop, except ignored ones."""
        for name in (*_STOPPING, _REQUEUE):
            signum = getattr(signal, name, None)
            if signum is None:
                continue
            earlier = signal.getsignal(signum)
            if callable(earlier) or (earlier is signal.SIG_DFL and name != _REQUEUE):
                self._earlier[signum] = earlier
                signal.signal(signum, self._note)

    def restore(self) -> None:
        """Restore the handlers from before `install`."""
        for signum, earlier in self._earlier.items():
            signal.signal(signum, earlier)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if _State.absorbs:
            return
        if not self.received:
            self.signum = signum
            _absorb_duplicates()
            self.announce()
        elif _is_second_request(signum) and not self._exits:
            self.signum = signum
            self.exit()


@contextmanager
def stop_requests(announcement: Callable[[], str | None] = lambda: None) -> Iterator[StopRequest]:
    """Turn the signals that ask for a stop into a request during the block.

    A second signal ends the process at once. The end of the block ends it if a signal was received.
    A nested block shares the request of the outer one.

    Args:
        announcement: called on a signal; returns the message to print, or None.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python runs signal handlers in the main thread only.
        yield StopRequest()
        return
    outer = _State.request
    request = StopRequest() if outer is None else outer
    before, request.announcement = request.announcement, announcement
    if outer is None:
        _State.request = request
        request.install()
    try:
        yield request
    finally:
        request.announcement = before
        if outer is None:
            _State.request = None
            request.restore()
    if outer is None and request.received:
        request.exit()


def end_with(parent: int) -> None:
    """Kill this process, and every process that it forks, when its parent ends.

    Linux does so itself (`PR_SET_PDEATHSIG`); elsewhere a thread polls every second. Both work
    while the process is blocked waiting for another rank.

    Args:
        parent: process ID of the parent, which may have ended already.
    """
    if sys.platform == "linux":
        _end_with_parent()
        os.register_at_fork(after_in_child=_end_with_parent)
    else:
        threading.Thread(target=_poll_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _poll_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

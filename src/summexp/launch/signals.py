"""Signals: a request to stop that leaves time to save, and an end together with the parent."""

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

from summexp.launch.world import outside_world

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""What asks a run to stop: Ctrl-C, a cluster or `kill`, and a closed terminal."""
_REQUEUE = "SIGUSR2"
"""What Slurm's submitit sends before it requeues a job; handled where submitit does."""

_DUPLICATE_SECONDS = 0.05
"""`timeout` signals its child and then its process group, so that one request comes twice."""

_PR_SET_PDEATHSIG = 1


class Stopped(SystemExit):
    """A signal ends the process: exit code 128+n."""

    def __init__(self, signum: int) -> None:
        """Take the signal's number."""
        super().__init__(128 + signum)
        self.signum = signum
        self.reported = False
        """Whether it was reported to the user."""


class _State:
    """What the handlers know: signals are sent to the process, whatever part of it runs."""

    request: StopRequest | None = None
    """What takes the signals, where something is to be saved first."""
    ends = False
    """Whether a signal ends this process already."""
    absorbs = False
    """Whether what comes now is a duplicate."""
    resets_children = False
    """Whether children that are forked will leave the signals to their parent."""


def end_at_once_on_interrupt() -> None:
    """Let Ctrl-C end this process without a traceback, until `end_on_signals` is called.

    For the imports, before there is anything to save. One that is ignored stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_on_signals(*, also_ignored: Sequence[int] = ()) -> None:
    """Let the signals that ask for a stop raise `Stopped`, wherever this process is.

    One that is ignored stays so: SIGHUP under `nohup`, SIGINT in a background job of a script.

    Args:
        also_ignored: signals to handle even so.
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
    """Return whether a signal that follows another is the user's wish not to wait.

    The shell and the kernel each signal a closed terminal. A rank is signalled by Slurm and by
    its launcher, which sees to it that the end comes.
    """
    is_hangup = signum == getattr(signal, "SIGHUP", None)
    return not is_hangup and outside_world() is None


def _absorb_duplicates() -> None:
    _State.absorbs = True
    # Handlers run while it sleeps.
    time.sleep(_DUPLICATE_SECONDS)
    _State.absorbs = False


class _Fork(threading.local):
    mask: Iterable[int] = ()
    """Signals that were blocked before the fork."""


_fork = _Fork()


def _block_signals() -> None:
    """Before a fork: what is sent to the child at once must not come to the parent's handlers."""
    signals = {getattr(signal, name) for name in _STOPPING if hasattr(signal, name)}
    _fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _fork.mask)


def _leave_signals_to_parent() -> None:
    """In a forked child, such as a data loader's: a terminal's signals come to it too."""
    for name in _STOPPING:
        signum = getattr(signal, name, None)
        if signum is not None and callable(signal.getsignal(signum)):
            is_ended_by = signum == signal.SIGTERM
            signal.signal(signum, signal.SIG_DFL if is_ended_by else signal.SIG_IGN)
    _unblock_signals()


def leave_sigterm_to_parent(_worker: int = 0) -> None:
    """In a worker of a data loader: end on SIGTERM only where the parent sends it.

    `scancel`, systemd and `kill -- -GROUP` send it to every process of a run, and the parent needs
    its workers until it has saved a checkpoint. To be called before the worker starts a thread.
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
    """Whether a signal has asked this process to save what there is and stop."""

    def __init__(self) -> None:
        """Begin without a request."""
        self.signum: int | None = None
        self.announcement: Callable[[], str | None] = lambda: None
        """Returns what is done before the end."""
        self._announced = False
        self._exits = False
        self._earlier: dict[int, Any] = {}

    @property
    def received(self) -> bool:
        """Whether a signal has come."""
        return self.signum is not None

    def announce(self) -> None:
        """Print once, on rank 0, what is done before the end."""
        world = outside_world()
        text = None if self._announced or (world and world.rank) else self.announcement()
        if text is None:
            return
        self._announced = True
        # A terminal has shown ^C behind a progress bar. Not by way of Python's buffers and locks,
        # which the code that was interrupted may hold.
        start = "\n" if os.isatty(2) else ""
        with suppress(OSError):
            os.write(2, f"{start}{text}, Ctrl-C again to stop at once\n".encode())

    def exit(self) -> NoReturn:
        """Do what the signal does where nothing is to be saved: as a rule, exit.

        Raises:
            Stopped: as a rule.
        """
        # Of several ranks, only some may have been sent a signal.
        signum = signal.SIGTERM if self.signum is None else self.signum
        earlier = self._earlier.get(signum)
        self._exits = True
        if callable(earlier) and earlier is not signal.default_int_handler:
            earlier(signum, None)
        raise Stopped(signum)

    def install(self) -> None:
        """Handle the signals that ask for a stop, except those that are ignored."""
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
    """Turn the signals that ask for a stop into a request for as long as the block lasts.

    A second signal ends the process at once, and so does the end of the block if one came. Within
    another such block the request is that one's, which outlasts this.

    Args:
        announcement: called when a signal comes; returns what is done before the end, if anything.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python hands signals to the main thread alone.
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

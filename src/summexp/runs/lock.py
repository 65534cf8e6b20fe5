"""Lock of a run folder: one live run at a time, and the details of its holder."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import shlex
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from summexp.errors import ConfigError, Problem
from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.creation import make_folder
from summexp.runs.command import typed_command

LOCK_FILE = ".summexp.lock"
"""Lock file, held while a run is alive."""
HOLDER_FILE = ".summexp.lock.json"
"""Details of the current or last holder."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    """Process ID on its host."""
    user: str
    """User name."""
    host: str
    """Host name."""
    since: str
    """Time at which it acquired the lock, in ISO 8601 with the offset from UTC."""
    command: list[str]
    """Command line, without secrets."""

    def describe(self) -> str:
        """Format the holder for messages.

        >>> since = "2026-11-27T21:04:35+00:00"
        >>> command = ["train.py", "output_dir=out 1"]
        >>> Holder(pid=7, user="ann", host="gpu3", since=since, command=command).describe()
        "process 7 of ann on gpu3, since 2026-11-27 21:04:35+00:00: train.py 'output_dir=out 1'"
        """
        since = self.since.replace("T", " ")
        process = f"process {self.pid} of {self.user} on {self.host}, since {since}"
        return f"{process}: {shlex.join(self.command)}"


def lock(folder: Path) -> FileLock:
    """Acquire the lock of a run folder, until it is released or this process ends.

    Raises:
        ConfigError: another live run holds it, or the folder cannot be locked.
    """
    make_folder(folder)
    held = FileLock(folder / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        held.acquire()
        # This process may acquire it more than once.
        if held.lock_counter == 1:
            # The file only serves the message of another run.
            with suppress(OSError):
                write_json(folder / HOLDER_FILE, asdict(_this_process()))
    except Timeout:
        raise ConfigError(_held_by_another(folder)) from None
    except OSError as error:
        raise ConfigError(_cannot_be_locked(folder, error)) from error
    return held


def check_is_unlocked(folder: Path) -> None:
    """Check that no other live run holds the lock of a run folder; nothing is changed.

    Raises:
        ConfigError: another live run holds it, or the folder cannot be locked.
    """
    if not (folder / LOCK_FILE).is_file():
        return
    held = FileLock(folder / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        held.acquire()
    except Timeout:
        raise ConfigError(_held_by_another(folder)) from None
    except OSError as error:
        raise ConfigError(_cannot_be_locked(folder, error)) from error
    held.release()


def read_holder(folder: Path) -> Holder | None:
    """Return the holder of a folder's lock, or None if it is unknown.

    A killed process leaves its details behind, and the next holder writes its own a moment later.
    """
    try:
        holder = Holder(**json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8")))
        holder.describe()
        may_be_alive = holder.host != socket.gethostname() or _is_alive(holder.pid)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return holder if may_be_alive else None


def _held_by_another(folder: Path) -> Problem:
    holder = read_holder(folder)
    what = f"another run is using {folder}"
    if holder is None:
        what += f"; its process cannot be read from {HOLDER_FILE}"
        stop = "stop it"
    else:
        what += f": {holder.describe()}"
        here = socket.gethostname()
        stop = f"stop it (kill {holder.pid})"
        if holder.host != here:
            stop = f"stop it on {holder.host} (kill {holder.pid}; this is {here})"
    hint = f"Wait for it, {stop}, or choose another folder, such as output_dir={folder}-2"
    return Problem(key="output_dir", what=what, hint=hint)


def _cannot_be_locked(folder: Path, error: OSError) -> Problem:
    return Problem(
        key="output_dir",
        what=f"cannot lock {folder}: {error.strerror or error}",
        hint="Choose a writable folder, such as output_dir=outputs/mine",
    )


def _this_process() -> Holder:
    return Holder(
        pid=os.getpid(),
        user=_user(),
        host=socket.gethostname(),
        since=dt.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=typed_command(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user ID without a name.
        return f"user {os.getuid()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # A process of another user.
        return True
    return True

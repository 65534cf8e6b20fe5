"""The lock of a run folder, and who holds it: of several live runs, one writes to a folder."""

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
"""Held while a run lives."""
HOLDER_FILE = ".summexp.lock.json"
"""Who holds the lock, or held it last."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a lock."""

    pid: int
    """Its number, on its host."""
    user: str
    """Who started it."""
    host: str
    """The machine that it runs on."""
    since: str
    """When it took the lock, in ISO 8601 with the offset from UTC."""
    command: list[str]
    """Its command line, without secrets."""

    def describe(self) -> str:
        """Return the holder as a part of a sentence.

        >>> since = "2026-11-27T21:04:35+00:00"
        >>> command = ["train.py", "output_dir=out 1"]
        >>> Holder(pid=7, user="ann", host="gpu3", since=since, command=command).describe()
        "process 7 of ann on gpu3, since 2026-11-27 21:04:35+00:00: train.py 'output_dir=out 1'"
        """
        since = self.since.replace("T", " ")
        process = f"process {self.pid} of {self.user} on {self.host}, since {since}"
        return f"{process}: {shlex.join(self.command)}"


def lock(folder: Path) -> FileLock:
    """Take the lock of a run folder, for as long as this process lives or until it is released.

    Raises:
        ConfigError: another live run holds it, or there can be none in this folder.
    """
    make_folder(folder)
    held = FileLock(folder / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        held.acquire()
        # This process may take it more than once.
        if held.lock_counter == 1:
            # It serves the refusal of another run alone.
            with suppress(OSError):
                write_json(folder / HOLDER_FILE, asdict(_this_process()))
    except Timeout:
        raise ConfigError(_held_by_another(folder)) from None
    except OSError as error:
        raise ConfigError(_cannot_be_locked(folder, error)) from error
    return held


def check_is_unlocked(folder: Path) -> None:
    """Check that no other live run holds the lock of a run folder; nothing there is changed.

    Raises:
        ConfigError: another live run holds it, or there can be none in this folder.
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
    """Return who holds the lock of a folder, or None where that cannot be known.

    A process that was killed leaves its details behind, and the next holder needs a moment to
    write its own.
    """
    try:
        holder = Holder(**json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8")))
        holder.describe()
        lives = holder.host != socket.gethostname() or _is_alive(holder.pid)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return holder if lives else None


def _held_by_another(folder: Path) -> Problem:
    holder = read_holder(folder)
    what = f"another run is at work in {folder}"
    if holder is None:
        what += f"; who started it cannot be read from {HOLDER_FILE}"
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
        what=f"{folder} cannot be locked: {error.strerror or error}",
        hint="Name a folder that you may write to, such as output_dir=outputs/mine",
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
        # A container may run as a number that has no name.
        return f"user {os.getuid()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # Another user's.
        return True
    return True

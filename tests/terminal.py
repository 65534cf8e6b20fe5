"""Commands on a terminal of their own, a real one, where Ctrl-C is a key."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

CTRL_C = b"\x03"


def heed_signals() -> None:
    """Take signals as a command of an interactive shell does, whoever runs the tests."""
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_DFL)


class Terminal:
    """A command that runs on a pseudo-terminal of 80 columns as its foreground process group."""

    def __init__(
        self,
        command: Iterable[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, 80, 0, 0))
        self._start([str(word) for word in command], str(cwd), dict(environment or {}))
        self._output = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(self, command: list[str], cwd: str, environment: dict[str, str]) -> None:
        def take_terminal() -> None:
            heed_signals()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )

    def _code(self, seconds: float) -> int | None:
        """Wait for the end of the command; return its exit code, or None if it runs on."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._master, 65536)
            except OSError:
                # All who had the terminal have ended.
                return
            if not part:
                return
            self._output += part

    @property
    def output(self) -> str:
        """All that was printed so far, with the terminal's line ends as plain ones."""
        return self._output.decode("utf-8", errors="replace").replace("\r\n", "\n")

    @property
    def last_line(self) -> str:
        """The last line that is not empty."""
        return [line for line in self.output.splitlines() if line.strip()][-1]

    def press(self, keys: bytes = CTRL_C) -> None:
        """Press keys: Ctrl-C is SIGINT for the whole foreground process group."""
        os.write(self._master, keys)

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._master)

    def wait_for(self, text: str, seconds: float = 180, times: int = 1) -> None:
        """Wait until the output holds `text`, so often."""
        until = time.monotonic() + seconds
        while self.output.count(text) < times:
            assert time.monotonic() < until, self.output
            assert self._code(0.02) is None, self.output

    def end(self, seconds: float = 180) -> int:
        """Wait for the end of the command and return its exit code."""
        code = self._code(seconds)
        assert code is not None, self.output
        os.close(self._slave)
        self._reader.join(10)
        return code


def python(*words: str | Path) -> list[str]:
    """Return the command that runs Python, this one, with `words`."""
    return [sys.executable, *map(str, words)]

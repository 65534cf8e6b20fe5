"""Failure reports of ranks, written to a file that the launcher reads."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from summexp.distributed.world import outside_world
from summexp.errors import ConfigError, Problem, RunError, SummexpError
from summexp.upstream.torch import is_of_collective

_VARIABLE = "SUMMEXP_FAILURE_FILE"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a rank ended."""

    rank: int
    """Rank that failed."""
    moment: float
    """Time of the failure, in seconds since the epoch."""
    code: int
    """Exit code; negative for the signal that killed the rank."""
    report: dict[str, Any] | None
    """Report that the rank wrote before it ended, if any."""
    output: str
    """Last lines of its output; empty for rank 0, whose output is shown."""

    @property
    def weight(self) -> tuple[int, float]:
        """Sort key: a first cause comes before ranks that lost a peer."""
        if self.report is None:
            return 1, self.moment
        return (2 if self.report["lost_peer"] else 0), self.moment

    def error(self) -> SummexpError:
        """Return the error to raise in the process that started the ranks."""
        if self.report is None:
            return RunError("\n".join([f"rank {self.rank} {self._end()}", *self._printed()]))
        if self.report["problems"] is not None:
            return ConfigError([Problem(**problem) for problem in self.report["problems"]])
        if self.report["is_expected"]:
            return RunError(self.report["message"])
        return RankFailedError(self.rank, self.report["message"], self.report["traceback"])

    def _end(self) -> str:
        if self.code >= 0:
            return f"ended with exit code {self.code} and reported no error"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        memory = "; possibly out of memory (OOM killer)" if name == "SIGKILL" else ""
        return f"was killed by {name}{memory}"

    def _printed(self) -> list[str]:
        return ["last lines of its output:", self.output] if self.output else []


class RankFailedError(RunError):
    """A rank failed with an unexpected error: a bug."""

    def __init__(self, rank: int, message: str, traceback: str) -> None:
        """Store the rank's message and traceback."""
        super().__init__(f"rank {rank} failed: {message}")
        self.traceback = traceback


def failure_environment(path: Path) -> dict[str, str]:
    """Return the environment variable that gives a rank the path of its failure report."""
    return {_VARIABLE: str(path)}


def report_failure(error: BaseException) -> None:
    """Write the failure report of this rank, if its launcher asked for one."""
    path = os.environ.get(_VARIABLE)
    if path is None:
        return
    world = outside_world()
    problems = error.problems if isinstance(error, ConfigError) else None
    message = str(error) if isinstance(error, SummexpError) else f"{type(error).__name__}: {error}"
    report = {
        "moment": time.time(),
        "message": message,
        "is_expected": isinstance(error, SummexpError),
        "problems": None if problems is None else [asdict(problem) for problem in problems],
        "traceback": "".join(traceback.format_exception(error)),
        "lost_peer": has_lost_peer(error, world.size if world else 1),
    }
    try:
        Path(path).write_text(json.dumps(report), encoding="utf-8")
    except OSError:
        # The disk of the temporary folder is full too.
        print(f"rank {os.environ.get('RANK')}: {message}", file=sys.stderr)


def has_lost_peer(error: BaseException, world_size: int) -> bool:
    """Return whether `error` follows from the failure of another rank.

    Args:
        error: the error that ended this process.
        world_size: number of ranks; a single rank has no peer.
    """
    return world_size > 1 and is_of_collective(error)


def read_failure(path: Path) -> dict[str, Any] | None:
    """Return the failure report of a rank, or None."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return report if isinstance(report, dict) else None

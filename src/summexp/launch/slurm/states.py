"""Job states of Slurm, queried from its controller or its accounting."""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)

_STOPPED = frozenset(("CANCELLED", "DEADLINE", "PREEMPTED", "REVOKED", "TIMEOUT"))
_ENDED = _STOPPED | {"BOOT_FAIL", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
_DESCRIPTIONS = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "its deadline passed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it exceeded its memory limit (hydra.launcher.mem_gb)",
    "PREEMPTED": "it was preempted",
    "TIMEOUT": "it reached its time limit (hydra.launcher.timeout_min)",
}
_QUERY_TIMEOUT = 60


@dataclass(frozen=True, kw_only=True)
class SlurmState:
    """State of a Slurm job."""

    name: str
    """`PENDING`, `RUNNING`, `FAILED` and so on."""
    why: str = ""
    """Reason why it is pending, as Slurm names it (`Resources`)."""
    exit_code: str = "0:0"
    """Exit code and signal."""
    nodes: str = ""
    """Its nodes (`n[1-2]`)."""
    restarts: int = 0
    """Number of requeues."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended; it may still be requeued."""
        return self.name in _ENDED

    @property
    def was_stopped(self) -> bool:
        """Whether Slurm or a user stopped it."""
        return self.name in _STOPPED

    def describe(self) -> str:
        """Format how the job ended."""
        if self == GONE:
            return "it left no result, and is unknown to Slurm"
        code, _, signum = self.exit_code.partition(":")
        how = f"exit code {code}" if signum in ("", "0") else f"signal {signum}"
        where = f" on {self.nodes}" if self.nodes else ""
        text = _DESCRIPTIONS.get(self.name, "it ended without a result")
        return f"{text} (Slurm: {self.name}, {how}{where})"


GONE = SlurmState(name="GONE")
"""A job that neither the controller nor the accounting knows."""


def states(job_ids: Iterable[str]) -> dict[str, SlurmState]:
    """Return the state of each job.

    Args:
        job_ids: `12` for a job, `12_0` for one of an array.

    Returns:
        The states, without the jobs for which Slurm did not answer.
    """
    wanted = set(job_ids)
    known: dict[str, SlurmState] = {}
    lost: set[str] = set()
    for number in sorted({job_id.partition("_")[0] for job_id in wanted}):
        output = _ask("scontrol", "-o", "show", "job", number)
        if output is None:
            continue
        found = dict(_from_controller(output))
        known |= found
        lost |= {one for one in wanted if one.partition("_")[0] == number} - found.keys()
    if lost:
        # The controller drops a job some minutes after its end.
        known |= dict.fromkeys(lost, GONE) | _from_accounting(lost)
    return {job_id: known[job_id] for job_id in wanted & known.keys()}


def _ask(*command: str) -> str | None:
    """Return the output of a Slurm command, "" for unknown jobs, or None if it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("%s: %s", command[0], error)
        return None
    if done.returncode == 0:
        return done.stdout
    log.debug("%s: %s", command[0], done.stderr.strip())
    return "" if "Invalid job id" in done.stderr else None


def _from_controller(output: str) -> Iterator[tuple[str, SlurmState]]:
    """Yield (job ID, state) of each line of `scontrol -o show job`."""
    for line in output.splitlines():
        values = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", line))
        if "JobState" not in values:
            continue
        state = SlurmState(
            name=values["JobState"],
            why=values.get("Reason", "None").replace("None", ""),
            exit_code=values.get("ExitCode", "0:0"),
            nodes=values.get("NodeList", "").replace("(null)", ""),
            restarts=int(values.get("Restarts", 0)),
        )
        if "ArrayJobId" not in values:
            yield values["JobId"], state
            continue
        for index in _indices(values.get("ArrayTaskId", "")):
            yield f"{values['ArrayJobId']}_{index}", state


def _from_accounting(job_ids: Iterable[str]) -> dict[str, SlurmState]:
    columns = "JobID,State,ExitCode,NodeList"
    output = _ask("sacct", "-X", "-n", "-P", "-o", columns, "-j", ",".join(sorted(job_ids)))
    found = {}
    for line in (output or "").splitlines():
        job_id, state, exit_code, nodes = line.split("|")[:4]
        # "CANCELLED by 1000"
        name, *_ = state.split()
        found[job_id] = SlurmState(name=name, exit_code=exit_code, nodes=nodes)
    return found


def _indices(text: str) -> Iterator[int]:
    """Yield the task numbers of an array specification: `0`, `2-3`, `0-8:4` or `1,4-6%2`."""
    for part in text.partition("%")[0].split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if found:
            first, last, step = found.groups()
            yield from range(int(first), int(last or first) + 1, int(step or 1))

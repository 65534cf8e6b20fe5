"""Failed jobs of a sweep, and the error that lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from summexp.errors import EXIT_FAILED, EXIT_USAGE, SummexpError


@dataclass(frozen=True, kw_only=True)
class FailedJob:
    """A job of a sweep that failed."""

    number: int
    """Its number in the sweep."""
    overrides: Sequence[str]
    """Its overrides."""
    folder: str
    """Its run folder."""
    exit_code: int
    """Exit code of the job."""
    reason: str
    """Reason of the failure."""

    def describe(self, swept: Container[str]) -> str:
        """Format the job in two lines, with its values of the swept keys."""
        own = " ".join(word for word in self.overrides if word.partition("=")[0] in swept)
        # For a `ConfigError`: the number of problems and the first one.
        reason = " ".join(" ".join(self.reason.splitlines()[:2]).split())
        number = f"{self.number} ({own})" if own else str(self.number)
        return f"job {number} failed\n  in {self.folder}: {reason}"


class JobFailedError(SummexpError):
    """A job of a sweep failed and has logged its error; carries the exit code through Hydra."""

    def __init__(self, exit_code: int, reason: str) -> None:
        """Store the exit code and the reason."""
        self.reason = " ".join(reason.splitlines()[:2])
        super().__init__(self.reason)
        self.exit_code = exit_code


class SweepFailedError(SummexpError):
    """Some jobs of a sweep failed: exit code 1, or 2 if all were invalid."""

    def __init__(self, failed: Sequence[FailedJob], jobs: Sequence[Sequence[str]]) -> None:
        """Format the failed jobs.

        Args:
            failed: the failed jobs.
            jobs: the overrides of every job.
        """
        counts = Counter(word for overrides in jobs for word in overrides)
        swept = {word.partition("=")[0] for word, count in counts.items() if count < len(jobs)}
        total = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        listed = [job.describe(swept) for job in failed]
        super().__init__("\n".join([f"{len(failed)} of {total} failed:", *listed]))
        is_usage = len(failed) == len(jobs) and all(job.exit_code == EXIT_USAGE for job in failed)
        self.exit_code = EXIT_USAGE if is_usage else EXIT_FAILED

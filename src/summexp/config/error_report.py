"""Formatting and printing of errors, without secrets.

Tested in tests/test_check.py, tests/test_streams.py.
"""

from __future__ import annotations

from summexp.config.secrets import without_secrets
from summexp.errors import ConfigError, SummexpError
from summexp.streams import print_error


def report_error(error: SummexpError) -> None:
    """Print an error to standard error, without a traceback and without secrets."""
    print_error(without_secrets(format_error(error)))
    print_error("Nothing was started.")


def format_error(error: SummexpError) -> str:
    """Format an error, with each problem of a `ConfigError` on separate lines."""
    if not isinstance(error, ConfigError):
        return str(error)
    count = len(error.problems)
    head = "1 problem" if count == 1 else f"{count} problems"
    listed = "\n".join(f"  {problem}" for problem in error.problems)
    return f"{head}:\n{listed}"

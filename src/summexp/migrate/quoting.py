"""The words of the new command as one line for the shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from summexp.migrate.expansion import split_unexpanded


def shell_line(environment: Mapping[str, str], words: Sequence[str]) -> str:
    """Return a command as one line for the shell, variables set in front of it.

    Unexpanded parts of a variable's value, such as `$SLURM_NODEID`, are written as they were.
    """
    in_front = [f"{name}={_assigned(value)}" for name, value in environment.items()]
    return " ".join([*in_front, shlex.join(words)])


def _assigned(value: str) -> str:
    parts = split_unexpanded(value) or [("", True)]
    return "".join(shlex.quote(part) if is_expanded else part for part, is_expanded in parts)

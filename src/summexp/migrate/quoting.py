"""The words of the new command as one line for the shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from summexp.migrate.expansion import split_unknown


def shell_line(environment: Mapping[str, str], words: Sequence[str]) -> str:
    """Return a command as one line for the shell, variables set in front of it.

    What a shell has yet to work out in the value of a variable is written as it was.
    """
    in_front = [f"{name}={_assigned(value)}" for name, value in environment.items()]
    return " ".join([*in_front, shlex.join(words)])


def _assigned(value: str) -> str:
    parts = split_unknown(value) or [("", True)]
    return "".join(shlex.quote(part) if is_known else part for part, is_known in parts)

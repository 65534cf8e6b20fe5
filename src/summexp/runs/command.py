"""The command line of this process, as it can be typed into a shell again."""

from __future__ import annotations

import sys

from summexp.config.refused import looks_secret


def typed_command() -> list[str]:
    """Return the words of the command, the interpreter's name included, without secrets."""
    program, *words = sys.argv
    # `summexp train` is one word there.
    start = ["python", program] if program.endswith(".py") else program.split()
    return [*start, *("(a secret)" if looks_secret(word) else word for word in words)]

"""Paths: expansion of `~`, the folder of caches, and display in messages.

Tested in tests/data/test_files.py, tests/runs/test_process_environment.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def at_home(path: str) -> str:
    """Return a path, or the name of a repository, with `~` expanded.

    The `~` of an unknown user is not changed.
    """
    return os.path.expanduser(path)


def user_caches() -> Path | None:
    """Return the cache folder of this user, or None without a home folder."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given:
        return Path(given)
    home = os.path.expanduser("~")
    return Path(home, ".cache") if home != "~" else None


def display_path(path: Path) -> str:
    """Return `path` for messages: relative if it is below the working folder."""
    absolute = path.resolve()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)

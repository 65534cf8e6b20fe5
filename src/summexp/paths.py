"""Paths: expansion of `~`, and display in messages.

Tested in tests/data/test_files.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def at_home(path: str) -> str:
    """Return a path, or the name of a repository, with `~` expanded.

    The `~` of an unknown user is not changed.
    """
    return os.path.expanduser(path)


def display_path(path: Path) -> str:
    """Return `path` for messages: relative if it is below the working folder."""
    absolute = path.resolve()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)

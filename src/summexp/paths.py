"""Paths as users write them, and as messages show them.

Tested in tests/data/test_files.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def at_home(path: str) -> str:
    """Return a path, or the name of a repository, with the home folder in place of its `~`.

    The `~` of a user who does not exist is left as it is: there will be no such file.
    """
    return os.path.expanduser(path)


def display_path(path: Path) -> str:
    """Return `path` as a user would write it: relative, where it lies below the working folder."""
    absolute = path.resolve()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)

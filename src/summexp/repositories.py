"""Names of Hub repositories, and what a name that is to be a folder or a repository may not be.

Tested in tests/data/test_data_checks.py and tests/modeling/test_model_checks.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from summexp.errors import Problem, nearest_path
from summexp.paths import at_home

_PAGE = re.compile(r"https?://(?:www\.)?huggingface\.co/(?:datasets/)?([\w.-]+/[\w.-]+)(?:/.*)?")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def repository_of(address: str) -> str | None:
    """Return the repository of a URL of the Hub, or None.

    >>> repository_of("https://huggingface.co/google-t5/t5-small/tree/main")
    'google-t5/t5-small'
    """
    found = _PAGE.fullmatch(address)
    return found[1] if found else None


def name_problem(key: str, name: str, *, if_file: str) -> Problem | None:
    """Return why `name` is neither a folder nor the name of a Hub repository, or None.

    Args:
        key: the config key.
        name: its value.
        if_file: the hint where it is the path of a file.
    """
    folder = Path(at_home(name))
    # Unlike `Path.is_dir`, these are False for a name that is too long.
    if os.path.isdir(folder):
        return None
    if os.path.isfile(folder):
        return Problem(key=key, what=f"{name} is a file", hint=if_file)
    if repository := repository_of(name):
        only = f"Name the repository only: {key}={repository}"
        return Problem(key=key, what=f"{name} is a URL", hint=only)
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        hint = nearest_path(name, folder.parent, os.path.isdir)
        if not os.path.isdir(folder.parent):
            hint = (
                f"There is no folder {folder.parent} either (from {Path.cwd()}). Set {key}=NAME, "
                "a Hub repository or a folder."
            )
        return Problem(key=key, what=f"there is no folder {name}", hint=hint)
    if not _REPOSITORY.fullmatch(name):
        return Problem(
            key=key,
            what=f"{name!r} is neither a folder nor the name of a Hub repository",
            hint=f"A Hub repository is named owner/name: {key}=OWNER/NAME",
        )
    return None

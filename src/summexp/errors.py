"""The errors that a user is meant to read, and their messages.

A mistake of the user is a list of `Problem`s, so that one message reports all of them.
Anything else that escapes is a bug of ours, and keeps its traceback.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from unicodedata import normalize

EXIT_FAILED = 1
"""Exit code of a run that failed."""
EXIT_USAGE = 2
"""Exit code when the config or its input is wrong."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, where it is, and what to do about it."""

    what: str
    """What is wrong, a sentence in plain words. Never holds a secret."""
    key: str | None = None
    """The config key that holds it, such as `data.train_file`."""
    where: str | None = None
    """The file or command-line word that set the key."""
    hint: str | None = None
    """What to do, a sentence."""

    def __str__(self) -> str:
        head = f"{self.key}: {self.what}" if self.key else self.what
        where = f" [{self.where}]" if self.where else ""
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{head}{where}{hint}"


class SummexpError(Exception):
    """The base of every error that is reported without a traceback."""

    exit_code = EXIT_FAILED


class ConfigError(SummexpError):
    """The config, or the input that it names, is wrong: exit code 2."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        """Take one problem or many; a bare sentence becomes a problem without a key."""
        if isinstance(problems, str):
            problems = Problem(what=problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


class RunError(SummexpError):
    """The run could not go on, for a reason that the message gives: exit code 1."""


def shortened(text: str, length: int = 200) -> str:
    """Return `text` with its middle left out where it is longer than a message should be.

    >>> shortened("a" * 30, 9)
    'aaaa…aaaa'
    """
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


_SHORTEST_BEGINNING = 2


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the sentence that names the known names nearest to `name`, or None.

    >>> nearest("t5_smal", ["t5_small", "bart_base"])
    "Did you mean 't5_small'?"
    """
    return _did_you_mean(_nearest(name, list(known)))


def nearest_path(path: str, parent: Path, is_wanted: Callable[[str], bool]) -> str | None:
    """Return the sentence that names the paths beside `path` whose names are nearest, or None.

    Args:
        path: as the user wrote it; what is named is written in the same way, to be copied.
        parent: the folder that `path` means to lie in.
        is_wanted: whether a path is of the right kind, such as `os.path.isdir`.
    """
    folder, name = os.path.split(path.rstrip("/"))
    try:
        there = sorted(one for one in os.listdir(parent) if is_wanted(os.path.join(parent, one)))
    except (OSError, ValueError):
        return None
    return _did_you_mean([os.path.join(folder, one) for one in _nearest(name, there)])


def _did_you_mean(names: list[str]) -> str | None:
    return f"Did you mean {' or '.join(map(repr, names))}?" if names else None


def _nearest(name: str, known: list[str]) -> list[str]:
    # The case and the width of letters are no difference.
    plain = {one: _plain(one) for one in reversed(known)}
    spelt = {plain[one]: one for one in plain}
    name = _plain(name)
    near = get_close_matches(name, spelt, n=3, cutoff=0.6)
    # The second and third are worth naming only if they are about as near as the first.
    near = [one for one in near if _likeness(name, one) > _likeness(name, near[0]) - 0.1]
    if len(name) >= _SHORTEST_BEGINNING and name not in spelt:
        # `bart` means `bart_base`, and not `mbart50`, which has more letters in common.
        near = [plain[one] for one in known if plain[one].startswith(name)][:3] or near
    return [spelt[one] for one in dict.fromkeys(near)]


def _plain(name: str) -> str:
    return normalize("NFKC", name).casefold()


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()

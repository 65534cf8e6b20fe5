"""Exceptions that are reported to the user without a traceback.

A `ConfigError` has a list of `Problem`s, so that one message reports all of them. Any other
exception is a bug and is reported with its traceback.

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
    """A problem of the config or its input, with its source and a hint."""

    what: str
    """Description of the problem. Never contains a secret."""
    key: str | None = None
    """Config key, such as `data.train_file`."""
    where: str | None = None
    """Source of the key: a file or the command line."""
    hint: str | None = None
    """Advice, one or more sentences."""

    def __str__(self) -> str:
        head = f"{self.key}: {self.what}" if self.key else self.what
        where = f" [{self.where}]" if self.where else ""
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{head}{where}{hint}"


class SummexpError(Exception):
    """Base class of errors that are reported without a traceback."""

    exit_code = EXIT_FAILED


class ConfigError(SummexpError):
    """The config or its input is invalid: exit code 2."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        """Store one or several problems; a string becomes a problem without a key."""
        if isinstance(problems, str):
            problems = Problem(what=problems)
        if isinstance(problems, Problem):
            problems = [problems]
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def of(
        cls, *, what: str, key: str | None = None, where: str | None = None, hint: str | None = None
    ) -> ConfigError:
        """Return the error of one problem, with the fields of `Problem`."""
        return cls(Problem(what=what, key=key, where=where, hint=hint))


class RunError(SummexpError):
    """The run failed, for the reason in the message: exit code 1."""


def shortened(text: str, length: int = 200) -> str:
    """Return `text` with its middle elided if it is longer than `length`.

    >>> shortened("a" * 30, 9)
    'aaaa…aaaa'
    """
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


_SHORTEST_BEGINNING = 2


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the known names nearest to `name`, or None.

    >>> nearest("t5_smal", ["t5_small", "bart_base"])
    "Did you mean 't5_small'?"
    """
    return _did_you_mean(_nearest(name, list(known)))


def nearest_path(path: str, parent: Path, is_wanted: Callable[[str], bool]) -> str | None:
    """Return a hint with the paths whose names are nearest to that of `path`, or None.

    Args:
        path: the path as the user wrote it; suggestions are written in the same way.
        parent: the folder of `path`.
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
    # Ignore case and full-width forms.
    plain = {one: _plain(one) for one in reversed(known)}
    spelt = {plain[one]: one for one in plain}
    name = _plain(name)
    near = get_close_matches(name, spelt, n=3, cutoff=0.6)
    # Keep the second and third only if they are about as near as the first.
    near = [one for one in near if _likeness(name, one) > _likeness(name, near[0]) - 0.1]
    if len(name) >= _SHORTEST_BEGINNING and name not in spelt:
        # Prefer prefixes: `bart` means `bart_base`, not `mbart50`, which is more similar.
        near = [plain[one] for one in known if plain[one].startswith(name)][:3] or near
    return [spelt[one] for one in dict.fromkeys(near)]


def _plain(name: str) -> str:
    return normalize("NFKC", name).casefold()


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()

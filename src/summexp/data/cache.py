"""What is kept on disk for the next run: under which keys, and what if it cannot be written."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from summexp.errors import SummexpError
from summexp.storage import error_chain, storage_failure

log = logging.getLogger(__name__)

T = TypeVar("T")

_MAKERS = ("data", "modeling")
"""The parts of the package whose code decides what rows, tokens and trained tokenizers are."""
_DENIED = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
"""What a folder answers in which a user may not write, or which cannot be made."""


def cache_key(*parts: object) -> str:
    """Return the name of an entry: a digest of everything that its content depends on.

    Args:
        parts: of the content itself, as JSON takes them.

    Returns:
        32 hexadecimal digits, which differ too after a change of the code in this package.
    """
    text = json.dumps([_code(), *parts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@functools.cache
def _code() -> str:
    # In a checkout the version stays the same while the code changes.
    found = hashlib.blake2b(version("summexp").encode(), digest_size=16)
    package = Path(__file__).parents[1]
    for file in sorted(file for part in _MAKERS for file in (package / part).rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


def with_cache(
    cache: Path | None,
    cached: Callable[[Path], T],
    uncached: Callable[[], T],
    *,
    variable: str = "SUMMEXP_CACHE",
) -> T:
    """Do a piece of work with a cache, or without one that cannot be written.

    The first failure is logged, and the cache is not tried again in this process.

    Args:
        cache: its folder; None for no cache.
        cached: does the work and keeps the result in the folder.
        uncached: does the work alone.
        variable: the environment variable that names another folder.
    """
    if cache is None or cache in _unusable:
        return uncached()
    try:
        return cached(cache)
    except Exception as error:
        reason = None if isinstance(error, SummexpError) else _failure(error, cache)
        if reason is None:
            raise
        _unusable.add(cache)
        log.warning(
            "nothing is cached: %s cannot be written (%s); %s names another folder",
            *(cache, reason, variable),
        )
    return uncached()


_unusable: set[Path] = set()


def _failure(error: Exception, cache: Path) -> str | None:
    """Return why the cache could not be written, or None where `error` is about something else."""
    failure = storage_failure(error)
    if failure is not None:
        return os.strerror(failure[0] or errno.ENOSPC)
    for one in error_chain(error):
        if isinstance(one, OSError) and one.errno in _DENIED:
            file, folder = Path(one.filename or cache).absolute(), cache.absolute()
            # It may be the input that cannot be read.
            if file.is_relative_to(folder) or folder.is_relative_to(file):
                return os.strerror(one.errno)
    return None

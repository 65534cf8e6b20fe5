"""Caches that cannot be written: a run does without, and says so once."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from summexp.errors import SummexpError
from summexp.storage import error_chain, storage_failure

log = logging.getLogger(__name__)

T = TypeVar("T")

_DENIED = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
"""What a folder answers in which a user may not write, or which cannot be made."""


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

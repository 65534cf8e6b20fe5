"""Disk cache: keys, and fallback when the cache folder is not writable."""

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

_MAKERS = ("data", "modeling", "metrics")
"""Packages whose code determines the cached rows, tokens and trained tokenizers; chunks end with a
sentence of `metrics`."""
_DENIED = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT)
"""Error numbers of a folder that is not writable or cannot be created."""


def cache_key(*parts: object) -> str:
    """Return the key of an entry: a digest of everything that its content depends on.

    Args:
        parts: JSON-serializable values that the content depends on.

    Returns:
        32 hexadecimal digits; they also change with the code of this package.
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
    """Call `cached`, or `uncached` if the cache is not writable.

    The first failure is logged, and the cache is not used again in this process.

    Args:
        cache: the cache folder; None for no cache.
        cached: computes the result and stores it in the folder.
        uncached: computes the result without a cache.
        variable: the environment variable that sets the folder.
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
            "caching is disabled: %s is not writable (%s); set %s to another folder",
            *(cache, reason, variable),
        )
    return uncached()


_unusable: set[Path] = set()


def _failure(error: Exception, cache: Path) -> str | None:
    """Return why the cache could not be written, or None for any other error."""
    failure = storage_failure(error)
    if failure is not None:
        return os.strerror(failure[0] or errno.ENOSPC)
    for one in error_chain(error):
        if isinstance(one, OSError) and one.errno in _DENIED:
            file, folder = Path(one.filename or cache).absolute(), cache.absolute()
            # Otherwise the input may be unreadable.
            if file.is_relative_to(folder) or folder.is_relative_to(file):
                return os.strerror(one.errno)
    return None

"""Paths of data files, their digests and errors.

Errors name the file and the line, but not the config key, which `errors_at` adds.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

from summexp.errors import ConfigError, nearest_path
from summexp.paths import at_home

_LINE_LENGTH = 60
_LONGEST_TICK = 2.0
"""Seconds; some file systems have no finer times."""


@contextmanager
def errors_at(key: str) -> Iterator[None]:
    """Add the config key to every problem raised in the block without one."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            problem if problem.key else replace(problem, key=key) for problem in error.problems
        ) from error.__cause__


def digest(path: str | Path) -> str:
    """Return the digest of a file's bytes, 32 hexadecimal digits.

    A file that this process has digested is read again only if it has changed.
    """
    path = existing(path)
    with translated_errors(path):
        found = path.stat()
        state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        # A change within the clock's tick of another one leaves no trace.
        is_settled = time.time() - found.st_ctime > _LONGEST_TICK
        return (_known_digest if is_settled else _known_digest.__wrapped__)(path, state)


@functools.cache
def _known_digest(path: Path, _state: tuple[int, ...]) -> str:
    with path.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, new_digest).hexdigest()


def new_digest() -> hashlib.blake2b:
    """Return the hash object of `digest`."""
    return hashlib.blake2b(digest_size=16)


def folder_digest(folder: Path, patterns: Sequence[str] = ("**/*",)) -> str:
    """Return the digest of files in a folder, names and bytes, 32 hexadecimal digits.

    Args:
        folder: the folder.
        patterns: glob patterns of the files. Hidden files, and the cache files of `datasets`, are
            ignored.
    """
    files = {path for one in patterns for path in folder.glob(one) if path.is_file()}
    total = new_digest()
    for path in sorted(files):
        name = path.relative_to(folder)
        if not name.match("cache-*.arrow") and not any(one.startswith(".") for one in name.parts):
            total.update(f"{name.as_posix()}\0{digest(path)}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def one_line(value: object, length: int = _LINE_LENGTH) -> str:
    """Return a value as one line of at most `length` characters."""
    text = " ".join(str(value)[: length * 4].split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def existing(path: str | Path) -> Path:
    """Return the path of a file as spelled on disk, with `~` expanded.

    Raises:
        ConfigError: it does not exist (with the nearest name), is a URL or a folder, or its folder
            cannot be read.
    """
    if "://" in str(path):
        raise ConfigError.of(
            what=f"{path} is a URL; only local files are supported",
            hint="Download it first, or set data.name to a Hub repository.",
        )
    with translated_errors(Path(path)):
        found = _as_on_disk(Path(at_home(str(path))))
        if found.is_dir():
            hint = f"Set data.name={path} instead."
            raise ConfigError.of(what=f"{path} is a folder, not a file", hint=hint)
        if not found.exists():
            near = _whereabouts(str(path), found.parent)
            raise ConfigError.of(what=f"there is no file {path}", hint=near)
        if not found.is_file():
            what = f"{path} is a pipe or a device, and files are read several times"
            raise ConfigError.of(what=what, hint="Write its content to a file first.")
    return found


def _as_on_disk(path: Path) -> Path:
    """Return the path with the disk's Unicode composition of names, which differs on a Mac."""
    if path.exists() or path.parent == path:
        return path
    parent = _as_on_disk(path.parent)
    name = normalize("NFC", path.name)
    entries = parent.iterdir() if parent.is_dir() else ()
    alike = (entry for entry in entries if normalize("NFC", entry.name) == name)
    return next(alike, path)


def _whereabouts(path: str, folder: Path) -> str:
    if not folder.is_dir():
        return f"There is no folder {folder} either (from {Path.cwd()})."
    return nearest_path(path, folder, os.path.isfile) or f"Looked in {folder.resolve()}."


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into `ConfigError`s."""
    try:
        yield
    except UnicodeDecodeError as error:
        what = f"cannot read {path} as {error.encoding}: {error.reason}"
        raise ConfigError.of(what=what, hint="Save it as UTF-8.") from None
    except (EOFError, zlib.error):
        raise ConfigError(f"{path} is truncated or corrupt: incomplete gzip data") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None

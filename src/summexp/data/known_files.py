"""Digests of files that were read before, so that an unchanged file is not read again.

A file is recognized by its path, inode, size and times. Each is an entry of the cache, named by the
size and the format of the file, the code of this package, and a hash of the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from summexp.data.cache import cache_key
from summexp.data.csv_rows import Dialect
from summexp.data.files import digest
from summexp.data.source_files import SourceFile
from summexp.run_folder.atomic_files import read_json, write_json


def known_file(file: SourceFile, cache: Path) -> tuple[SourceFile, str] | None:
    """Return a verified file and its digest if its content was read before, else None.

    A file of the size of a known one, which may be its copy, is read for its digest.
    """
    entry = _entry(file, cache)
    known = read_json(entry)
    if known is None:
        of_this_size = entry.parent.glob(f"{_kind(file)}-*.json")
        others = [other for other in map(read_json, of_this_size) if other is not None]
        now = digest(file.path) if others else None
        known = next((other for other in others if other["digest"] == now), None)
        if known is None:
            return None
        # A cache that can only be read still serves what it holds.
        with suppress(OSError):
            write_json(entry, known)
    dialect = Dialect.of(known["dialect"])
    found = {"encoding": known["encoding"], "columns": tuple(known["columns"])}
    return replace(file, is_verified=True, dialect=dialect, **found), known["digest"]


def remember_file(file: SourceFile, content: str, cache: Path) -> None:
    """Remember a file that was read.

    Args:
        file: the file, verified.
        content: its digest.
        cache: the cache folder.
    """
    entry = _entry(file, cache)
    entry.parent.mkdir(parents=True, exist_ok=True)
    # What is known only after a file was read.
    found = {
        "encoding": file.encoding,
        "dialect": asdict(file.dialect),
        "columns": file.columns,
    }
    write_json(entry, {"digest": content} | found)


def _entry(file: SourceFile, cache: Path) -> Path:
    found = os.stat(file.path)
    # Also the time of the last change of anything, which a program cannot set.
    identity = [os.path.realpath(file.path), *file.state, found.st_ctime_ns]
    key = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    return cache / "files" / f"{_kind(file)}-{key}.json"


def _kind(file: SourceFile) -> str:
    # Other code may find another dialect.
    code = cache_key()[:8]
    return f"{file.state[1]}-{file.format}-{file.language or 'any'}-{code}"

"""Atomic writes of files, and reads of those that may be missing or corrupt.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    write_text(path, to_json(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file, or None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Return JSON that every parser reads (RFC 8259): NaN and infinity become null.

    `json.dumps` would write `NaN` and `Infinity`, which are not valid JSON.
    """
    try:
        return _strict_json(content, indent)
    except ValueError:
        return _strict_json(_finite(content), indent)


def _strict_json(content: Any, indent: int | None) -> str:
    return json.dumps(content, indent=indent, ensure_ascii=False, default=str, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: a reader sees the old content or the new one."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` if the block succeeds.

    Raises:
        OSError: it cannot be written; the error names `path`, and the temporary file is deleted.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        draft.unlink(missing_ok=True)

"""Writes files so that a reader sees the old one or the new one, never half of it.

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
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    write_text(path, to_json(content, indent=2) + "\n")


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Return JSON that every parser reads (RFC 8259): NaN and infinity become null.

    Python's own would write `NaN` and `Infinity`, which are no JSON.
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
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft to write, which becomes `path` when the block has ended well.

    Raises:
        OSError: it cannot be written; names `path`, and leaves nothing behind.
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

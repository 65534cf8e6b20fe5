"""Reader of `run.json`, which is untrusted input.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from summexp.run_folder.atomic_files import read_json
from summexp.run_folder.layout import RUN_FILE

_ENTRY_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("files", "argv", "devices", "examples", "scores"), list),
    **dict.fromkeys(
        (
            "choices",
            "trained_with",
            "phases",
            "data",
            "evaluated",
            "model",
            "predictions",
            "seconds",
            "signatures",
            "versions",
        ),
        dict,
    ),
    **dict.fromkeys(("world_size", "cores"), int),
    **dict.fromkeys(("status", "reason", "started", "ended"), (str, type(None))),
    **dict.fromkeys(("device", "metric", "language", "resumed_from"), (str, type(None))),
    **dict.fromkeys(("command", "cwd"), str),
    "git": (dict, type(None)),
}
"""Types of the entries of `run.json`."""


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of `run.json`, or None if `folder` holds no run.

    The folder is untrusted input: an entry of the wrong type is left out.
    """
    record = read_json(folder / RUN_FILE)
    if record is None:
        return None
    typed: dict[str, Any] = {
        name: value
        for name, value in record.items()
        if isinstance(value, _ENTRY_TYPES.get(name, object))
    }
    if "files" in typed:
        typed["files"] = [name for name in typed["files"] if isinstance(name, str)]
    return typed

"""Which checkpoints are whole: each carries a manifest, written last, of what it must hold."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from summexp.runs.folder import write_json

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
"""Size and digest of each file of a checkpoint."""


def seal(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint whose files are all written."""
    files = {
        path.relative_to(checkpoint).as_posix(): _fingerprint(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(checkpoint / MANIFEST, files)


def is_sealed(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was finished, but not whether its files are still whole."""
    return (checkpoint / MANIFEST).is_file()


def damage(checkpoint: Path) -> str | None:
    """Return in words what is wrong with a checkpoint, or None if it is whole."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it was not finished"
    except (json.JSONDecodeError, UnicodeDecodeError):
        return f"{MANIFEST} cannot be read"
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if _fingerprint(path) != expected:
            return f"{name} is damaged"
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a run, the last step first."""
    found = [
        path
        for path in folder.glob("checkpoint-*")
        if path.is_dir() and path.name.removeprefix("checkpoint-").isdigit()
    ]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def holds_progress(checkpoint: Path) -> bool:
    """Tell whether a training can go on from a checkpoint; some hold the weights alone."""
    schedule = (checkpoint / "scheduler.pt").is_file()
    # DeepSpeed has a way of its own to keep everything.
    return schedule or any(checkpoint.glob("global_step*"))


def last_whole_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint to go on from, and warn of each that is passed over."""
    for checkpoint in checkpoints(folder):
        reason = damage(checkpoint)
        if reason is None:
            return checkpoint
        log.warning("%s is passed over: %s", checkpoint.name, reason)
    return None


def _fingerprint(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return {"bytes": path.stat().st_size, "blake2b": digest}

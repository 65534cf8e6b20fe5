"""Checkpoint folders: creation, manifest, verification and rotation.

A manifest, written last, lists the size and digest of every file; a checkpoint without it is
incomplete.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path, PurePosixPath
from typing import Any

from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.deletion import delete
from summexp.run_folder.layout import MANIFEST, incomplete_marker, is_checkpoint, is_own_checkpoint

log = logging.getLogger(__name__)


def make_checkpoint(checkpoint: Path) -> None:
    """Create the empty folder of a checkpoint, marked as incomplete until its manifest is written.

    A partial checkpoint of a killed run is deleted. A folder not written by summexp is renamed.
    """
    if checkpoint.exists() and not is_own_checkpoint(checkpoint):
        kept = _free_name(checkpoint)
        checkpoint.rename(kept)
        log.warning("%s was not written by summexp: renamed to %s", checkpoint.name, kept.name)
    else:
        delete(checkpoint)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    incomplete_marker(checkpoint).touch()
    checkpoint.mkdir()


def _free_name(checkpoint: Path) -> Path:
    number = 1
    while (path := checkpoint.with_name(f"{checkpoint.name}.backup-{number}")).exists():
        number += 1
    return path


def write_manifest(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint, after all its other files."""
    files = {
        path.relative_to(checkpoint).as_posix(): _fingerprint(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(checkpoint / MANIFEST, files)
    incomplete_marker(checkpoint).unlink(missing_ok=True)


def rotate(newest: Path, limit: int | None, best: Path | None) -> None:
    """Delete the oldest checkpoints of a run above `limit`; never those not written by summexp.

    Args:
        newest: the checkpoint that was just written; it is kept.
        limit: number of checkpoints to keep (`training.save_total_limit`); all if None or 0.
        best: the best checkpoint, which is kept too.
    """
    if not limit or limit < 0:
        return
    older = [one for one in checkpoints(newest.parent) if is_own_checkpoint(one)]
    older = [one for one in older if one.name != newest.name]
    spared = [one for one in older if best is not None and _is_same(one, best)]
    surplus = len(older) + 1 - max(limit, 1 + len(spared))
    unspared = [one for one in reversed(older) if one not in spared]
    for checkpoint in unspared[: max(surplus, 0)]:
        _delete_older(checkpoint)


def keep_only(folder: Path, kept: Path) -> None:
    """Delete every checkpoint of a run but one; never those not written by summexp."""
    for checkpoint in checkpoints(folder):
        if is_own_checkpoint(checkpoint) and not _is_same(checkpoint, kept):
            _delete_older(checkpoint)


def _delete_older(checkpoint: Path) -> None:
    """Delete an old checkpoint, or warn if that fails."""
    try:
        delete(checkpoint)
    except OSError as error:
        log.warning("cannot delete %s: %s", checkpoint.name, error.strerror)


def _is_same(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute()


def has_manifest(checkpoint: Path) -> bool:
    """Return whether a checkpoint was completed; its files are not verified."""
    return (checkpoint / MANIFEST).is_file()


def verify(checkpoint: Path) -> str | None:
    """Return the problem of a checkpoint, or None if every file matches the manifest."""
    if not has_manifest(checkpoint):
        return "it is incomplete, or was not written by summexp"
    files = _manifest(checkpoint)
    if isinstance(files, str):
        return files
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if _fingerprint(path) != expected:
            return f"{name} is corrupt"
    return None


def size_problem(checkpoint: Path) -> str | None:
    """Return the problem of a missing file, or of one with another size than in the manifest.

    No file is read. A checkpoint without a manifest has no problem.
    """
    if not has_manifest(checkpoint):
        return None
    files = _manifest(checkpoint)
    if isinstance(files, str):
        return f"is corrupt: {files}"
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"is corrupt: {name} is missing"
        size = path.stat().st_size
        if size != expected.get("bytes"):
            return f"is corrupt: {name} has {size:,} bytes, not {expected.get('bytes'):,}"
    return None


def _manifest(checkpoint: Path) -> dict[str, dict[str, Any]] | str:
    """Return the entries of a manifest, or its problem."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return f"cannot read {MANIFEST}"
    if not isinstance(files, dict) or not files:
        return f"{MANIFEST} lists no files"
    for name, entry in files.items():
        if not _lies_inside(name):
            return f"{MANIFEST} names {name!r}, which is outside of the checkpoint"
        if not isinstance(entry, dict) or type(entry.get("bytes")) is not int:
            return f"{MANIFEST} is corrupt"
    return files


def _lies_inside(name: str) -> bool:
    """Return whether a name in a manifest is a relative path inside of the checkpoint."""
    path = PurePosixPath(name)
    return name == path.as_posix() and not path.is_absolute() and not {"..", "."} & {*path.parts}


def checkpoints(folder: Path) -> list[Path]:
    """Return all folders named `checkpoint-N`, whoever wrote them, the last step first."""
    found = [path for path in folder.glob("checkpoint-*") if is_checkpoint(path)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def holds_progress(checkpoint: Path) -> bool:
    """Return whether training can resume from a checkpoint; some hold the weights only."""
    schedule = (checkpoint / "scheduler.pt").is_file()
    # DeepSpeed saves everything in its own format.
    return schedule or any(checkpoint.glob("global_step*"))


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint, with a warning for each that is skipped."""
    for checkpoint in checkpoints(folder):
        reason = verify(checkpoint)
        if reason is None:
            return checkpoint
        log.warning("skipping %s: %s", checkpoint.name, reason)
    return None


def _fingerprint(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return {"bytes": path.stat().st_size, "blake2b": digest}

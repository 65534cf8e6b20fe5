"""Which checkpoints are whole: each carries a manifest, written last, of what it must hold."""

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
    """Make the empty folder of a checkpoint, marked as incomplete until it is sealed.

    What a killed run left half-written there is deleted; what somebody else put there is kept under
    another name.
    """
    if checkpoint.exists() and not is_own_checkpoint(checkpoint):
        kept = _free_name(checkpoint)
        checkpoint.rename(kept)
        log.warning("%s was not written by summexp: kept as %s", checkpoint.name, kept.name)
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
    """Write the manifest of a checkpoint whose files are all written."""
    files = {
        path.relative_to(checkpoint).as_posix(): _fingerprint(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(checkpoint / MANIFEST, files)
    incomplete_marker(checkpoint).unlink(missing_ok=True)


def rotate(newest: Path, limit: int | None, best: Path | None) -> None:
    """Delete older checkpoints of a run, the oldest first, but none that summexp did not write.

    Args:
        newest: the checkpoint that was just written; it stays.
        limit: how many to keep (`training.save_total_limit`); all where None or 0.
        best: the best checkpoint, which stays too.
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
    """Delete every checkpoint of a run but one, and none that summexp did not write."""
    for checkpoint in checkpoints(folder):
        if is_own_checkpoint(checkpoint) and not _is_same(checkpoint, kept):
            _delete_older(checkpoint)


def _delete_older(checkpoint: Path) -> None:
    """Delete a checkpoint that is not needed any more; that it cannot be is no reason to fail."""
    try:
        delete(checkpoint)
    except OSError as error:
        log.warning("%s cannot be deleted: %s", checkpoint.name, error.strerror)


def _is_same(one: Path, other: Path) -> bool:
    return one.absolute() == other.absolute()


def has_manifest(checkpoint: Path) -> bool:
    """Return whether a checkpoint was finished, but not whether its files are still whole."""
    return (checkpoint / MANIFEST).is_file()


def verify(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if it is complete."""
    if not has_manifest(checkpoint):
        return "it was not finished, or not written by summexp"
    files = _manifest(checkpoint)
    if isinstance(files, str):
        return files
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if _fingerprint(path) != expected:
            return f"{name} is damaged"
    return None


def size_problem(checkpoint: Path) -> str | None:
    """Return which file of a checkpoint is missing, or has another size than it was written with.

    Quick, as no file is read. Of a checkpoint without a manifest nothing is known.
    """
    if not has_manifest(checkpoint):
        return None
    files = _manifest(checkpoint)
    if isinstance(files, str):
        return f"cannot be trusted: {files}"
    for name, expected in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"is damaged: {name} is missing"
        size = path.stat().st_size
        if size != expected.get("bytes"):
            return f"is damaged: {name} has {size:,} bytes, not {expected.get('bytes'):,}"
    return None


def _manifest(checkpoint: Path) -> dict[str, dict[str, Any]] | str:
    """Return the entries of a manifest, or what is wrong with it."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return f"{MANIFEST} cannot be read"
    if not isinstance(files, dict) or not files:
        return f"{MANIFEST} lists no files"
    for name, entry in files.items():
        if not _lies_inside(name):
            return f"{MANIFEST} names {name!r}, which is outside of the checkpoint"
        if not isinstance(entry, dict) or type(entry.get("bytes")) is not int:
            return f"{MANIFEST} is damaged"
    return files


def _lies_inside(name: str) -> bool:
    """Return whether a name of a manifest is a path as `write_manifest` writes them."""
    path = PurePosixPath(name)
    return name == path.as_posix() and not path.is_absolute() and not {"..", "."} & {*path.parts}


def checkpoints(folder: Path) -> list[Path]:
    """Return the folders with names of checkpoints, whoever wrote them, the last step first."""
    found = [path for path in folder.glob("checkpoint-*") if is_checkpoint(path)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def holds_progress(checkpoint: Path) -> bool:
    """Return whether a training can go on from a checkpoint; some hold the weights alone."""
    schedule = (checkpoint / "scheduler.pt").is_file()
    # DeepSpeed has a way of its own to keep everything.
    return schedule or any(checkpoint.glob("global_step*"))


def last_complete_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint to go on from, and warn of each that is passed over."""
    for checkpoint in checkpoints(folder):
        reason = verify(checkpoint)
        if reason is None:
            return checkpoint
        log.warning("%s is passed over: %s", checkpoint.name, reason)
    return None


def _fingerprint(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return {"bytes": path.stat().st_size, "blake2b": digest}

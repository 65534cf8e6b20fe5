"""Deletion of the files of a run, and nothing else.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from summexp.run_folder.layout import (
    EARLIER_PREDICTIONS,
    MANIFEST,
    PREDICTION_FORMATS,
    RUN_FILE,
    incomplete_marker,
    is_checkpoint,
    is_own_checkpoint,
    is_own_folder_name,
    is_own_name,
)
from summexp.run_folder.record_file import read_record


def clear(folder: Path) -> None:
    """Delete the files of the run recorded in `folder`, and nothing else.

    `run.json` is untrusted input: only direct entries of the folder are deleted, with a name and
    type that a run writes. Symbolic links are not followed. Checkpoints are deleted if they have a
    manifest of summexp, whether listed or not.
    """
    record = read_record(folder) or {}
    recorded = set(record.get("files", ()))
    for entry in list(folder.iterdir()):
        if _is_of_the_run(entry, recorded):
            delete(entry)
    _clear_earlier_predictions(folder / EARLIER_PREDICTIONS, recorded)


def _is_of_the_run(entry: Path, recorded: set[str]) -> bool:
    """Return whether an entry of a run folder belongs to the run recorded there."""
    if is_checkpoint(entry) and not entry.is_symlink():
        return is_own_checkpoint(entry)
    if entry.name != RUN_FILE and not (entry.name in recorded and is_own_name(entry.name)):
        return False
    return entry.is_symlink() or entry.is_dir() == is_own_folder_name(entry.name)


def _clear_earlier_predictions(parent: Path, recorded: set[str]) -> None:
    if parent.is_symlink() or not parent.is_dir():
        return
    for entry in list(parent.iterdir()):
        is_listed = f"{parent.name}/{entry.name}" in recorded
        if is_listed and entry.suffix[1:] in PREDICTION_FORMATS and not entry.is_dir():
            entry.unlink()
    if not any(parent.iterdir()):
        parent.rmdir()


def delete(path: Path) -> None:
    """Delete a file, a folder with its content, or a symbolic link without its target.

    The manifest of a checkpoint is deleted last, so that the rest is recognized after a kill.
    """
    marker = incomplete_marker(path)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        for entry in list(path.iterdir()):
            if entry.name == MANIFEST:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        shutil.rmtree(path)
    marker.unlink(missing_ok=True)

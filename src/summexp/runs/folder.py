"""The run folder: made fresh, emptied only of what a run wrote, its files never half-written."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from summexp.errors import ConfigError, Problem, shortened
from summexp.options import at_home

RUN_FILE = "run.json"
"""What happened, in the run folder."""
CONFIG_FILE = "config.yaml"
"""What was asked for, in the run folder."""
PREDICTION_FORMATS = ("jsonl", "csv", "parquet")
"""Endings of the file of predictions."""
EARLIER_PREDICTIONS = "predictions"
"""Folder of predictions that a later command would have replaced. Not in `_FOLDERS`: others may use
the name too, and of its files only those that `run.json` lists are ours."""
FRESH_FOLDERS = {"run_dir": "outputs", "sweep_dir": "multirun"}
"""Where fresh folders are made, for runs and for sweeps, by the name of the resolver."""
_FILES = re.compile(
    r"config\.yaml|run\.json|(train|eval|predict|all)_results\.json|trainer_state\.json"
    r"|generated_predictions[\w.-]*\.(jsonl|csv|parquet)|report\.(html|md)|README\.md"
    r"|config\.json|generation_config\.json|model(-[0-9]+-of-[0-9]+)?\.safetensors"
    r"|model\.safetensors\.index\.json|tokenizer(_config)?\.json"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|(spiece|sentencepiece\.bpe)\.model"
    r"|training_args\.bin",
    re.ASCII,
)
_FOLDERS = re.compile(r"checkpoint-[0-9]+|tracking|profile|adapter")
"""Names that a run writes. A folder that holds one of them, but no run, is not written to."""

MANIFEST = "manifest.json"
"""Size and digest of each file of a checkpoint, written last."""

_KERNELS = ("/proc", "/sys")
"""Where Linux mounts file systems in which nobody can make a file."""

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


def register_resolvers() -> None:
    """Make `${summexp.run_dir:…}` and `${summexp.sweep_dir:…}` known to OmegaConf."""
    for name, parent in FRESH_FOLDERS.items():
        OmegaConf.register_new_resolver(
            f"summexp.{name}",
            lambda given, parent=parent: (
                at_home(given) if given else str(fresh_folder(Path(parent)))
            ),
            use_cache=True,
            replace=True,
        )


def fresh_folder(parent: Path) -> Path:
    """Make and return a new folder `parent/DATE/TIME`, with a number where the second is taken."""
    day = parent / time.strftime("%Y-%m-%d")
    make_folder(day)
    second = time.strftime("%H-%M-%S")
    number = 1
    while True:
        folder = day / (second if number == 1 else f"{second}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error


def check_is_writable(folder: Path) -> None:
    """Check that a run folder can be made and written to; nothing is made or changed.

    Raises:
        ConfigError: a parent is a file or forbids it, or the name is no name of a folder.
    """
    try:
        place = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unwritable(folder, reason) from None
    if not place.is_dir():
        raise _unwritable(folder, f"{place} is a file, not a folder")
    if not may_write(place):
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise _unwritable(folder, reason if place == folder else f"{place}: {reason}")


def may_write(folder: Path) -> bool:
    """Return whether this process can make files in `folder`, its capabilities counted."""
    # On the kernel's own file systems access(2) says yes to root.
    if os.stat(folder).st_dev in {os.stat(one).st_dev for one in _KERNELS if os.path.ismount(one)}:
        return False
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _unwritable(folder: Path, reason: str | None) -> ConfigError:
    cannot = "be written" if os.path.isdir(folder) else "be made"
    place = _writable_place(folder)
    return ConfigError(
        Problem(
            key="output_dir",
            what=f"the folder {shortened(str(folder))} cannot {cannot}: {reason}",
            hint=f"Name a place that you may write to, such as output_dir={place}",
        )
    )


def _writable_place(refused: Path) -> str:
    """Return a folder to name in place of one that cannot be made."""
    usual = Path(FRESH_FOLDERS["run_dir"])
    if refused.is_relative_to(usual) or not may_write(Path(os.curdir)):
        return str(Path(tempfile.gettempdir(), "mine"))
    return str(usual / "mine")


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of `run.json`, or None where no run was begun in `folder`.

    The folder may come from somebody else: an entry that is not of its type is left out.
    """
    try:
        record = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    typed: dict[str, Any] = {
        name: value
        for name, value in record.items()
        if isinstance(value, _ENTRY_TYPES.get(name, object))
    }
    if "files" in typed:
        typed["files"] = [name for name in typed["files"] if isinstance(name, str)]
    return typed


def check_is_free(folder: Path) -> None:
    """Check that a run can begin in `folder`, which holds no run yet, without overwriting anything.

    Raises:
        ConfigError: it is a file, or holds files of another origin under names that a run writes.
    """
    for path in (folder, *folder.absolute().parents):
        if path.is_file():
            raise ConfigError(Problem(key="output_dir", what=f"{path} is a file, not a folder"))
    if not folder.is_dir():
        return
    taken = sorted(entry.name for entry in folder.iterdir() if _is_our_name(entry.name))
    if taken:
        raise ConfigError(
            Problem(
                key="output_dir",
                what=f"{folder} holds {', '.join(taken[:4])}, but no run of summexp",
                hint=f"Nothing there is overwritten; choose another, such as output_dir={folder}-2",
            )
        )


def clear(folder: Path) -> None:
    """Delete what the run recorded in `folder` wrote, and nothing else.

    What `run.json` lists is not trusted, since the folder may come from somebody else: deleted are
    entries of the folder itself with a name and of a kind that a run writes, and of a link the link
    alone. Of checkpoints, those go that carry a manifest of ours, listed or not.
    """
    record = read_record(folder) or {}
    recorded = set(record.get("files", ()))
    for entry in list(folder.iterdir()):
        if _is_of_the_run(entry, recorded):
            delete(entry)
    _clear_earlier_predictions(folder / EARLIER_PREDICTIONS, recorded)


def _is_of_the_run(entry: Path, recorded: set[str]) -> bool:
    """Return whether an entry of a run folder may be deleted with the run recorded there."""
    if is_checkpoint(entry) and not entry.is_symlink():
        return is_own_checkpoint(entry)
    if entry.name != RUN_FILE and not (entry.name in recorded and _is_our_name(entry.name)):
        return False
    return entry.is_symlink() or entry.is_dir() == bool(_FOLDERS.fullmatch(entry.name))


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
    """Delete a file, a folder with all that it holds, or a link and not what it leads to.

    Of a checkpoint the manifest goes last, so that what is left after a kill is still known as one.
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


def is_checkpoint(path: Path) -> bool:
    """Return whether `path` is a folder with the name of a checkpoint, whoever wrote it."""
    return bool(re.fullmatch(r"checkpoint-[0-9]+", path.name)) and path.is_dir()


def is_own_checkpoint(path: Path) -> bool:
    """Return whether `path` is a checkpoint that summexp wrote, or began to write."""
    if not is_checkpoint(path):
        return False
    known = _has_manifest(path) or incomplete_marker(path).is_file()
    return known or not any(path.iterdir())


def _has_manifest(checkpoint: Path) -> bool:
    """Return whether a checkpoint has a manifest in our format; others may call a file so too."""
    try:
        files = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    entries = files.values() if isinstance(files, dict) else [None]
    return all(isinstance(entry, dict) and "blake2b" in entry for entry in entries)


def incomplete_marker(checkpoint: Path) -> Path:
    """Return the file that lies beside a checkpoint while it is written."""
    return checkpoint.with_name(f".{checkpoint.name}.incomplete")


def predictions_file(file_format: str) -> str:
    """Return the name of the file of predictions in a run folder."""
    return f"generated_predictions.{file_format}"


def own_names(folder: Path) -> list[str]:
    """Return the names in `folder` that a run writes; of checkpoints those that summexp wrote."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if _is_our_name(entry.name) and (not is_checkpoint(entry) or is_own_checkpoint(entry))
    )


def _is_our_name(name: str) -> bool:
    return bool(_FILES.fullmatch(name) or _FOLDERS.fullmatch(name))


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

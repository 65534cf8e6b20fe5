"""The run folder: made fresh, emptied only of what a run wrote, its files never half-written."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from summexp.errors import ConfigError, Problem

RUN_FILE = "run.json"
"""What happened, in the run folder."""
CONFIG_FILE = "config.yaml"
"""What was asked for, in the run folder."""
_OURS = re.compile(
    r"config\.yaml|run\.json|(train|eval|predict|all)_results\.json|trainer_state\.json"
    r"|generated_predictions.*\.jsonl|checkpoint-\d+|report\.(html|md)|README\.md"
    r"|config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors"
    r"|model\.safetensors\.index\.json|tokenizer(_config)?\.json"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|(spiece|sentencepiece\.bpe)\.model"
    r"|training_args\.bin|tracking|profile|adapter"
)
"""Names that a run writes. A folder that holds one of them, but no run, is not written to."""


def register_resolvers() -> None:
    """Make `${summexp.run_dir:…}` and `${summexp.sweep_dir:…}` known to OmegaConf."""
    for name, parent in (("run_dir", "outputs"), ("sweep_dir", "multirun")):
        OmegaConf.register_new_resolver(
            f"summexp.{name}",
            lambda given, parent=parent: given or str(fresh_folder(Path(parent))),
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
        raise ConfigError(
            Problem(
                key="output_dir",
                what=f"the folder {folder} cannot be made: {error.strerror}",
                hint="Name a place that you may write to: output_dir=…",
            )
        ) from error


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the content of `run.json`, or None where no run was begun in `folder`."""
    try:
        record = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) else None


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
    taken = sorted(entry.name for entry in folder.iterdir() if _OURS.fullmatch(entry.name))
    if taken:
        raise ConfigError(
            Problem(
                key="output_dir",
                what=f"{folder} holds {', '.join(taken[:4])}, but no run of summexp",
                hint="Choose another output_dir; nothing there is overwritten.",
            )
        )


def clear(folder: Path) -> None:
    """Delete what the run recorded in `folder` wrote, and nothing else."""
    record = read_record(folder) or {}
    names = {*record.get("files", ()), RUN_FILE}
    names |= {entry.name for entry in folder.glob("checkpoint-*") if is_checkpoint(entry)}
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def is_checkpoint(path: Path) -> bool:
    """Tell whether `path` is a checkpoint folder that training wrote, whole or not."""
    return bool(re.fullmatch(r"checkpoint-\d+", path.name)) and path.is_dir()


def own_names(folder: Path) -> list[str]:
    """Return the names in `folder` that a run writes."""
    return sorted(entry.name for entry in folder.iterdir() if _OURS.fullmatch(entry.name))


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8", newline="\n")
    draft.replace(path)

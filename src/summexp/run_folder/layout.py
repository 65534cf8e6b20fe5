"""Layout of a run folder: names of files and folders that a run writes."""

from __future__ import annotations

import re
from pathlib import Path

from summexp.run_folder.atomic_files import read_json

RUN_FILE = "run.json"
"""Record of the run: status, versions, device, data, phases."""
CONFIG_FILE = "config.yaml"
"""Resolved config of the run."""
PREDICTION_FORMATS = ("jsonl", "csv", "parquet")
"""Endings of the file of predictions."""
EARLIER_PREDICTIONS = "predictions"
"""Folder of predictions that a later command would have replaced. Not in `_FOLDERS`: others may use
the name too, and of its files only those that `run.json` lists are ours."""
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
"""Names that a run writes. A folder that holds one of them but no run is rejected."""

MANIFEST = "manifest.json"
"""Size and digest of each file of a checkpoint, written last."""


def is_checkpoint(path: Path) -> bool:
    """Return whether `path` is a folder named `checkpoint-N`, whoever wrote it."""
    return bool(re.fullmatch(r"checkpoint-[0-9]+", path.name)) and path.is_dir()


def is_own_checkpoint(path: Path) -> bool:
    """Return whether `path` is a checkpoint that summexp wrote or started to write."""
    if not is_checkpoint(path):
        return False
    known = _has_manifest(path) or incomplete_marker(path).is_file()
    return known or not any(path.iterdir())


def _has_manifest(checkpoint: Path) -> bool:
    """Return whether a checkpoint has a manifest in summexp's format."""
    files = read_json(checkpoint / MANIFEST)
    return files is not None and all(
        isinstance(entry, dict) and "blake2b" in entry for entry in files.values()
    )


def incomplete_marker(checkpoint: Path) -> Path:
    """Return the marker file beside a checkpoint that is being written."""
    return checkpoint.with_name(f".{checkpoint.name}.incomplete")


def predictions_file(file_format: str) -> str:
    """Return the name of the file of predictions in a run folder."""
    return f"generated_predictions.{file_format}"


def own_names(folder: Path) -> list[str]:
    """Return the names in `folder` that a run writes, without foreign checkpoints."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if is_own_name(entry.name) and (not is_checkpoint(entry) or is_own_checkpoint(entry))
    )


def is_own_name(name: str) -> bool:
    """Return whether a run writes a file or a folder of this name."""
    return bool(_FILES.fullmatch(name) or _FOLDERS.fullmatch(name))


def is_own_folder_name(name: str) -> bool:
    """Return whether a run writes a folder of this name."""
    return bool(_FOLDERS.fullmatch(name))

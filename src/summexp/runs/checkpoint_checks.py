"""Checks of a checkpoint to resume from, without importing torch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from summexp.errors import Problem
from summexp.modeling.config import ModelConfig
from summexp.run_folder.atomic_files import read_json
from summexp.run_folder.checkpoints import checkpoints, has_manifest, holds_progress, size_problem
from summexp.run_folder.layout import RUN_FILE, incomplete_marker

_KEY = "training.resume_from_checkpoint"
_STATE, _WEIGHTS, _INDEX = "trainer_state.json", "model.safetensors", "model.safetensors.index.json"
_SIZES = (
    *("model_type", "d_model", "d_ff", "d_kv", "num_layers", "num_decoder_layers", "num_heads"),
    *("encoder_layers", "decoder_layers", "encoder_ffn_dim", "decoder_ffn_dim"),
    *("hidden_size", "num_hidden_layers", "intermediate_size", "n_embd", "n_layer"),
)
"""Fields of a model's config on which the shapes of its weights depend."""


def checkpoint_problem(checkpoint: Path, model: ModelConfig | None) -> Problem | None:
    """Return the problem of resuming from the folder that the user named, or None.

    A checkpoint of a plain Trainer has no manifest and is accepted if its files are complete. In a
    run folder, a checkpoint without a manifest is an unfinished one of summexp, and is rejected.

    Args:
        checkpoint: the folder.
        model: the model to train; None if its sizes are not known yet.
    """
    for check in (_unfinished, _model_alone, size_problem, _state, _weights, _progress):
        if what := check(checkpoint):
            return Problem(key=_KEY, what=f"{checkpoint} {what}", hint=_hint(checkpoint))
    if model is not None and (what := _other_model(checkpoint, model)):
        hint = "Name a checkpoint of this model, or choose the model of the checkpoint."
        return Problem(key=_KEY, what=f"{checkpoint} {what}", hint=hint)
    return None


def _hint(checkpoint: Path) -> str:
    inside = [one for one in checkpoints(checkpoint) if has_manifest(one)]
    beside = [
        one for one in checkpoints(checkpoint.parent) if has_manifest(one) and one != checkpoint
    ]
    if inside or beside:
        return f"Name a complete checkpoint: {_KEY}={(inside or beside)[0]}"
    if (checkpoint / _WEIGHTS).is_file() and (checkpoint / "config.json").is_file():
        return (
            f"To start from its weights only, remove {_KEY} and set model.name_or_path={checkpoint}"
        )
    return "Name a folder checkpoint-N that training wrote, or remove the key."


def _unfinished(checkpoint: Path) -> str | None:
    if has_manifest(checkpoint):
        return None
    is_ours = (checkpoint.parent / RUN_FILE).is_file() and checkpoint.name.startswith("checkpoint-")
    if is_ours or incomplete_marker(checkpoint).is_file():
        return "is incomplete: it has no manifest"
    return None


def _model_alone(checkpoint: Path) -> str | None:
    if holds_progress(checkpoint):
        return None
    if (checkpoint / _WEIGHTS).is_file() or (checkpoint / _INDEX).is_file():
        return "holds a model only, without the optimizer state, and training cannot resume from it"
    return "is not a checkpoint: it holds neither weights nor the optimizer state"


def _state(checkpoint: Path) -> str | None:
    state = read_json(checkpoint / _STATE)
    if state is None:
        there = (checkpoint / _STATE).is_file()
        return f"has {'a broken' if there else 'no'} {_STATE}"
    if type(state.get("global_step")) is not int or not isinstance(state.get("log_history"), list):
        return f"has a {_STATE} without the training progress"
    return None


def _weights(checkpoint: Path) -> str | None:
    index = read_json(checkpoint / _INDEX)
    if index is None and not (checkpoint / _WEIGHTS).is_file():
        return f"holds no weights: there is no {_WEIGHTS}"
    shards = {_WEIGHTS} if index is None else {*_mapping(index.get("weight_map")).values()}
    for name in sorted(map(str, shards)):
        try:
            with safe_open(checkpoint / name, "numpy") as file:
                file.keys()
        except (OSError, SafetensorError) as error:
            return f"has weights that cannot be read, {name}: {error}"
    return None


def _progress(checkpoint: Path) -> str | None:
    """Return the problem of a missing or truncated optimizer or scheduler state."""
    # FSDP and DeepSpeed write folders, with one file for each rank.
    split = any(checkpoint.glob("global_step*")) or any(checkpoint.glob("optimizer_*"))
    for name in ("optimizer.pt", "scheduler.pt"):
        path = checkpoint / name
        if not path.is_file():
            if not split:
                return f"has no {name}"
        elif not zipfile.is_zipfile(path):
            return f"is corrupt: {name} is truncated"
    return None


def _other_model(checkpoint: Path, model: ModelConfig) -> str | None:
    theirs = read_json(checkpoint / "config.json") or {}
    if model.init == "random":
        mine: dict[str, Any] = {str(key): value for key, value in model.architecture.items()}
    else:
        name = model.config_name or model.name_or_path
        mine = (read_json(Path(name).expanduser() / "config.json") if name else None) or {}
    for field in _SIZES:
        if field in mine and field in theirs and mine[field] != theirs[field]:
            return (
                f"is of another model: its {field} is {theirs[field]}, and this model has "
                f"{mine[field]}"
            )
    return None


def _mapping(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}

"""Whether training can resume from a checkpoint, as far as its files show without torch."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from summexp.errors import Problem
from summexp.modeling.config import ModelConfig
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
    """Return why training cannot resume from the folder that the user named, or None.

    One without a manifest is taken if it is complete, unless it lies in a run folder: what a plain
    Trainer writes can be resumed from, what summexp did not finish cannot.

    Args:
        checkpoint: a folder.
        model: the model that is to be trained; None where its sizes are not known yet.
    """
    for check in (_unfinished, _model_alone, size_problem, _state, _weights, _progress):
        if what := check(checkpoint):
            return Problem(key=_KEY, what=f"{checkpoint} {what}", hint=_hint(checkpoint))
    if model is not None and (what := _other_model(checkpoint, model)):
        hint = "Name a checkpoint of that model, or choose the model that the checkpoint is of."
        return Problem(key=_KEY, what=f"{checkpoint} {what}", hint=hint)
    return None


def _hint(checkpoint: Path) -> str:
    inside = [one for one in checkpoints(checkpoint) if has_manifest(one)]
    beside = [
        one for one in checkpoints(checkpoint.parent) if has_manifest(one) and one != checkpoint
    ]
    if inside or beside:
        return f"Name a whole one: {_KEY}={(inside or beside)[0]}"
    if (checkpoint / _WEIGHTS).is_file() and (checkpoint / "config.json").is_file():
        return (
            f"To begin with its weights alone, leave out {_KEY} and set "
            f"model.name_or_path={checkpoint}"
        )
    return "Name a folder checkpoint-N that training wrote, or leave the key away."


def _unfinished(checkpoint: Path) -> str | None:
    if has_manifest(checkpoint):
        return None
    is_ours = (checkpoint.parent / RUN_FILE).is_file() and checkpoint.name.startswith("checkpoint-")
    if is_ours or incomplete_marker(checkpoint).is_file():
        return "was not written to its end: it has no manifest"
    return None


def _model_alone(checkpoint: Path) -> str | None:
    if holds_progress(checkpoint):
        return None
    if (checkpoint / _WEIGHTS).is_file() or (checkpoint / _INDEX).is_file():
        return (
            "holds a model alone, without the optimizer's state, and a training cannot resume from "
            "that"
        )
    return "is no checkpoint: it holds neither weights nor the optimizer's state"


def _state(checkpoint: Path) -> str | None:
    state = _json(checkpoint / _STATE)
    if state is None:
        there = (checkpoint / _STATE).is_file()
        return f"has {'a broken' if there else 'no'} {_STATE}"
    if type(state.get("global_step")) is not int or not isinstance(state.get("log_history"), list):
        return f"has a {_STATE} without the progress of the training"
    return None


def _weights(checkpoint: Path) -> str | None:
    index = _json(checkpoint / _INDEX)
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
    """Report an optimizer's or a schedule's state that is missing or cut off."""
    # FSDP and DeepSpeed write folders, with a part for each rank.
    split = any(checkpoint.glob("global_step*")) or any(checkpoint.glob("optimizer_*"))
    for name in ("optimizer.pt", "scheduler.pt"):
        path = checkpoint / name
        if not path.is_file():
            if not split:
                return f"has no {name}"
        elif not zipfile.is_zipfile(path):
            return f"is damaged: {name} is cut off"
    return None


def _other_model(checkpoint: Path, model: ModelConfig) -> str | None:
    theirs = _json(checkpoint / "config.json") or {}
    if model.init == "random":
        mine: dict[str, Any] = {str(key): value for key, value in model.architecture.items()}
    else:
        name = model.config_name or model.name_or_path
        mine = (_json(Path(name).expanduser() / "config.json") if name else None) or {}
    for field in _SIZES:
        if field in mine and field in theirs and mine[field] != theirs[field]:
            return (
                f"is of another model: its {field} is {theirs[field]}, and that of the model "
                f"here is {mine[field]}"
            )
    return None


def _mapping(content: object) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None

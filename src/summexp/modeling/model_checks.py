"""Checks of model folders and repositories, without importing torch."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError, safe_open

from summexp.errors import Problem
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.modeling.model_files import config_problem, tokenizer_problems, weights_problems
from summexp.paths import at_home
from summexp.repositories import name_problem
from summexp.upstream.hf_environment import hub_cache

_NAMES = ("name_or_path", "config_name", "tokenizer_name")


def check_model(config: ModelConfig, *, offline: bool) -> Iterator[Problem]:
    """Yield what is wrong with the folders and repositories that the model names.

    Args:
        config: the `model` group.
        offline: whether the Hub's cache is all there is.
    """
    yield from _kernel_problems(config.attn_implementation)
    for field in _NAMES:
        name = getattr(config, field)
        if not name:
            continue
        if (folder := existing_folder(name)) is not None:
            yield from _folder_problems(folder, field, config)
            continue
        cache_dir = config.cache_dir if offline else None
        if problem := repository_problem(f"model.{field}", name, cache_dir, offline=offline):
            yield problem


def _kernel_problems(attention: str | None) -> Iterator[Problem]:
    """Yield that the package of an attention is missing; upstream loads it by kernels instead."""
    own = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
    module = own.get(attention or "")
    if module and not any(map(importlib.util.find_spec, (module, "kernels"))):
        yield Problem(
            key="model.attn_implementation",
            what=f"{attention} needs the package {module} or kernels, and neither is installed",
            hint="Install one with pip install kernels, or set model.attn_implementation=sdpa",
        )


def _folder_problems(folder: Path, field: str, config: ModelConfig) -> Iterator[Problem]:
    """Yield what is wrong with a folder that `model.<field>` names, of what is loaded from it."""
    found = list(_adapter_in_place_of_a_model(folder)) if field == "name_or_path" else []
    own_shape = config.init == "random" and config.architecture.get("model_type")
    of_shape = "config_name" if config.config_name else "name_or_path"
    of_tokenizer = "tokenizer_name" if config.tokenizer_name else "name_or_path"
    if not found and field == of_shape and not own_shape:
        problem = config_problem(folder)
        found += [problem] if problem else []
    if not found and field == "name_or_path" and config.init == "pretrained":
        found += list(shards_outside(folder)) or weights_problems(folder)
    if field == of_tokenizer and (not found or field == "tokenizer_name"):
        found += tokenizer_problems(folder)
    key = f"model.{field}"
    other = (
        f"Name a folder written by save_pretrained (config.json, weights, tokenizer): {key}=FOLDER"
    )
    for problem in found:
        yield replace(problem, key=key, hint=problem.hint or other)


def check_adapter(config: PeftConfig, *, resume_from: str | None) -> Iterator[Problem]:
    """Yield the problems of training as `peft.*` configures it.

    Args:
        config: the `peft` group.
        resume_from: the checkpoint that `training.resume_from_checkpoint` names.
    """
    wanted = config.name != "none"
    if wanted and importlib.util.find_spec("peft") is None:
        yield Problem(
            key="peft.name",
            what=f"{config.name} needs the package peft, which is not installed",
            hint='Install it with pip install -c constraints.txt -e ".[peft]", or choose '
            "peft=none.",
        )
    checkpoint = Path(resume_from or "", "model.safetensors")
    if resume_from and os.path.isfile(checkpoint) and holds_adapter(checkpoint.parent) != wanted:
        what = "holds an adapter that is not merged" if not wanted else "holds no adapter"
        yield Problem(
            key="training.resume_from_checkpoint",
            what=f"{resume_from} {what}, and peft={config.name} cannot resume from it",
            hint="Choose the peft of the run that wrote it.",
        )


def holds_adapter(folder: Path) -> bool:
    """Return whether the weights in a folder are those of a model with a LoRA adapter inside."""
    try:
        with safe_open(folder / "model.safetensors", "numpy") as weights:
            return any(".lora_A." in name for name in weights.keys())  # noqa: SIM118
    except (OSError, SafetensorError):
        return False


def _adapter_in_place_of_a_model(folder: Path) -> Iterator[Problem]:
    if holds_adapter(folder):
        yield Problem(
            key="model.name_or_path",
            what=f"{folder} is a checkpoint of peft=lora, whose adapter is not merged",
            hint="Name the folder of the finished run, whose model is merged.",
        )
    elif (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        yield Problem(
            key="model.name_or_path",
            what=f"{folder} holds an adapter without its model",
            hint="Name the run folder that contains it, or merge it into its model first.",
        )


def shards_outside(folder: Path) -> Iterator[Problem]:
    """Yield that the index of a model folder takes weights from somewhere else.

    transformers (5.23) joins the names of the shards to the folder whatever they are.
    """
    for index in folder.glob("*.index.json"):
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # That it cannot be read is found when it is loaded.
            continue
        outside = [name for name in shards if name == ".." or Path(str(name)).name != name]
        if outside:
            yield Problem(
                key="model.name_or_path",
                what=f"{index} names the shard {outside[0]!r}, which is not a file of that folder",
                hint="Download the model again; this copy is modified or corrupt.",
            )


def existing_folder(name: str) -> Path | None:
    """Return the folder that `name` is the path of, `~` filled in, or None."""
    folder = at_home(name)
    return Path(folder) if os.path.isdir(folder) else None


def repository_problem(
    key: str, name: str, cache_dir: str | None, *, offline: bool
) -> Problem | None:
    """Return why nothing can be loaded under the name at `key`, no folder's, or None."""
    if problem := name_problem(key, name, if_file=f"Name its folder: {key}={Path(name).parent}"):
        return problem
    if offline and not is_cached(name, cache_dir):
        return Problem(
            key=key,
            what=f"{name} is not in the cache, and offline=true forbids a download",
            hint="Run once with network access, name a local folder, or try it with debug=tiny.",
        )
    return None


def is_cached(repository: str, cache_dir: str | None = None) -> bool:
    """Return whether any revision of a Hub model lies in the Hugging Face cache.

    The cache's folder and its layout are those that the documentation of huggingface_hub describes.
    """
    root = Path(at_home(cache_dir)) if cache_dir else hub_cache()
    if root is None:
        return False
    snapshots = root / f"models--{repository.replace('/', '--')}" / "snapshots"
    return os.path.isdir(snapshots) and any(snapshots.iterdir())

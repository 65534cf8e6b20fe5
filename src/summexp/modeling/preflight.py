"""What can be found wrong with the model without importing torch: folders, and the Hub's cache."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from summexp.errors import Problem, nearest
from summexp.modeling.config import ModelConfig, PeftConfig

_NAMES = ("name_or_path", "config_name", "tokenizer_name")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def check_model(config: ModelConfig, *, offline: bool) -> Iterator[Problem]:
    """Yield what is wrong with the folders and repositories that the model names.

    Args:
        config: the `model` group.
        offline: whether the Hub's cache is all there is.
    """
    for field in _NAMES:
        name = getattr(config, field)
        if not name:
            continue
        folder = Path(name).expanduser()
        if folder.is_dir():
            if field == "name_or_path":
                yield from _adapter_in_place_of_a_model(folder)
                yield from shards_outside(folder)
            continue
        problem = name_problem(name, config.cache_dir if offline else None, offline=offline)
        if problem is not None:
            yield Problem(key=f"model.{field}", what=problem.what, hint=problem.hint)


def check_adapter(config: PeftConfig, *, resume_from: str | None) -> Iterator[Problem]:
    """Yield what speaks against training as `peft.*` says.

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
    if resume_from and checkpoint.is_file() and holds_adapter(checkpoint.parent) != wanted:
        what = "holds an adapter that is not merged" if not wanted else "holds no adapter"
        yield Problem(
            key="training.resume_from_checkpoint",
            what=f"{resume_from} {what}, and peft={config.name} cannot go on from it",
            hint="Choose peft as the run did that wrote it.",
        )


def holds_adapter(folder: Path) -> bool:
    """Tell whether the weights in a folder are those of a model with a LoRA adapter inside."""
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
            hint="Name the folder of the finished run; its model is whole.",
        )
    elif (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        yield Problem(
            key="model.name_or_path",
            what=f"{folder} holds an adapter without its model",
            hint="Name the folder of the run that it lies in, or merge it into its model first.",
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
                hint="Take the model from its source again; this copy was changed or is damaged.",
            )


def name_problem(name: str, cache_dir: str | None, *, offline: bool) -> Problem | None:
    """Say why nothing can be loaded under a name that is no folder's, or return None."""
    folder = Path(name).expanduser()
    if folder.is_file():
        return Problem(what=f"{name} is a file", hint="Name the folder that it lies in.")
    if name.startswith((".", "~", "/")) or name.count("/") > 1:
        return Problem(what=f"there is no folder {name}", hint=_nearby(folder))
    if not _REPOSITORY.fullmatch(name):
        return Problem(
            what=f"{name!r} is neither a folder nor the name of a Hub repository",
            hint="A Hub repository is called owner/name, such as google-t5/t5-small.",
        )
    if offline and not is_cached(name, cache_dir):
        return Problem(
            what=f"{name} was not downloaded before, and offline=true forbids it now",
            hint="Run once with the network, name a folder, or try the way with debug=tiny.",
        )
    return None


def is_cached(repository: str, cache_dir: str | None = None) -> bool:
    """Tell whether any revision of a Hub model lies in the Hugging Face cache.

    The cache's folder and its layout are those that the documentation of huggingface_hub describes.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    hub = Path(os.environ.get("HF_HOME") or home, "hub")
    root = Path(cache_dir or os.environ.get("HF_HUB_CACHE") or hub).expanduser()
    snapshots = root / f"models--{repository.replace('/', '--')}" / "snapshots"
    return snapshots.is_dir() and any(snapshots.iterdir())


def _nearby(folder: Path) -> str | None:
    if not folder.parent.is_dir():
        return f"There is no folder {folder.parent} either (from {Path.cwd()})."
    return nearest(folder.name, [entry.name for entry in folder.parent.iterdir() if entry.is_dir()])

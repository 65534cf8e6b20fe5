"""Checks of the files in a model folder: config, weights and tokenizer.

They do not import torch: only the headers of weights are read, and JSON files completely. The files
are those of `_get_resolved_checkpoint_files` of transformers 5.23.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from summexp.data.files import folder_digest
from summexp.errors import Problem

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In the order in which upstream takes them; the first that is there is loaded."""
_OTHER_WEIGHTS = ("tf_model.h5", "flax_model.msgpack")
"""Weights of other frameworks, which transformers 5 no longer reads."""
_VOCABULARIES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "*.vocab", "*.tiktoken", "*.bpe")
_WITHOUT_VOCABULARY = ("ByT5", "Canine", "Perceiver")
"""Tokenizers of bytes or code points, which need no file of their own."""
_TOKENIZER_JSON = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_LOADED = (
    *("config.json", "generation_config.json", "*.safetensors", "*.bin", "*.index.json", "*.py"),
    *(*_VOCABULARIES, *_TOKENIZER_JSON, "merges.txt", "chat_template*", "adapter_config.json"),
)
"""Files of a model folder that a run may load."""
_LFS_POINTER = b"version https://git-lfs"
_WEB_PAGE = (b"<!doctype", b"<html")
_PICKLE = b"\x80"
"""First bytes of weights saved by PyTorch before 1.6; later ones are zip files."""
_AGAIN = "Copy or download it again."


def model_digest(folder: Path) -> str:
    """Return 32 hexadecimal digits that stand for the model and the tokenizer in a folder."""
    return folder_digest(folder, _LOADED)


def config_problem(folder: Path) -> Problem | None:
    """Return what is wrong with the `config.json` of a model's folder, or None."""
    path = folder / "config.json"
    if not path.is_file():
        inside = [one.parent for one in sorted(folder.glob("*/config.json"))]
        near = f"Did you mean {' or '.join(repr(str(one)) for one in inside[:3])}?"
        return Problem(what=f"{folder} holds no config.json", hint=near if inside else None)
    content = _json_of(path)
    if isinstance(content, Problem):
        return content
    # Code in the folder may define a type of its own.
    if not isinstance(content.get("model_type"), str) and "auto_map" not in content:
        return Problem(what=f"{path} has no model_type: it is not a model config")
    return None


def weights_problems(folder: Path) -> Iterator[Problem]:
    """Yield what is wrong with the weights in a folder, whose config is in order."""
    if (folder / "adapter_config.json").is_file():
        return  # the weights are those of another model, which it names
    name = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if name is None:
        yield _no_weights(folder)
    elif name.endswith(".index.json"):
        yield from _shard_problems(folder / name)
    elif problem := _file_problem(folder / name):
        yield problem


def tokenizer_problems(folder: Path) -> Iterator[Problem]:
    """Yield what is wrong with the tokenizer in a folder."""
    contents: dict[str, Any] = {}
    for name in _TOKENIZER_JSON:
        if (folder / name).is_file():
            contents[name] = _json_of(folder / name)
    problems = [one for one in contents.values() if isinstance(one, Problem)]
    if problems:
        yield from problems
        return
    if "model" not in contents.get("tokenizer.json", {"model": None}):
        path = folder / "tokenizer.json"
        yield Problem(what=f"{path} has no model: it is not a tokenizer", hint=_AGAIN)
    vocabularies = [path for one in _VOCABULARIES for path in folder.glob(one) if path.is_file()]
    settings = contents.get("tokenizer_config.json", {})
    own = str(settings.get("tokenizer_class") or "").startswith(_WITHOUT_VOCABULARY)
    if not vocabularies and not own and "auto_map" not in settings:
        yield _no_tokenizer(folder)
    for path in vocabularies:
        what = _no_content(path)
        if what is None and path.suffix in (".model", ".spm") and "tokenizer.json" not in contents:
            what = _sentencepiece_problem(path)
        if what is not None and path.name not in contents:
            yield Problem(what=f"{path} {what}", hint=_AGAIN)


def _no_weights(folder: Path) -> Problem:
    what = f"{folder} holds no weights ({_WEIGHTS[0]} or {_WEIGHTS[2]})"
    others = [name for name in _OTHER_WEIGHTS if (folder / name).is_file()]
    if others:
        hint = f"Convert {others[0]} with transformers 4, which read it: from_pretrained(…, "
        hint += f"from_{others[0].partition('_')[0]}=True), then save_pretrained."
        return Problem(what=f"{what}, but {others[0]}", hint=hint)
    hint = "To train from random weights of its shape, set model.init=random"
    return Problem(what=what, hint=hint)


def _no_tokenizer(folder: Path) -> Problem:
    hint = "Name the folder or repository of one: model.tokenizer_name=FOLDER"
    if any((folder.parent / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        hint = f"Set model.tokenizer_name={folder.parent}"
    return Problem(what=f"{folder} holds no tokenizer", hint=hint)


def _shard_problems(index: Path) -> Iterator[Problem]:
    content = _json_of(index)
    if isinstance(content, Problem):
        yield content
        return
    listed = content.get("weight_map")
    if not isinstance(listed, dict) or not all(isinstance(one, str) for one in listed.values()):
        yield Problem(what=f"{index} does not list the files of the weights", hint=_AGAIN)
        return
    shards = sorted({index.parent / name for name in listed.values()})
    if missing := [path.name for path in shards if not path.is_file()]:
        named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
        what = f"{index.parent} lacks {named} of the {len(shards)} weight files"
        yield Problem(what=what, hint="Copy or download what is missing.")
    for path in shards:
        if path.is_file() and (problem := _file_problem(path)):
            yield problem


def _file_problem(path: Path) -> Problem | None:
    """Return that a file of weights is none, or was cut short."""
    what = _no_content(path)
    if what is None and path.suffix == ".safetensors":
        try:
            with safe_open(path, "numpy"):
                pass
        except (OSError, SafetensorError) as error:
            what = f"is corrupt or truncated: {error}"
    elif what is None and not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(1) != _PICKLE:
                what = "is corrupt or truncated: it is not a PyTorch file"
    return Problem(what=f"{path} {what}", hint=_AGAIN) if what else None


def _no_content(path: Path) -> str | None:
    """Return what a file is in place of its content: nothing, a pointer, a web page."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not head:
        return "is empty (zero bytes)"
    if head.startswith(_LFS_POINTER):
        return "is a git-lfs pointer: run git lfs pull to download the file"
    if head.lstrip().lower().startswith(_WEB_PAGE):
        return "is an HTML page, probably of a failed download"
    return None


def _sentencepiece_problem(path: Path) -> str | None:
    from sentencepiece import SentencePieceProcessor

    try:
        SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError):
        return "is corrupt or truncated: it is not a SentencePiece file"
    return None


def _json_of(path: Path) -> dict[str, Any] | Problem:
    """Return the object that a JSON file holds, or what is wrong with the file."""
    if what := _no_content(path):
        return Problem(what=f"{path} {what}", hint=_AGAIN)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        what = f"{path} is corrupt or truncated: it is not JSON ({error})"
        return Problem(what=what, hint=_AGAIN)
    if not isinstance(content, dict):
        return Problem(what=f"{path} holds no JSON object", hint=_AGAIN)
    return content

"""Keys of the typed config: types, allowed values, and nearest keys of a misspelled one.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any

from summexp.config.aliases import ALIASES
from summexp.config.schema import SECTIONS, Config
from summexp.errors import nearest
from summexp.options import declared_choices
from summexp.upstream.removed_arguments import REMOVED_ARGUMENTS

_TYPE_DESCRIPTIONS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list[str]": "a list such as [a,b]",
    "list[int]": "a list of integers",
    "list[float]": "a list of numbers",
    "list[list[int]]": "a list of lists of integers",
    "None": "null",
}


@cache
def declared_fields() -> dict[str, Field[Any]]:
    """Return every dotted key of the tree, without sections, with its dataclass field."""
    found = {spec.name: spec for spec in fields(Config) if spec.name not in SECTIONS}
    for name, section in SECTIONS.items():
        found |= {f"{name}.{spec.name}": spec for spec in fields(section)}
    return found


@cache
def allowed_values() -> dict[str, tuple[str, ...]]:
    """Return the keys with a fixed set of values, and the values."""
    return {
        f"{name}.{field_name}": allowed
        for name, section in SECTIONS.items()
        for field_name, allowed in declared_choices(section)
    }


def declared(key: str) -> str | None:
    """Return the declared key of `key`: itself, or the open mapping that contains it."""
    if key in declared_fields():
        return key
    outer = ".".join(key.split(".")[:2])
    return outer if key != outer and outer in declared_fields() and takes_anything(outer) else None


def takes_anything(key: str) -> bool:
    """Return whether the declared `key` accepts any type, including mappings."""
    return declared_fields()[key].type == "Any"


def is_mapping(key: str) -> bool:
    """Return whether the declared `key` is an open mapping."""
    return takes_anything(key) and declared_fields()[key].default_factory is not MISSING


def type_names(key: str) -> list[str]:
    """Return the types of the declared `key`, as in `["int", "None"]`."""
    return [part.strip() for part in str(declared_fields()[key].type).split("|")]


def format_type(key: str) -> str:
    """Format the type of the declared `key`: `an integer or null`."""
    if is_mapping(key):
        return "a mapping such as {name: value}"
    return " or ".join(_TYPE_DESCRIPTIONS.get(part, part) for part in type_names(key))


_SHORT_NAMES = {
    "batch_size": "training.per_device_train_batch_size",
    "beams": "generation.num_beams",
    "dataset": "data",
    "device": "hardware.backend",
    "epochs": "training.num_train_epochs",
    "eval_batch_size": "training.per_device_eval_batch_size",
    "gpus": "hardware.processes",
    "lora_alpha": "peft.alpha",
    "lora_dropout": "peft.dropout",
    "lora_r": "peft.rank",
    "lora_rank": "peft.rank",
    "lr": "training.learning_rate",
    "max_epochs": "training.num_train_epochs",
    "model.name": "model.name_or_path",
    "model_name": "model.name_or_path",
    "num_epochs": "training.num_train_epochs",
    "num_gpus": "hardware.processes",
    "peft.r": "peft.rank",
    "prefix": "model.source_prefix",
    "source_column": "data.text_column",
    "target_column": "data.summary_column",
    "test_path": "data.test_file",
    "train_batch_size": "training.per_device_train_batch_size",
    "train_path": "data.train_file",
    "val_path": "data.validation_file",
    "validation_path": "data.validation_file",
}
"""Common names of keys, and their names here and upstream."""


def default_advice(key: str | None) -> str | None:
    """Return general advice for an invalid number, boolean or file, or None."""
    if key not in declared_fields():
        return None
    if key.startswith("data.") and key.endswith("_file"):
        return f"Name another file: {key}=FILE"
    if key == "training.resume_from_checkpoint":
        return "Remove it: a run in the same output_dir resumes from its last checkpoint."
    if not {"int", "float", "bool"} & set(type_names(key)):
        return None
    default = declared_fields()[key].default
    shown = {"None": "null", "True": "true", "False": "false"}.get(str(default), default)
    return f"Remove it, or set its default: {key}={shown}"


def nearest_key(name: str) -> str | None:
    """Return a hint with the keys nearest to `name`, with or without its section.

    For an argument of transformers 4, the hint names its successor.
    """
    keys = [key for key in declared_fields() if key not in ALIASES]
    last = name.rsplit(".", 1)[-1]
    same = [key for key in keys if key.rsplit(".", 1)[-1] == last]
    if f"{name}s" in keys:
        same = [f"{name}s"]
    if name in _SHORT_NAMES or (not same and last in _SHORT_NAMES):
        same = [_SHORT_NAMES.get(name) or _SHORT_NAMES[last]]
    if same:
        return f"Did you mean {' or '.join(map(repr, same[:3]))}?"
    if removed := _removed(last):
        return removed
    section = name.partition(".")[0]
    if section in SECTIONS:
        # Compare without the section, which would make all its keys similar.
        return _nearest_last(last, [key for key in keys if key.startswith(f"{section}.")])
    near = nearest(name, [*keys, *SECTIONS])
    # A key of an unknown section is not compared with the keys of other sections.
    return near if near or "." in name else _nearest_last(last, keys)


def _removed(name: str) -> str | None:
    """Return a hint for an argument that transformers has removed."""
    if name not in REMOVED_ARGUMENTS:
        return None
    now, remark = REMOVED_ARGUMENTS[name]
    if now:
        return f"Set {now} instead{': ' if remark else ''}{remark}."
    return f"Remove it: {remark}."


def _nearest_last(last: str, keys: list[str]) -> str | None:
    """Return a hint with the keys whose last part is nearest to `last`."""
    full_keys = {key.rsplit(".", 1)[-1]: key for key in keys}
    found = nearest(last, full_keys)
    for name, key in full_keys.items():
        found = found.replace(repr(name), repr(key)) if found else None
    return found

"""The keys of the typed tree: what they are, what they take, and which a misspelled one means.

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

_IN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list[str]": "a list such as [a,b]",
    "list[int]": "a list of whole numbers",
    "list[float]": "a list of numbers",
    "list[list[int]]": "a list of lists of whole numbers",
    "None": "null",
}


@cache
def declared_fields() -> dict[str, Field[Any]]:
    """Return every key of the tree in dotted form, sections left out, with its dataclass field."""
    found = {spec.name: spec for spec in fields(Config) if spec.name not in SECTIONS}
    for name, section in SECTIONS.items():
        found |= {f"{name}.{spec.name}": spec for spec in fields(section)}
    return found


@cache
def allowed_values() -> dict[str, tuple[str, ...]]:
    """Return the keys that take only certain values, with these."""
    return {
        f"{name}.{field_name}": allowed
        for name, section in SECTIONS.items()
        for field_name, allowed in declared_choices(section)
    }


def declared(key: str) -> str | None:
    """Return the declared key that `key` is, or lies inside of if that one takes any content."""
    if key in declared_fields():
        return key
    outer = ".".join(key.split(".")[:2])
    return outer if key != outer and outer in declared_fields() and takes_anything(outer) else None


def takes_anything(key: str) -> bool:
    """Return whether the declared `key` takes values of any type, mappings among them."""
    return declared_fields()[key].type == "Any"


def is_mapping(key: str) -> bool:
    """Return whether the declared `key` is a mapping whose keys nobody declared."""
    return takes_anything(key) and declared_fields()[key].default_factory is not MISSING


def type_names(key: str) -> list[str]:
    """Return the types of the declared `key`, as in `["int", "None"]`."""
    return [part.strip() for part in str(declared_fields()[key].type).split("|")]


def format_type(key: str) -> str:
    """Format the type of the declared `key`: `a whole number or null`."""
    if is_mapping(key):
        return "a mapping such as {name: value}"
    return " or ".join(_IN_WORDS.get(part, part) for part in type_names(key))


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
"""What people call a key, and what it is called here and upstream."""


def default_advice(key: str | None) -> str | None:
    """Return what may always be done about a number, a switch or a file that is wrong, or None."""
    if key not in declared_fields():
        return None
    if key.startswith("data.") and key.endswith("_file"):
        return f"Name another file: {key}=FILE"
    if key == "training.resume_from_checkpoint":
        return "Leave it away: a run in the same output_dir resumes from its last checkpoint."
    if not {"int", "float", "bool"} & set(type_names(key)):
        return None
    default = declared_fields()[key].default
    shown = {"None": "null", "True": "true", "False": "false"}.get(str(default), default)
    return f"Leave it away, or set its default: {key}={shown}"


def nearest_key(name: str) -> str | None:
    """Return the sentence that names the keys nearest to `name`, its section left away or not.

    Of an argument of transformers 4 it names the successor.
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
        # Compared without the section, which would make any two of its keys alike.
        return _nearest_last(last, [key for key in keys if key.startswith(f"{section}.")])
    near = nearest(name, [*keys, *SECTIONS])
    # A key of a section that there is not has little to do with those of the others.
    return near if near or "." in name else _nearest_last(last, keys)


def _removed(name: str) -> str | None:
    """Return a sentence on what became of an argument that transformers removed."""
    from summexp.migrate.removed_flags import EARLIER_FLAGS, REMOVED_FLAGS

    flag = next((flag for flag in REMOVED_FLAGS + EARLIER_FLAGS if flag.name == name), None)
    if flag is None:
        return None
    if flag.now:
        return f"Set {flag.now} instead{': ' if flag.remark else ''}{flag.remark}."
    return f"Leave it away: it {flag.remark}."


def _nearest_last(last: str, keys: list[str]) -> str | None:
    """Return the sentence that names the keys whose last part is nearest to `last`."""
    whole = {key.rsplit(".", 1)[-1]: key for key in keys}
    found = nearest(last, whole)
    for part, key in whole.items():
        found = found.replace(repr(part), repr(key)) if found else None
    return found

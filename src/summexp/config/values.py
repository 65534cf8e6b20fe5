"""Validation of values: type, and allowed values.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.keys import (
    allowed_values,
    declared,
    format_type,
    is_mapping,
    type_names,
)
from summexp.config.schema import schema_section
from summexp.errors import Problem, nearest

_MAY_BE_EMPTY = {
    "model.source_prefix",
    "model.target_prefix",
    "training.debug",
    "generation.stop_strings",
}
"""Keys of text that may be empty."""


def value_problem(key: str, value: Any) -> Problem | None:
    """Return the problem of `value` for `key`, or None.

    Args:
        key: a declared dotted key, such as `training.save_strategy`, or one in an open mapping.
        value: plain Python, including lists and mappings. Interpolations are not checked.
    """
    if isinstance(value, str) and "${" in value:
        return None
    if problem := number_problem(key, value):
        return problem
    if key in allowed_values():
        return _choice_problem(key, value)
    outer = declared(key) or key
    if outer != key:
        return None if is_mapping(outer) else _inside_problem(outer, key, value)
    if is_mapping(key):
        return None if isinstance(value, dict) else _type_problem(key, value)
    # OmegaConf would convert true to 1 or to text.
    if isinstance(value, bool) and not {"bool", "Any"} & set(type_names(key)):
        return _type_problem(key, value)
    try:
        _try(key, value)
    except OmegaConfBaseException:
        return _type_problem(key, value)
    return _empty_problem(key, value)


def number_problem(key: str, value: Any) -> Problem | None:
    """Return the problem of a number that is not finite or exceeds 64 bits, or None."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next(filter(None, (number_problem(key, one) for one in inner)), None)
    if isinstance(value, float) and not math.isfinite(value):
        return Problem(key=key, what=f"{value} is not a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        return Problem(key=key, what=f"a number of {len(str(abs(value)))} digits is too large")
    return None


def _try(key: str, value: Any) -> None:
    section, _, name = key.partition(".")
    if name:
        OmegaConf.update(_blank(section), name, value, merge=True)
    else:
        OmegaConf.update(_blank(""), key, value, merge=True)


@cache
def _blank(section: str) -> DictConfig:
    """Return a typed section (`""` for the top-level keys) for trial updates."""
    return schema_section(section)


def _choice_problem(key: str, value: Any) -> Problem | None:
    allowed = allowed_values()[key]
    nullable = "None" in type_names(key)
    if (value is None and nullable) or (isinstance(value, str) and value in allowed):
        return None
    listed = f"Allowed: {', '.join(allowed)}{' or null' if nullable else ''}."
    if str(value).lower() == "false" and "no" in allowed:
        listed += f" Write {key}=no."
    near = nearest(str(value), allowed)
    return Problem(
        key=key,
        what=f"{shown(value)} is not an allowed value",
        hint=f"{near} {listed}" if near else listed,
    )


def _type_problem(key: str, value: Any) -> Problem:
    hint = None
    if isinstance(value, str) and any(part.startswith("list[str") for part in type_names(key)):
        hint = f"Write {key}=[{value}]."
    elif isinstance(value, str) and value and is_mapping(key):
        hint = f"Name it: {key}={{name:{value}}}"
    elif isinstance(value, float) and value.is_integer() and "int" in type_names(key):
        hint = f"Write it without a point or exponent: {key}={int(value)}"
    return Problem(key=key, what=f"{shown(value)} is not {format_type(key)}", hint=hint)


def _inside_problem(outer: str, key: str, value: Any) -> Problem:
    name = key.removeprefix(f"{outer}.")
    hint = f"Write the full mapping: {outer}={{{name}: {value}}}" if "." not in name else None
    return Problem(key=key, what=f"{outer} is not a mapping with keys", hint=hint)


def _empty_problem(key: str, value: Any) -> Problem | None:
    if value != "" or key in _MAY_BE_EMPTY:
        return None
    unset = f"Write {key}=null to unset it." if "None" in type_names(key) else None
    return Problem(key=key, what="is empty", hint=unset)


def shown(value: Any) -> str:
    """Return a value as a user would write it in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def plain(value: Any, *, resolve: bool = False) -> Any:
    """Return a value of a config without OmegaConf's containers.

    Args:
        value: a value of any type.
        resolve: whether to resolve interpolations in a container.
    """
    return OmegaConf.to_container(value, resolve=resolve) if OmegaConf.is_config(value) else value

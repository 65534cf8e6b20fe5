"""Helpers of config dataclasses: choices, open mappings, and docs of fields.

The dataclasses are in the packages that they configure (`data/config.py`, …): keyword-only, with a
docstring under each field and cross-field rules in `__post_init__` (raising `ConfigError`). They
must not import torch or transformers, since they are read before.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any

from omegaconf import DictConfig

from summexp.errors import ConfigError, Problem

_CHOICES = "choices"


def choice(default: str | None, *allowed: str) -> Any:
    """Declare a text field with `allowed` values (and None if it is the default)."""
    return field(default=default, metadata={_CHOICES: allowed})


def open_mapping() -> Any:
    """Declare a mapping with arbitrary keys; Hydra would require a plus for a plain dict."""
    return field(default_factory=lambda: DictConfig({}, flags={"struct": False}))


def declared_choices(config_class: type) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (field name, allowed values) for each field of `config_class` declared by `choice`."""
    for spec in fields(config_class):
        if _CHOICES in spec.metadata:
            yield spec.name, spec.metadata[_CHOICES]


def field_docs(config_class: type) -> dict[str, str]:
    """Return the docstring under each field of `config_class`, field name to text, in order.

    They are read from the source, since Python does not store them; line breaks become spaces. A
    field without a docstring is left out.

    Raises:
        OSError: the class has no source file.
    """
    docs: dict[str, str] = {}
    for base in reversed(config_class.__mro__):
        if is_dataclass(base):
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(definition, ast.ClassDef)
            docs |= _literals_under_fields(definition)
    names = [spec.name for spec in fields(config_class)]
    return {name: docs[name] for name in names if name in docs}


def _literals_under_fields(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for above, below in zip(definition.body, definition.body[1:], strict=False):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())


def changed_fields(config: Any) -> dict[str, Any]:
    """Return the fields of a config dataclass whose value is not the default, name to value."""
    changed = {}
    for spec in fields(config):
        default = spec.default if spec.default_factory is MISSING else spec.default_factory()
        value = getattr(config, spec.name)
        if value != default:
            changed[spec.name] = value
    return changed


def raise_problems(section: str, found: Iterable[tuple[str, str]]) -> None:
    """Raise one error with every problem of a section.

    Args:
        section: the section, such as `training`.
        found: (field name, description of the problem).

    Raises:
        ConfigError: there are problems.
    """
    problems = [Problem(key=f"{section}.{name}", what=what) for name, what in found]
    if problems:
        raise ConfigError(problems)


def too_small(config: Any, minima: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield (field name, description) of each field of `config` below its minimum."""
    for name, least in minima.items():
        value = getattr(config, name)
        if value is not None and value < least:
            yield name, f"must be at least {least}, not {value}"

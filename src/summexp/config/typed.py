"""From the composed tree to the typed `Config`, or to all that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.overrides import nearest_key
from summexp.config.refused import SECRET_KEYS, TRUE_NAMES, looks_secret
from summexp.config.schema import SECTIONS, Config
from summexp.config.values import value_problem
from summexp.errors import ConfigError, Problem
from summexp.options import declared_choices


def typed_config(tree: DictConfig) -> Config:
    """Turn the composed tree (with or without its `hydra` node) into dataclasses.

    Raises:
        ConfigError: with every problem found: unknown keys, values that are not allowed, doubles,
            secrets, interpolations that lead nowhere, and the cross-field rules of each dataclass.
    """
    problems = [
        *_unknown_keys(tree),
        *_resolution_problems(tree),
    ]
    if problems:
        raise ConfigError(problems)
    sections: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        problems += _value_problems(name, section, tree[name])
        try:
            sections[name] = OmegaConf.to_object(tree[name])
        except ConfigError as error:
            problems += error.problems
        except OmegaConfBaseException as error:
            problems.append(Problem(key=name, what=str(error).splitlines()[0]))
    problems += _doubles(tree)
    if problems:
        raise ConfigError(problems)
    plain = {spec.name: tree[spec.name] for spec in fields(Config) if spec.name not in SECTIONS}
    return Config(**plain, **sections)


def _unknown_keys(tree: DictConfig) -> Iterator[Problem]:
    known = {"": {spec.name for spec in fields(Config)} | {"hydra"}}
    known |= {name: {spec.name for spec in fields(section)} for name, section in SECTIONS.items()}
    for path, names in known.items():
        node = tree if not path else tree._get_node(path)
        if not isinstance(node, DictConfig):
            yield Problem(key=path, what="is not a group of keys")
            continue
        for name in node:
            key = f"{path}.{name}" if path else str(name)
            if name not in names:
                yield Problem(key=key, what="there is no such key", hint=nearest_key(key))
        for name in sorted(names - set(map(str, node)) - {"hydra"}):
            key = f"{path}.{name}" if path else name
            yield Problem(key=key, what="is missing from the composed config")


def _resolution_problems(tree: DictConfig) -> Iterator[Problem]:
    """Yield interpolations that lead nowhere, secrets, and names of Python code to import."""
    for name in tree:
        if name == "hydra":
            yield from _foreign_targets(tree[name], "hydra")
            continue
        for key, value in _leaves(tree, str(name)):
            if key.endswith("_target_"):
                yield Problem(key=key, what="naming Python code to import is refused")
            elif isinstance(value, OmegaConfBaseException):
                yield Problem(key=key, what=str(value).splitlines()[0])
            elif value is not None and key.rsplit(".", 1)[-1].lower() in SECRET_KEYS:
                yield _secret(key)
            elif isinstance(value, str) and looks_secret(value):
                yield _secret(key)


def _secret(key: str) -> Problem:
    return Problem(
        key=key,
        what="holds a secret, which would be saved with the run",
        hint="Set HF_TOKEN or WANDB_API_KEY in the environment instead.",
    )


def _leaves(parent: DictConfig | ListConfig, name: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, resolved value or the error) for each leaf below `parent[name]`."""
    key = f"{path}.{name}" if path else str(name)
    try:
        value = parent[name]
    except OmegaConfBaseException as error:
        yield key, error
        return
    if isinstance(value, DictConfig) and not value._is_none():
        for inner in value:
            yield from _leaves(value, inner, key)
    elif isinstance(value, ListConfig) and not value._is_none():
        for index in range(len(value)):
            yield from _leaves(value, index, key)
    else:
        yield key, value


def _foreign_targets(node: Any, path: str) -> Iterator[Problem]:
    """Yield the `_target_`s in Hydra's own node that are not of Hydra's core or ours."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for name in node:
            child = node._get_node(name)
            if name in ("_target_", "()"):
                target = str(node._get_node(name)._value())  # type: ignore[union-attr]
                if not target.startswith(("hydra._internal.core_plugins.", "summexp.")):
                    yield Problem(
                        key=f"{path}.{name}",
                        what=f"imports {target!r}, which is not shipped with summexp",
                        hint="Choose one of the files in conf/hydra.",
                    )
            else:
                yield from _foreign_targets(child, f"{path}.{name}")
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for index in range(len(node)):
            yield from _foreign_targets(node._get_node(index), f"{path}.{index}")


def _value_problems(name: str, section: type, node: DictConfig) -> Iterator[Problem]:
    for field_name, _ in declared_choices(section):
        problem = value_problem(f"{name}.{field_name}", node[field_name], None)
        if problem:
            yield problem


def _doubles(tree: DictConfig) -> Iterator[Problem]:
    """Yield the doubles that a file sets to something else than upstream's default."""
    for key, true_name in TRUE_NAMES.items():
        section, _, name = key.partition(".")
        if section not in SECTIONS:
            continue
        default = {spec.name: spec.default for spec in fields(SECTIONS[section])}.get(name)
        if tree[section][name] != default:
            yield Problem(
                key=key,
                what="is another name for a thing that has its own key",
                hint=f"Set {true_name} instead.",
            )

"""Conversion of the composed tree, or of a run's `config.yaml`, to the typed `Config`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from summexp.config.aliases import ALIASES
from summexp.config.cross_section_rules import rule_problems
from summexp.config.files import IN_A_FILE, NO_CODE, holds_secret
from summexp.config.hydra_node import hydra_problems
from summexp.config.keys import allowed_values, declared_fields, nearest_key
from summexp.config.saved import read_saved
from summexp.config.schema import SECTIONS, Config, schema_node
from summexp.config.values import number_problem, value_problem
from summexp.errors import ConfigError, Problem


@dataclass(frozen=True)
class Reading:
    """The result of reading a composed tree."""

    config: Config | None
    """The config, if all sections are valid."""
    sections: dict[str, Any]
    """Valid sections, name to dataclass."""
    problems: list[Problem]
    """Unknown keys, invalid values, aliases, secrets, unresolvable interpolations, and violated
    rules between keys."""


def read_tree(tree: DictConfig) -> Reading:
    """Convert the composed tree (with or without its `hydra` node) to dataclasses."""
    problems = [*_shape_problems(tree)]
    if problems:
        return Reading(None, {}, problems)
    problems += [*_leaf_problems(tree), *_aliases(tree)]
    unreadable = {(problem.key or "").split(".")[0] for problem in problems}
    sections: dict[str, Any] = {}
    for name in SECTIONS:
        if name in unreadable:
            continue
        try:
            sections[name] = OmegaConf.to_object(tree[name])
        except ConfigError as error:
            problems += error.problems
        except OmegaConfBaseException as error:
            problems.append(Problem(key=name, what=str(error).splitlines()[0]))
    plain = [spec.name for spec in fields(Config) if spec.name not in SECTIONS]
    if len(sections) < len(SECTIONS) or unreadable.intersection(plain):
        return Reading(None, sections, problems)
    config = Config(**{name: tree[name] for name in plain}, **sections)
    return Reading(config, sections, [*problems, *rule_problems(config)])


def typed_config(tree: DictConfig) -> Config:
    """Convert the composed tree (with or without its `hydra` node) to a `Config`.

    Raises:
        ConfigError: the tree is invalid; has all problems.
    """
    reading = read_tree(tree)
    if reading.problems or reading.config is None:
        raise ConfigError(reading.problems)
    return reading.config


def load_config(path: Path) -> Config:
    """Load the `config.yaml` of a run.

    Raises:
        ConfigError: it cannot be read, or is of an incompatible version.
    """
    saved = read_saved(path)
    tree = OmegaConf.merge(schema_node(), saved)
    assert isinstance(tree, DictConfig)
    return typed_config(tree)


def _shape_problems(tree: DictConfig) -> Iterator[Problem]:
    """Yield unknown keys, and keys missing from a root config of the user."""
    known = {"": {spec.name for spec in fields(Config)} | {"hydra"}}
    known |= {name: {spec.name for spec in fields(section)} for name, section in SECTIONS.items()}
    for path, names in known.items():
        node = OmegaConf.select(tree, path) if path else tree
        if not isinstance(node, DictConfig):
            yield Problem(key=path, what="is missing from the composed config")
            continue
        there = set(map(str, node))
        prefix = f"{path}." if path else ""
        for name in sorted(there - names):
            key = f"{prefix}{name}"
            yield Problem(key=key, what="there is no such key", hint=nearest_key(key))
        for name in sorted(names - there - {"hydra", *SECTIONS}):
            yield Problem(key=f"{prefix}{name}", what="is missing from the composed config")


def _leaf_problems(tree: DictConfig) -> Iterator[Problem]:
    """Yield invalid interpolations and values, secrets, and names of code."""
    for name in tree:
        if name == "hydra":
            yield from hydra_problems(OmegaConf.to_container(tree[name]))
            continue
        for key, value in _leaves(tree, str(name)):
            if isinstance(value, MissingMandatoryValue):
                what = "is required and has no value (???)"
                yield Problem(key=key, what=what, hint=f"Set {key}=… .")
            elif isinstance(value, OmegaConfBaseException):
                yield Problem(key=key, what=str(value).splitlines()[0])
            elif key.rsplit(".", 1)[-1] == "_target_":
                yield Problem(key=key, what=NO_CODE.what, hint=NO_CODE.hint)
            elif holds_secret(key, value):
                yield Problem(key=key, what=IN_A_FILE.what, hint=IN_A_FILE.hint)
            else:
                check = value_problem if key in allowed_values() else number_problem
                if problem := check(key, value):
                    yield problem


def _leaves(
    parent: DictConfig | ListConfig, name: Any, path: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, resolved value or the error) for each leaf below `parent[name]`."""
    key = f"{path}.{name}" if path else str(name)
    try:
        value = parent[name]
    except OmegaConfBaseException as error:
        yield key, error
        return
    if isinstance(value, DictConfig):
        for inner in value:
            yield from _leaves(value, inner, key)
    elif isinstance(value, ListConfig):
        for index in range(len(value)):
            yield from _leaves(value, index, key)
    else:
        yield key, value


def _aliases(tree: DictConfig) -> Iterator[Problem]:
    """Yield the aliases that a file sets to another value than upstream's default."""
    for key, hint in ALIASES.items():
        section, _, name = key.partition(".")
        if section not in SECTIONS:
            continue
        node = tree[section]
        is_set = OmegaConf.is_interpolation(node, name)
        if is_set or node[name] != declared_fields()[key].default:
            what = "is an alias of another key"
            yield Problem(key=key, what=what, hint=hint)

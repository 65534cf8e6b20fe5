"""Values of text keys as they were written, where Hydra or YAML reads a number, boolean or null.

`model.revision=1234567e8` would become `123456700000000.0`, `data.config_name: 3.10` would become
`3.1`, and `tracking.tags: [off, 12:30]` would become `[False, 750]`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import yaml
from omegaconf import Container, DictConfig, OmegaConf

from summexp.config.keys import declared, type_names
from summexp.config.schema import SECTIONS
from summexp.config.slurm_launcher import SlurmConfig
from summexp.upstream.hydra import quoted_primitives

_OF_TEXT = {"data.validation_files", "generation.stop_strings"}
"""Keys of any type whose values are text, alone, in a list or in a mapping."""
_TEXT_TYPES = {"str", "list[str]", "None"}
_HYDRA = {
    *("hydra.job.name", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
    *(
        f"hydra.launcher.{spec.name}"
        for spec in fields(SlurmConfig)
        if {*str(spec.type).split(" | ")} <= _TEXT_TYPES
    ),
}
"""Keys of Hydra's own node that are text."""
_SWEPT = "hydra.sweeper.params"
"""Mapping of a file whose values are written as on the command line."""
_OUTER = {
    *("", *SECTIONS, "hydra", "hydra.sweeper"),
    *(key.rpartition(".")[0] for key in _HYDRA),
}
"""Mappings whose entries are keys."""
_GROUPS = {*SECTIONS, "experiment", "hydra/launcher", "hydra/sweeper"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


def is_text(key: str) -> bool:
    """Return whether `key` is declared as text or a list or mapping of it, and as nothing else."""
    outer = declared(key)
    if outer is None:
        return key in _HYDRA
    return outer in _OF_TEXT or {*type_names(outer)} <= _TEXT_TYPES


def quoted(word: str) -> str:
    """Return an override of a text key or a group with quotes around what Hydra would convert.

    A null stays one, except in a list.

    >>> quoted("model.revision=1234567e8")
    'model.revision="1234567e8"'
    >>> quoted("tracking.tags=[2024,a,null]")
    'tracking.tags=["2024",a,"null"]'
    """
    key = word.split("=", 1)[0].lstrip("+")
    return quoted_primitives(word) if key in _GROUPS or is_text(key) else word


def restore_texts(content: Container, text: str, package: str) -> None:
    """Set each text key to what its file has.

    Args:
        content: the content that OmegaConf has read from `text`.
        text: the file.
        package: package of the content, dotted; empty for the root.
    """
    # A file is parsed again only if a value was converted, which is rare.
    if isinstance(content, DictConfig) and _has_converted(OmegaConf.to_container(content), package):
        _restore(content, yaml.compose(text, Loader=_LOADER), package)


def _has_converted(node: Any, key: str) -> bool:
    if key == _SWEPT:
        return True
    if isinstance(node, dict) and key in _OUTER:
        return any(_has_converted(one, _below(key, name)) for name, one in node.items())
    return node is not None and is_text(key) and _is_converted(node)


def _is_converted(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_converted, value))
    if isinstance(value, dict):
        items = (one for one in (*value, *value.values()) if one is not None)
        return any(map(_is_converted, items))
    return not isinstance(value, str)


def _below(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _restore(content: Any, node: yaml.Node, key: str) -> None:
    """Restore the texts below `key`, whose content was read from `node`."""
    if not isinstance(content, DictConfig) or not isinstance(node, yaml.MappingNode):
        return
    for name, value in _entries(node):
        below = _below(key, name)
        if name not in content:
            continue
        if key == _SWEPT and isinstance(value, yaml.ScalarNode):
            content[name] = quoted(f"{name}={value.value}").partition("=")[2]
        elif below in _OUTER or below == _SWEPT:
            _restore(content[name], value, below)
        elif is_text(below):
            content[name] = _text(value)


def _entries(node: yaml.MappingNode) -> list[tuple[str, yaml.Node]]:
    """Return the entries of a mapping, the merged ones (`<<`) first."""
    merged, own = [], []
    for name, value in node.value:
        if name.tag == _MERGE:
            several = value.value if isinstance(value, yaml.SequenceNode) else [value]
            merged += [entry for one in reversed(several) for entry in _entries(one)]
        else:
            own.append((name.value, value))
    return [*merged, *own]


def _text(node: yaml.Node, *, in_list: bool = False) -> Any:
    """Return the content of `node` with every value and name as text; null stays outside lists."""
    if isinstance(node, yaml.SequenceNode):
        return [_text(one, in_list=True) for one in node.value]
    if isinstance(node, yaml.MappingNode):
        return {name: _text(value) for name, value in _entries(node)}
    return None if node.tag == _NULL and not in_list else node.value

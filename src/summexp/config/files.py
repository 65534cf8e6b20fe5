"""Validation of each choice file by itself, so that every problem is reported with its file.

Hydra stops at the first key that it cannot merge, and does not name the file.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from summexp.config.aliases import ALIASES
from summexp.config.keys import declared, nearest_key
from summexp.config.provenance import ChoiceFile
from summexp.config.schema import SECTIONS
from summexp.config.secrets import is_secret_key, looks_secret
from summexp.config.values import value_problem
from summexp.errors import Problem, nearest
from summexp.paths import display_path

IN_A_FILE = Problem(
    what="contains a secret, which would be saved with the run",
    hint="Set HF_TOKEN or WANDB_API_KEY in the environment instead.",
)
NO_CODE = Problem(
    what="importing Python code is not allowed",
    hint="Choose one of the files in conf/ instead.",
)


def remove_invalid_entries(files: Sequence[ChoiceFile]) -> list[Problem]:
    """Return the problems of the files, and remove the entries from their content.

    The rest can then be composed and checked for further problems.
    """
    problems = []
    for file in files:
        if file.is_shipped:
            continue
        content = OmegaConf.to_container(file.content)
        for path, problem in list(_invalid(file, content, ())):
            problems.append(problem)
            _remove(file.content, path)
    return problems


def _invalid(
    file: ChoiceFile, node: Any, path: tuple[Any, ...]
) -> Iterator[tuple[tuple[Any, ...], Problem]]:
    """Yield (path inside the file, problem) for each invalid entry below the mapping `node`."""
    if not isinstance(node, dict):
        return
    for name, child in node.items():
        here = (*path, name)
        key = file.key(".".join(map(str, here)))
        if key.split(".")[0] == "hydra":
            problem = _hydra_problem(key, child)
        elif key in SECTIONS:
            problem = None if isinstance(child, dict) else _not_a_section(key)
        elif declared(key) is None:
            problem = _unknown(file, key)
        else:
            problem = _entry_problem(key, child)
        if problem is not None:
            yield here, _located(problem, key, file.path)
        elif isinstance(child, dict) and (key in SECTIONS or key.startswith("hydra")):
            yield from _invalid(file, child, here)


def _located(problem: Problem, key: str, path: str) -> Problem:
    return Problem(key=problem.key or key, what=problem.what, hint=problem.hint, where=path)


def _not_a_section(key: str) -> Problem:
    return Problem(what="is a group of keys, not a value", hint=f"Write its keys below {key}:")


def _hydra_problem(key: str, child: Any) -> Problem | None:
    if isinstance(child, dict | list):
        return None
    if holds_secret(key, child):
        return IN_A_FILE
    return Problem(what=_ALIAS, hint=ALIASES[key]) if key in ALIASES else None


def _entry_problem(key: str, value: Any) -> Problem | None:
    if holds_secret(key, value):
        return IN_A_FILE
    if names_code(key, value):
        return NO_CODE
    return value_problem(key, value)


_ALIAS = "is an alias of another key"


def holds_secret(key: str, value: Any) -> bool:
    """Return whether a value, or a nested value, is or reads a secret."""
    if isinstance(value, dict):
        return any(holds_secret(f"{key}.{name}", inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(holds_secret(key, inner) for inner in value)
    return value is not None and (is_secret_key(key) or looks_secret(str(value)))


def names_code(key: str, value: Any) -> bool:
    """Return whether a value, or a nested key, names Python code to import."""
    if isinstance(value, dict):
        return any(names_code(str(name), inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(names_code("", inner) for inner in value)
    return key.rsplit(".", 1)[-1] == "_target_"


def _unknown(file: ChoiceFile, key: str) -> Problem:
    what = "there is no such key"
    if key.rsplit(".", 1)[-1] == "_target_":
        return NO_CODE
    if file.package and key.removeprefix(f"{file.package}.").split(".")[0] in SECTIONS:
        first = "# @package _global_"
        return Problem(what=what, hint=f"Make {first!r} the first line of the file.")
    return Problem(what=what, hint=nearest_key(key) or "python train.py --help lists every key.")


def _remove(content: DictConfig, path: tuple[Any, ...]) -> None:
    node: Any = content
    for name in path[:-1]:
        node = node[name]
    OmegaConf.set_struct(node, False)
    del node[path[-1]]


def folder_problems(folder: Path, shipped: Path, *, root: Path | None = None) -> Iterator[Problem]:
    """Yield the problems of file names in the user's folder of choices.

    Args:
        folder: the folder of `--config-dir`.
        shipped: the folder of shipped choices, which override the user's files of the same name.
        root: the config of a run in `folder`, which is not a choice.
    """
    groups = [path.name for path in shipped.iterdir() if path.is_dir()]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        group = name.parts[0]
        # `.hydra` of a run folder has Hydra's copies.
        if path == root or group.startswith("."):
            continue
        if path.suffix == ".yml" and group in groups:
            what = f"{name} is ignored: the extension must be .yaml"
            yield Problem(
                what=what, where=display_path(path), hint=f"Rename it to {path.stem}.yaml."
            )
        if path.suffix != ".yaml":
            continue
        ours = shipped / name
        if ours.is_file() and not ours.samefile(path):
            what = f"{name} has the name of a shipped choice, which takes precedence"
            yield Problem(what=what, where=display_path(path), hint="Rename it.")
        elif len(name.parts) > 1 and group not in groups and (near := nearest(group, groups)):
            what = f"there is no group {group!r}"
            yield Problem(what=what, where=display_path(folder / group), hint=near)

"""Errors of Hydra, OmegaConf and the YAML parser as problems with file and hint.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from summexp.config.provenance import COMMAND_LINE, SHIPPED
from summexp.errors import Problem, nearest
from summexp.paths import display_path

HYDRA_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, AssertionError)
"""Exceptions for an invalid file or override (for a defaults list also plain ones)."""

_IN_FILE = re.compile(r"\b[Ii]n '([\w/.-]+)'")
_NOT_FOUND = re.compile(r"Could not (?:find|load) '(?:([\w/.-]+)/)?([^'/]+)'")
_NO_GROUP = re.compile(r"Could not override '([^']+)'\.\s+No match in the defaults list")
_DUPLICATE = re.compile(r"Multiple values for ([\w/]+)\.")
_NO_KEYS = re.compile(r"Merge error: \w+ is not a subclass")
_EXISTS = re.compile(r"An item is already at '([^']+)'")
_NO_ROOT = re.compile(r"Cannot find primary config '([^']+)'")
_ADVICE = (
    "To append",
    "Either remove",
    "Or add",
    "full_key",
    "object_type",
    "Set the environment variable",
    "Available",
)


def format_error(error: BaseException, loader: ConfigLoader, overrides: Sequence[str]) -> Problem:
    """Format an error of Hydra or OmegaConf, without its advice to add a plus.

    Args:
        error: the exception.
        loader: Hydra's config loader.
        overrides: the overrides of the job.
    """
    if isinstance(error, YAMLError):
        return _yaml_problem(error)
    own = list(_own_files(loader, overrides))
    if isinstance(error, UnicodeDecodeError):
        return Problem(what="a choice file is not UTF-8", where=_not_utf8(own))
    text = str(error)
    inside = _IN_FILE.search(text)
    where = _file_of(inside[1], loader) if inside else None
    if found := _NOT_FOUND.search(text):
        return _no_choice(found[1] or "", found[2], loader, _file_with(found[2], own) or where)
    if found := _NO_GROUP.search(text):
        groups = loader.list_groups("")
        hint = nearest(found[1], groups) or f"Available: {', '.join(groups)}."
        return Problem(what=f"there is no group {found[1]!r}", where=where, hint=hint)
    if found := _DUPLICATE.search(text):
        hint = f"In a defaults list, replace a choice by '- override /{found[1]}: NAME'."
        source = _file_with(found[1], own)
        return Problem(key=found[1], what="is chosen twice", where=source, hint=hint)
    if found := _NO_ROOT.search(text):
        near = nearest(found[1], loader.get_group_options("", ObjectType.CONFIG))
        return Problem(what=f"--config-name: there is no {found[1]}.yaml", hint=near)
    if found := _EXISTS.search(text):
        hint = f"Remove the plus: {found[1]}=…"
        return Problem(key=found[1], what="already exists", where=COMMAND_LINE, hint=hint)
    if _NO_KEYS.search(text):
        return Problem(what="the file has a list or a value in place of keys", where=where)
    return Problem(what="; ".join(_lines(error)), where=where)


def _no_choice(group: str, name: str, loader: ConfigLoader, where: str | None) -> Problem:
    options = loader.get_group_options(group, ObjectType.CONFIG)
    listed = f"Available: {', '.join(options)}." if options else None
    hint = " ".join(filter(None, (nearest(name, options), listed)))
    what = f"there is no {group} {name!r}" if options else f"there is no {group or name}"
    return Problem(what=what, key=group or None, where=where, hint=hint or None)


def _yaml_problem(error: YAMLError) -> Problem:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or mark is None:
        return Problem(what=f"a choice file is not valid YAML: {str(error).splitlines()[0]}")
    where = f"{display_path(Path(mark.name))}, line {mark.line + 1}"
    reported = ", ".join(filter(None, (error.context, error.problem)))
    return Problem(what=f"invalid YAML: {reported}", where=where)


def _file_of(config_path: str, loader: ConfigLoader) -> str:
    """Return the file that Hydra calls `experiment/mine`."""
    for source in loader.get_sources():
        if source.scheme() == "file" and source.is_config(config_path):
            return display_path(Path(source.path, f"{config_path}.yaml"))
    return f"{config_path}.yaml"


def _own_files(loader: ConfigLoader, overrides: Sequence[str]) -> Iterator[Path]:
    """Yield the user's choice files that may have been chosen."""
    chosen = {word.rsplit("=", 1)[-1] for word in overrides}
    for source in loader.get_sources():
        if source.scheme() == "file":
            is_ours = source.provider == SHIPPED
            for path in sorted(Path(source.path).glob("local/*.yaml" if is_ours else "**/*.yaml")):
                if path.stem in chosen or path.parent.name == "local":
                    yield path


def _file_with(name: str, own: Iterable[Path]) -> str | None:
    """Return the user's file that names a choice; Hydra's error names the root config."""
    pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)".encode())
    return next((display_path(path) for path in own if pattern.search(path.read_bytes())), None)


def _not_utf8(own: Iterable[Path]) -> str | None:
    for path in own:
        try:
            path.read_bytes().decode()
        except UnicodeDecodeError:
            return display_path(path)
    return None


def _lines(error: BaseException) -> Iterator[str]:
    """Yield the distinct informative lines of an error and its causes."""
    reported = set()
    cause: BaseException | None = error
    while cause is not None:
        for line in map(str.strip, str(cause).splitlines()):
            if line and line not in reported and not line.startswith(_ADVICE):
                reported.add(line)
                yield line
        cause = cause.__cause__

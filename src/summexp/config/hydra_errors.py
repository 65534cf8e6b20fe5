"""Errors of Hydra, OmegaConf and the YAML parser as problems with file and hint.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from yaml import MarkedYAMLError, YAMLError

from summexp.config.provenance import COMMAND_LINE, SHIPPED
from summexp.errors import Problem, nearest
from summexp.paths import display_path
from summexp.upstream.hydra import Mistake, informative_lines, read_error


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
    found = read_error(error)
    where = _file_of(found.inside, loader) if found.inside else None
    match found.mistake:
        case Mistake.NO_CHOICE:
            file = _file_with(found.name, own) or where
            return _no_choice(found.group, found.name, loader, file)
        case Mistake.NO_GROUP:
            groups = loader.list_groups("")
            hint = nearest(found.group, groups) or f"Available: {', '.join(groups)}."
            return Problem(what=f"there is no group {found.group!r}", where=where, hint=hint)
        case Mistake.CHOSEN_TWICE:
            hint = f"In a defaults list, replace a choice by '- override /{found.group}: NAME'."
            file = _file_with(found.group, own)
            return Problem(key=found.group, what="is chosen twice", where=file, hint=hint)
        case Mistake.NO_ROOT:
            near = nearest(found.name, loader.get_group_options(""))
            return Problem(what=f"--config-name: there is no {found.name}.yaml", hint=near)
        case Mistake.EXISTS:
            hint = f"Remove the plus: {found.name}=…"
            return Problem(key=found.name, what="already exists", where=COMMAND_LINE, hint=hint)
        case Mistake.NOT_KEYS:
            return Problem(what="the file has a list or a value in place of keys", where=where)
    return Problem(what="; ".join(informative_lines(error)), where=where)


def _no_choice(group: str, name: str, loader: ConfigLoader, where: str | None) -> Problem:
    options = loader.get_group_options(group)
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

"""The words of a new command; the turns of a `for` loop become one sweep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import TypeVar

from summexp.config.escaping import override
from summexp.errors import ConfigError
from summexp.migrate.translation import GROUPS, Translation

T = TypeVar("T")

_FOLDER, _NAME = "output_dir", "tracking.run_name"
_WRITE_OUT = "Write the commands of its turns out, one below the other."


def command_words(turns: Sequence[Translation], line: int) -> tuple[list[str], list[str]]:
    """Return the words that follow `python train.py`, and remarks.

    Args:
        turns: the translations of one command, for each turn of the loops around it.
        line: the line of the command, for errors.

    Raises:
        ConfigError: the turns are no sweep: they differ in more than the values of keys, or not
            each value of one key is combined with each of another.
    """
    if len(turns) == 1:
        return turns[0].words(), []
    if names := {name for name, _ in _differing([set(one.environment.items()) for one in turns])}:
        raise _error(f"its turns differ in {', '.join(sorted(names))}, which a sweep cannot", line)
    if groups := _differing([set(one.choices) for one in turns]):
        raise _error(f"only some of its turns need {'=…, '.join(sorted(groups))}=…", line)
    values = _values(turns)
    varying = [key for key, texts in values.items() if len(set(texts)) > 1]
    swept = [key for key in varying if key not in (_FOLDER, _NAME)]
    if not varying:
        return turns[0].words(), ["for: its variable changes nothing here; one turn is written"]
    if not swept:
        raise _error(f"its turns differ in {' and '.join(varying)} only", line)
    distinct = {key: list(dict.fromkeys(values[key])) for key in swept}
    combinations = set(zip(*(values[key] for key in swept), strict=True))
    if combinations != set(product(*distinct.values())):
        what = f"{' and '.join(swept)} change together, and a sweep tries each value with each"
        raise _error(what, line)
    remarks = [f"for: a sweep of {len(combinations)} jobs over {' and '.join(swept)}"]
    constant = {key: texts[0] for key, texts in values.items() if key not in varying}
    if _FOLDER in varying:
        folder = _common_folder(turn.settings[_FOLDER] for turn in turns)
        constant |= {_FOLDER: override(_FOLDER, folder).partition("=")[2]} if folder else {}
        where = folder or "multirun/<date>/<time>"
        remarks.append(f"--output_dir: {where} is the sweep's folder, with one for each job in it")
    if _NAME in varying:
        remarks.append("--run_name: differs from turn to turn, left out")
    words = [f"{key}={','.join(texts)}" for key, texts in distinct.items()]
    return ["-m", *words, *(f"{key}={text}" for key, text in constant.items())], remarks


def _values(turns: Sequence[Translation]) -> dict[str, list[str]]:
    """Return for each key that a turn sets its value in every turn, as a word has it."""
    groups = [group for group in GROUPS if group in turns[0].choices]
    values = {group: [turn.choices[group] for turn in turns] for group in groups}
    keys = dict.fromkeys(key for turn in turns for key in turn.settings)
    return values | {key: [turn.text(key) for turn in turns] for key in keys}


def _differing(sets: list[set[T]]) -> set[T]:
    """Return what only some of the sets have."""
    return sets[0].union(*sets) - sets[0].intersection(*sets)


def _error(what: str, line: int) -> ConfigError:
    return ConfigError.of(
        what=f"a for loop that is no sweep: {what}", where=f"line {line}", hint=_WRITE_OUT
    )


def _common_folder(folders: Iterable[str]) -> str | None:
    """Return the folder that all folders are in, or None if that is the working folder or root.

    >>> _common_folder(["out/1e-5", "out/3e-5"])
    'out'
    """
    try:
        common = os.path.commonpath([os.path.dirname(folder.rstrip("/")) for folder in folders])
    except ValueError:
        return None
    return common if common.strip("/.") else None

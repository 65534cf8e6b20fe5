"""Settings as words of the new command: right for Hydra's grammar, and then for the shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from summexp.errors import ConfigError, Problem
from summexp.migrate.expansion import split_unknown

_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


def override(key: str, value: Any) -> str:
    """Return `key=value` such that Hydra reads the value back as it is.

    Raises:
        ConfigError: the value cannot stand on a command line.

    >>> override("model.source_prefix", "summarize: ")
    'model.source_prefix="summarize: "'
    """
    hint = "Put it into a file of choices of your own: docs/how-to/own-data.md shows one."
    word = f"{key}={_written(value)}"
    if "\n" in word:
        raise ConfigError(Problem(key=key, what="holds a line break", hint=hint))
    if _read(word) != _escaped(value):
        raise ConfigError(
            Problem(key=key, what=f"{value!r} cannot be written as an override", hint=hint)
        )
    return word


def shell_line(environment: Mapping[str, str], words: Sequence[str]) -> str:
    """Return a command as one line for the shell, variables set in front of it.

    What a shell has yet to work out in the value of a variable is written as it was.
    """
    in_front = [f"{name}={_assigned(value)}" for name, value in environment.items()]
    return " ".join([*in_front, shlex.join(words)])


def _assigned(value: str) -> str:
    parts = split_unknown(value) or [("", True)]
    return "".join(shlex.quote(part) if is_known else part for part, is_known in parts)


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return re.sub(r"e([+-])0+(?=\d)", r"e\1", repr(value)).replace("e+", "e")
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        inner = (f"{_key(str(name))}: {_written(one)}" for name, one in value.items())
        return f"{{{', '.join(inner)}}}"
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and _read(f"key={value}") == value:
        return value
    # A quote is escaped, and so are the backslashes that stand before one.
    quoted = re.sub(r'(\\*)("|\Z)', lambda found: _doubled(found[1], found[2]), _escaped(value))
    return f'"{quoted}"'


def _doubled(backslashes: str, quote: str) -> str:
    return backslashes * 2 + (f"\\{quote}" if quote else "")


def _key(name: str) -> str:
    """Return the key of a mapping, with every character escaped that is none of a name."""
    return re.sub(r"([^\w.-])", r"\\\1", name, flags=re.ASCII)


def _escaped(value: Any) -> Any:
    """Return a value as it is before OmegaConf has looked for interpolations."""
    if isinstance(value, str):
        return value.replace("${", "\\${")
    if isinstance(value, list | tuple):
        return [_escaped(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _escaped(one) for name, one in value.items()}
    return value


def _read(word: str) -> Any:
    """Return the value that Hydra reads in a word, or the error that keeps it from it."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        return error
    return None if override.is_sweep_override() else override.value()

"""Escaping of values for OmegaConf's interpolations and Hydra's overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from summexp.errors import ConfigError

_PLAIN = re.compile(r"[\w./-]+", re.ASCII)
_DOLLAR_BRACE = re.compile(r"(\\*)\$\{")


def escaped(value: Any) -> Any:
    r"""Escape each `${` in plain content, so that OmegaConf does not interpolate it.

    In OmegaConf's grammar, `\${` is a literal `${`, and two backslashes before it are one.

    >>> escaped({"prefix": "${lang}: "})
    {'prefix': '\\${lang}: '}
    """
    if isinstance(value, str):
        return _DOLLAR_BRACE.sub(lambda found: found[1] * 2 + "\\${", value)
    if isinstance(value, list | tuple):
        return [escaped(one) for one in value]
    if isinstance(value, Mapping):
        return {name: escaped(one) for name, one in value.items()}
    return value


def unescaped(value: Any) -> Any:
    """Return plain content without the escapes; the inverse of `escaped`.

    >>> unescaped(escaped({"prefix": "${lang}: "}))
    {'prefix': '${lang}: '}
    """
    if isinstance(value, str):
        return _DOLLAR_BRACE.sub(lambda found: found[1][: len(found[1]) // 2] + "${", value)
    if isinstance(value, list | tuple):
        return [unescaped(one) for one in value]
    if isinstance(value, Mapping):
        return {name: unescaped(one) for name, one in value.items()}
    return value


def interpolates(text: str) -> bool:
    """Return whether `text` has an interpolation of OmegaConf."""
    return any(len(found[1]) % 2 == 0 for found in _DOLLAR_BRACE.finditer(text))


def override(key: str, value: Any) -> str:
    """Return the override `key=value`, quoted so that Hydra parses the value unchanged.

    Raises:
        ConfigError: the value cannot be written as an override.

    >>> override("model.source_prefix", "summarize: ")
    'model.source_prefix="summarize: "'
    """
    hint = "Put it into your own choice file; docs/how-to/own-data.md has an example."
    word = f"{key}={_written(value)}"
    if "\n" in word:
        raise ConfigError.of(key=key, what="contains a line break", hint=hint)
    if _read(word) != escaped(value):
        raise ConfigError.of(key=key, what=f"{value!r} cannot be written as an override", hint=hint)
    return word


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
    # Escape quotes, and backslashes before a quote.
    quoted = re.sub(r'(\\*)("|\Z)', lambda found: _doubled(found[1], found[2]), escaped(value))
    return f'"{quoted}"'


def _doubled(backslashes: str, quote: str) -> str:
    return backslashes * 2 + (f"\\{quote}" if quote else "")


def _key(name: str) -> str:
    """Return the key of a mapping, with special characters escaped."""
    return re.sub(r"([^\w.-])", r"\\\1", name, flags=re.ASCII)


def _read(word: str) -> Any:
    """Return the value that Hydra parses from an override, or its error."""
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        return error
    return None if override.is_sweep_override() else override.value()

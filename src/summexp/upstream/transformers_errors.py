"""Errors of transformers about options, as problems that name the key.

Read in 5.23.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from summexp.errors import Problem

OPTION_ERRORS = (ValueError, TypeError, KeyError, ImportError, OSError, NotImplementedError)
"""Exceptions of transformers for invalid values (OSError: a missing JSON file)."""


def rejection(
    section: str, error: Exception, changed: Mapping[str, Any], names: Iterable[str]
) -> Problem:
    """Return an error of upstream as a problem, with the key that it probably names.

    Args:
        section: the section of the config.
        error: the exception of upstream.
        changed: the fields that differ from their default, name to value.
        names: the names of all fields.
    """
    text = str(error) or type(error).__name__
    named = [word for word in re.findall(r"\w+", text) if word in set(names)]
    # A JSON error has the text that it could not parse.
    mentioned = f"{text} {getattr(error, 'doc', '')}".lower()
    shown = [name for name, value in changed.items() if _appears(name, value, mentioned)]
    key = next(iter([word for word in named if word in changed] or shown or named), None)
    return option_problem(section, key, text)


def invalid_config(error: Exception) -> str:
    """Return what is wrong with a model's config, in one line.

    A value of a wrong type is reported in two sentences, of which the second is enough.
    """
    text = " ".join(str(error).split())
    return re.sub(r"^(Class v|V)alidation error for .+?Error: ", "", text)


def generation_remarks(error: ValueError) -> dict[str, str]:
    """Return what `GenerationConfig.validate` says of each option, if it lists them."""
    return dict(re.findall(r"^- `(\w+)`: (.+)$", str(error), re.MULTILINE))


def _appears(name: str, value: Any, text: str) -> bool:
    """Return whether `text` contains the value, an item of it, or a class named like the field."""
    items = value if isinstance(value, (list, tuple)) else [value]
    shown = [str(item).lower() for item in items if isinstance(item, str)]
    return any(item and item in text for item in [name.replace("_", ""), *shown])


def option_problem(section: str, key: str | None, text: str) -> Problem:
    """Return the problem of an option, without the flag and code marks of upstream's message."""
    # Upstream writes names as command-line flags or in backticks.
    text = re.sub(r"--(\w+)", rf"{section}.\1", text).replace("`", "")
    return Problem(key=f"{section}.{key}" if key else section, what=" ".join(text.split()))

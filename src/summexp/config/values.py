"""What is wrong with a value: its type, or that it is none of the allowed ones."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from summexp.config.schema import SECTIONS
from summexp.errors import Problem, nearest
from summexp.options import declared_choices

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list such as [a,b]",
    "dict": "a mapping such as {a: 1}",
}


def value_problem(
    key: str, value: Any, error: OmegaConfBaseException | None
) -> Problem | None:
    """Return what is wrong with `value` at the declared `key`, or None.

    Args:
        key: dotted, such as `training.save_strategy`.
        value: the value that was given.
        error: OmegaConf's objection to its type, if it had one.
    """
    section, _, name = key.partition(".")
    allowed = dict(declared_choices(SECTIONS[section])).get(name) if section in SECTIONS else None
    if allowed is not None:
        return _choice_problem(key, value, allowed)
    if error is None:
        return None
    return Problem(key=key, what=f"{_shown(value)} is not {_expected(key)}")


def _choice_problem(key: str, value: Any, allowed: tuple[str, ...]) -> Problem | None:
    if value is None or value in allowed:
        return None
    listed = f"It takes {', '.join(allowed)}."
    if str(value) == "False" and "no" in allowed:
        listed += ' In YAML a bare no means false: write "no".'
    near = nearest(str(value), allowed)
    return Problem(
        key=key,
        what=f"{_shown(value)} is none of its values",
        hint=f"{near} {listed}" if near else listed,
    )


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)


def _expected(key: str) -> str:
    """Say in words what type the declared `key` has."""
    section, _, name = key.partition(".")
    if not name:
        from summexp.config.schema import Config

        annotation = Config.__annotations__.get(section, "")
        if section in SECTIONS and is_dataclass(SECTIONS[section]):
            return "a group of keys"
    else:
        annotation = SECTIONS[section].__annotations__.get(name, "")
    names = [part.strip() for part in str(annotation).split("|")]
    words = [_EXPECTED.get(part.split("[")[0], part) for part in names if part != "None"]
    return " or ".join(words) + (", nor null" if "None" in names else "")

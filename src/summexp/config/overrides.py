"""Validation of each override of the command line, before composition.

Hydra stops at the first error, and advises to append a misspelled key with a plus. Here each
override is checked against the tree of choices and the typed schema, and every problem is reported
with the nearest name.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from summexp.config.aliases import ALIASES
from summexp.config.escaping import override as written
from summexp.config.files import NO_CODE, names_code
from summexp.config.hydra_node import unknown_hydra_key
from summexp.config.keys import declared, default_advice, is_mapping, nearest_key, type_names
from summexp.config.provenance import COMMAND_LINE
from summexp.config.schema import SECTIONS
from summexp.config.values import shown, value_problem
from summexp.errors import ConfigError, Problem, nearest
from summexp.upstream.hydra import entry_count

_OTHER_NAMES = {"cuda": "gpu", "huggingface": "custom_hub", "hub": "custom_hub"}
"""Common names of choices, and how they begin here."""
_NOT_A_CHOICE = {
    "model": "model=custom model.name_or_path={}",
    "data": "data=custom_hub data.name={}",
}
"""Group to the overrides for a repository or folder, which is not a choice."""
_FILE_CHOICES = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet"}
"""Extension of a data file to the end of its choice's name."""
_ASCII: dict[int, int | str] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ASCII |= dict.fromkeys((0x2010, 0x2011, 0x2013, 0x2014, 0x2212), "-") | {0x3000: " "}
_ASCII |= dict.fromkeys((0x201C, 0x201D), '"') | dict.fromkeys((0x2018, 0x2019), "'")
"""Full-width characters, dashes and typographic quotes, as an input method or editor inserts them,
to ASCII."""


@dataclass(frozen=True)
class CheckedOverrides:
    """The result of checking the overrides of a command line."""

    problems: list[Problem]
    """Problems of the overrides."""
    jobs: list[list[str]]
    """Overrides of each job of the sweep, or of the single job. Invalid overrides are removed, but
    a misspelled choice is corrected, so that dependent keys are checked too."""


def check_overrides(words: list[str], loader: ConfigLoader, *, multirun: bool) -> CheckedOverrides:
    """Check each override (`key=value`, `group=choice`) against the choices and the schema.

    Args:
        words: the overrides as typed.
        loader: Hydra's config loader.
        multirun: whether `seed=1,2` is two jobs or an error.
    """
    parser = OverridesParser.create(config_loader=loader)
    checker = _Checker(loader, frozenset(_groups(loader)))
    problems: list[Problem] = []
    alternatives: dict[str, list[str]] = {}
    for word in _joined(words, problems):
        try:
            # `parse_override` would not expand `glob(…)`.
            (override,) = parser.parse_overrides([word])
        except HydraException:
            problems.append(_not_an_override(word))
            continue
        found, values = _check_word(override, word, parser, checker, multirun=multirun)
        name = override.key_or_group
        if name in alternatives and name in checker.groups:
            found.append(Problem(key=name, what="is chosen twice", hint="Remove one of them."))
            values = []
        problems += found
        if values:
            # The last value of a key counts, as in Hydra.
            alternatives.pop(name, None)
            alternatives[name] = values
    jobs = [list(job) for job in itertools.product(*alternatives.values())]
    return CheckedOverrides([replace(one, where=COMMAND_LINE) for one in problems], jobs)


def _joined(words: list[str], problems: list[Problem]) -> Iterator[str]:
    """Yield the words; words around an equals sign with a space are reported and skipped."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        parts = [word]
        if "=" not in word and rest and rest[0].startswith("="):
            parts.append(rest.pop(0))
        if parts[-1].endswith("=") and rest and "=" not in rest[0]:
            parts.append(rest.pop(0))
        if len(parts) == 1:
            yield word
            continue
        what = f"{' '.join(parts)!r} has a space beside the equals sign"
        problems.append(Problem(what=what, hint=f"Write {''.join(parts)}"))


def _check_word(
    override: Override, word: str, parser: OverridesParser, checker: _Checker, *, multirun: bool
) -> tuple[list[Problem], list[str]]:
    """Return the problems of a word, and its overrides, one per value of a sweep."""
    if not override.is_sweep_override():
        problem = checker.check(override)
        return ([problem], checker.meant(override)) if problem else ([], [word])
    name = word.split("=", 1)[0]
    try:
        singles = [f"{name}={value}" for value in override.sweep_string_iterator()]
    except HydraException:
        what = "has a range that this sweeper does not support"
        hint = "List the values: 1e-5,1e-4 or choice(…) or range(…)."
        return [Problem(key=override.key_or_group, what=what, hint=hint)], []
    if not singles:
        return [Problem(key=override.key_or_group, what=f"{word!r} matches nothing")], []
    parsed = [(checker.check(parser.parse_override(single)), single) for single in singles]
    problems = [problem for problem, _ in parsed if problem]
    if not multirun:
        # The comma may be part of a key's value, but not of a group's.
        problems = problems if override.key_or_group in checker.groups else []
        return [_needs_multirun(override, len(singles)), *problems], []
    return problems, [single for problem, single in parsed if not problem]


def _needs_multirun(override: Override, count: int) -> Problem:
    key = override.key_or_group
    value = (override.input_line or key).partition("=")[2]
    hint = f"Add -m to run {count} jobs"
    outer = declared(key)
    if outer == key and any(name.startswith("list") for name in type_names(key)):
        hint = f"Write a list: {key}=[{value}], or add -m to run {count} jobs"
    elif outer is not None:
        hint += f", or, if the comma belongs to the value, quote it: '{key}=\"{value}\"'"
    return Problem(key=key, what="has several values", hint=hint)


def _groups(loader: ConfigLoader, below: str = "") -> Iterator[str]:
    """Yield the groups of choices, including nested ones (`hydra/launcher`)."""
    for name in loader.list_groups(below):
        group = f"{below}/{name}" if below else name
        yield group
        yield from _groups(loader, group)


def _not_an_override(word: str) -> Problem:
    if (plain := word.translate(_ASCII)) != word and ("=" in plain or plain.startswith("-")):
        signs = "".join(dict.fromkeys(one for one in word if ord(one) in _ASCII))
        what = f"cannot parse {word!r}: it has {signs!r} instead of {signs.translate(_ASCII)!r}"
        return Problem(what=what, hint=f"Did you mean {plain!r}?")
    name = word.lstrip("-").split("=", 1)[0].replace("-", "_")
    advice = "Write key=value, and quote special characters: 'key=\"a, b\"'"
    if declared(name) or name in SECTIONS:
        if "=" not in word:
            hint = default_advice(name) or f"Write {name}=VALUE"
            return Problem(key=name, what="has no value", hint=hint)
        if name.endswith("."):
            return Problem(key=name[:-1], what=f"{word!r} has no name after the dot")
        value = word.split("=", 1)[1]
        advice = advice.replace("'key=", f"'{name}=")
        if not name.isascii():
            advice = "Choose a name in Latin letters, or put the key into a choice file."
            return Problem(
                key=name, what="a key on the command line must be in Latin letters", hint=advice
            )
        if value.startswith("{"):
            advice = (
                "A name inside of {…} may have Latin letters, digits, - and _ only. Choose such a "
                "name, or put the mapping into a choice file."
            )
        if value.startswith("["):
            advice = f'Separate items by commas, and quote special characters: {name}=[a,"b c"]'
        elif not set(value) & set("'\"{}"):
            advice = f"Quote it, for the shell and for Hydra: '{name}=\"{value}\"'"
        return Problem(key=name, what=f"cannot parse the value of {word!r}", hint=advice)
    return Problem(what=f"cannot parse {word!r}", hint=nearest_key(name) or advice)


def _no_choice_but(group: str, name: str) -> str | None:
    """Return a hint for a file, folder or repository given in place of a choice."""
    ending = name.removesuffix(".gz").rpartition(".")[2]
    if group == "data" and ending in _FILE_CHOICES:
        return f"For a file: data=custom_{_FILE_CHOICES[ending]} data.train_file={name}."
    if group in _NOT_A_CHOICE and "/" in name:
        return f"For a folder or a repository: {_NOT_A_CHOICE[group].format(name)}."
    return None


def _names_problem(override: Override, key: str) -> Problem | None:
    """Return the problem of the names inside of `{a: 1, b: 2}`, or None."""
    value = override.value()
    if not isinstance(value, dict) or not value:
        return None
    if None in value:
        return Problem(key=key, what="an entry cannot be named null", hint=_entry_alone(key, value))
    line = override.input_line or ""
    if len(value) == entry_count(line):
        return None
    what = f"{line.partition('=')[2]} has a duplicate entry"
    hint = f"1 and true count as the same name. {_entry_alone(key, value)}"
    return Problem(key=key, what=what, hint=hint)


def _entry_alone(key: str, value: dict[Any, Any]) -> str:
    name, first = next(iter(value.items()))
    try:
        alone = written(f"{key}.{'none' if name is None else name}", first)
    except ConfigError as error:
        # A name with a space cannot be part of a key.
        return error.problems[0].hint or ""
    return f"Remove it, and set each entry separately: {alone}"


def _without_plus(override: Override) -> str:
    return f"Remove the plus: {(override.input_line or '').lstrip('+')}"


@dataclass(frozen=True)
class _Checker:
    """Checks overrides with a single value."""

    loader: ConfigLoader
    groups: frozenset[str]

    def check(self, override: Override) -> Problem | None:
        """Return the problem of an override, or None."""
        key = override.key_or_group
        if override.package is not None:
            what = "a choice cannot be moved to another package"
            return Problem(key=key, what=what, hint=f"Remove @{override.package}.")
        if key in ALIASES:
            what = "is an alias of another key"
            return Problem(key=key, what=what, hint=ALIASES[key])
        if names_code(key, override.value()):
            return replace(NO_CODE, key=key)
        if key in self.groups and "." not in key:
            return self._check_choice(override)
        if key.partition(".")[0] == "hydra":
            return unknown_hydra_key(key)
        found = self._check_key(override, key) or _names_problem(override, key)
        return found or value_problem(key, override.value())

    def meant(self, override: Override) -> list[str]:
        """Return the override with the nearest choice of a misspelled one, or an empty list."""
        group, value = override.key_or_group, override.value()
        if group not in self.groups or not isinstance(value, str):
            return []
        options = self.loader.get_group_options(group)
        return [f"{group}={name}" for name in get_close_matches(value, options, n=1)]

    def _check_choice(self, override: Override) -> Problem | None:
        group, value = override.key_or_group, override.value()
        options = self.loader.get_group_options(group)
        listed = f"Available: {', '.join(options)}." if options else "It has no choices."
        if override.is_delete():
            what = "a group cannot be deleted"
            return Problem(key=group, what=what, hint=f"Choose another of its files. {listed}")
        if override.is_add() or override.is_force_add():
            what = "already exists and cannot be added"
            return Problem(key=group, what=what, hint=_without_plus(override))
        if isinstance(value, dict):
            hint = f"Set single keys as {group}.KEY=VALUE. {listed}"
            return Problem(key=group, what="must be the name of a choice", hint=hint)
        if isinstance(value, list):
            hint = f"Choose one of its files. {listed}"
            return Problem(key=group, what="must be one name, not a list", hint=hint)
        name = "" if value is None else str(value)
        if name in options:
            return None
        near = nearest(_OTHER_NAMES.get(name, name), options)
        hint = " ".join(filter(None, (near or _no_choice_but(group, name), listed)))
        return Problem(key=group, what=f"there is no {group} {shown(value)}", hint=hint)

    def _check_key(self, override: Override, key: str) -> Problem | None:
        """Return the problem of an unknown key, or of adding or deleting a key."""
        if key in SECTIONS:
            what, hint = "is a group of keys", f"Set single keys: {key}.KEY=VALUE"
            return Problem(key=key, what=what, hint=hint)
        outer = declared(key)
        if outer is None:
            return Problem(key=key, what="there is no such key", hint=self._near(key))
        if override.is_delete():
            unset = f", or leave it unset: {key}=null" if "None" in type_names(outer) else ""
            hint = f"Remove it to use the default of the key{unset}."
            return Problem(key=key, what="a key cannot be deleted", hint=hint)
        if (override.is_add() or override.is_force_add()) and not is_mapping(outer):
            what = "already exists and cannot be added"
            return Problem(key=key, what=what, hint=_without_plus(override))
        return None

    def _near(self, key: str) -> str:
        found = None if "." in key else nearest(key, self.groups)
        return found or nearest_key(key) or "python train.py --help lists every key."

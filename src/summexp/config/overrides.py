"""Check each word of the command line by itself, before anything is composed.

Hydra stops at its first objection and advises to append a misspelled key with a plus. Here each
word is held against the tree of choices and the typed schema, and every mistake is reported with
the nearest name.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from antlr4 import InputStream
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.grammar.gen.OverrideLexer import OverrideLexer

from summexp.config.aliases import ALIASES
from summexp.config.escaping import override as written
from summexp.config.files import NO_CODE, names_code
from summexp.config.hydra_node import unknown_hydra_key
from summexp.config.keys import declared, default_advice, is_mapping, nearest_key, type_names
from summexp.config.provenance import COMMAND_LINE
from summexp.config.schema import SECTIONS
from summexp.config.values import shown, value_problem
from summexp.errors import ConfigError, Problem, nearest

_OTHER_NAMES = {"cuda": "gpu", "huggingface": "custom_hub", "hub": "custom_hub"}
"""What people call a choice, and what it begins with here."""
_NOT_A_CHOICE = {
    "model": "model=custom model.name_or_path={}",
    "data": "data=custom_hub data.name={}",
}
"""Group to the words for a repository or a folder, which is no choice."""
_FILE_CHOICES = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet"}
"""The ending of a data file to what its choice ends with."""
_OPENING = (OverrideLexer.BRACE_OPEN, OverrideLexer.BRACKET_OPEN, OverrideLexer.POPEN)
_CLOSING = (OverrideLexer.BRACE_CLOSE, OverrideLexer.BRACKET_CLOSE, OverrideLexer.PCLOSE)
_ASCII: dict[int, int | str] = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ASCII |= dict.fromkeys((0x2010, 0x2011, 0x2013, 0x2014, 0x2212), "-") | {0x3000: " "}
_ASCII |= dict.fromkeys((0x201C, 0x201D), '"') | dict.fromkeys((0x2018, 0x2019), "'")
"""Wide letters and signs, long dashes and curly quotes, as an input method or an editor makes them
of those that a command line has."""


@dataclass(frozen=True)
class CheckedWords:
    """What is left of a command line after the check."""

    problems: list[Problem]
    """All that is wrong with the words."""
    jobs: list[list[str]]
    """The overrides of each job, one or as many as the sweep has. Wrong words are left out, but a
    misspelled choice stands corrected, so that what hangs on it is checked too."""


def check_words(words: list[str], loader: ConfigLoader, *, multirun: bool) -> CheckedWords:
    """Hold each word (`key=value`, `group=choice`) against the choices and the typed schema.

    Args:
        words: the overrides as typed.
        loader: Hydra's view of the folders of choices.
        multirun: whether `seed=1,2` is two jobs or a mistake.
    """
    parser = OverridesParser.create(config_loader=loader)
    checker = _Checker(loader, frozenset(_groups(loader)))
    problems: list[Problem] = []
    alternatives: dict[str, list[str]] = {}
    for word in _joined(words, problems):
        try:
            # `parse_override` alone would leave `glob(…)` without the choices that it stands for.
            (override,) = parser.parse_overrides([word])
        except HydraException:
            problems.append(_not_an_override(word))
            continue
        found, values = _check_word(override, word, parser, checker, multirun=multirun)
        name = override.key_or_group
        if name in alternatives and name in checker.groups:
            found.append(Problem(key=name, what="is chosen twice", hint="Leave one of them away."))
            values = []
        problems += found
        if values:
            # Of a key that is set twice the last one counts, as in Hydra.
            alternatives.pop(name, None)
            alternatives[name] = values
    jobs = [list(job) for job in itertools.product(*alternatives.values())]
    return CheckedWords([replace(one, where=COMMAND_LINE) for one in problems], jobs)


def _joined(words: list[str], problems: list[Problem]) -> Iterator[str]:
    """Yield the words, without those around an equals sign with a space beside it.

    Each of these is a problem.
    """
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
    """Return what is wrong with a word, and the overrides that it stands for in the jobs."""
    if not override.is_sweep_override():
        problem = checker.check(override)
        return ([problem], checker.meant(override)) if problem else ([], [word])
    name = word.split("=", 1)[0]
    try:
        singles = [f"{name}={value}" for value in override.sweep_string_iterator()]
    except HydraException:
        what = "has a range that this sweeper cannot list"
        hint = "List the values: 1e-5,1e-4 or choice(…) or range(…)."
        return [Problem(key=override.key_or_group, what=what, hint=hint)], []
    if not singles:
        return [Problem(key=override.key_or_group, what=f"{word!r} matches nothing")], []
    parsed = [(checker.check(parser.parse_override(single)), single) for single in singles]
    problems = [problem for problem, _ in parsed if problem]
    if not multirun:
        # Of a key, the comma may belong to the value; of a group it cannot.
        problems = problems if override.key_or_group in checker.groups else []
        return [_needs_multirun(override, len(singles)), *problems], []
    return problems, [single for problem, single in parsed if not problem]


def _needs_multirun(override: Override, count: int) -> Problem:
    key = override.key_or_group
    whole = (override.input_line or key).partition("=")[2]
    hint = f"Add -m to run {count} jobs"
    outer = declared(key)
    if outer == key and any(name.startswith("list") for name in type_names(key)):
        hint = f"Write a list: {key}=[{whole}], or add -m to run {count} jobs"
    elif outer is not None:
        hint += f", or, if the comma belongs to the value, quote it: '{key}=\"{whole}\"'"
    return Problem(key=key, what="has several values", hint=hint)


def _groups(loader: ConfigLoader, below: str = "") -> Iterator[str]:
    """Yield the groups of choices, those inside of others too (`hydra/launcher`)."""
    for name in loader.list_groups(below):
        group = f"{below}/{name}" if below else name
        yield group
        yield from _groups(loader, group)


def _not_an_override(word: str) -> Problem:
    if (plain := word.translate(_ASCII)) != word and ("=" in plain or plain.startswith("-")):
        signs = "".join(dict.fromkeys(one for one in word if ord(one) in _ASCII))
        what = f"{word!r} cannot be read: it has {signs!r} instead of {signs.translate(_ASCII)!r}"
        return Problem(what=what, hint=f"Did you mean {plain!r}?")
    name = word.lstrip("-").split("=", 1)[0].replace("-", "_")
    advice = "Write key=value, and quote what is more than a plain word: 'key=\"a, b\"'"
    if declared(name) or name in SECTIONS:
        if "=" not in word:
            hint = default_advice(name) or f"Write {name}=VALUE"
            return Problem(key=name, what="has no value", hint=hint)
        if name.endswith("."):
            return Problem(key=name[:-1], what=f"there is no name after the dot in {word!r}")
        value = word.split("=", 1)[1]
        advice = advice.replace("'key=", f"'{name}=")
        if not name.isascii():
            advice = "Choose a name in Latin letters, or put the key into a file of choices."
            return Problem(key=name, what="a key here can have Latin letters only", hint=advice)
        if value.startswith("{"):
            advice = (
                "A name inside of {…} can have Latin letters, digits, - and _ only. Choose such a "
                "name, or put the mapping into a file of choices."
            )
        if value.startswith("["):
            advice = f'Part its items by commas, and quote what is no plain word: {name}=[a,"b c"]'
        elif not set(value) & set("'\"{}"):
            advice = f"Quote it, for the shell and for Hydra: '{name}=\"{value}\"'"
        return Problem(key=name, what=f"the value in {word!r} cannot be read", hint=advice)
    return Problem(what=f"{word!r} cannot be read", hint=nearest_key(name) or advice)


def _no_choice_but(group: str, name: str) -> str | None:
    """Return the words for a file, a folder or a repository that was given for a choice."""
    ending = name.removesuffix(".gz").rpartition(".")[2]
    if group == "data" and ending in _FILE_CHOICES:
        return f"For a file: data=custom_{_FILE_CHOICES[ending]} data.train_file={name}."
    if group in _NOT_A_CHOICE and "/" in name:
        return f"For a folder or a repository: {_NOT_A_CHOICE[group].format(name)}."
    return None


def _names_problem(override: Override, key: str) -> Problem | None:
    """Return what is wrong with the names inside of `{a: 1, b: 2}`, or None.

    Of two equal names (Python takes 1 and true for equal) Hydra (1.3) keeps the last without a
    word, so that they are counted in the word itself: one more than commas at the first level.
    """
    value = override.value()
    if not isinstance(value, dict) or not value:
        return None
    if None in value:
        return Problem(key=key, what="null is no name for an entry", hint=_entry_alone(key, value))
    depth = commas = 0
    for token in OverrideLexer(InputStream(override.input_line)).getAllTokens():
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
        commas += token.type == OverrideLexer.COMMA and depth == 1
    if len(value) == commas + 1:
        return None
    what = f"{(override.input_line or '').partition('=')[2]} names an entry twice"
    hint = f"1 and true count as the same name. {_entry_alone(key, value)}"
    return Problem(key=key, what=what, hint=hint)


def _entry_alone(key: str, value: dict[Any, Any]) -> str:
    name, first = next(iter(value.items()))
    try:
        alone = written(f"{key}.{'none' if name is None else name}", first)
    except ConfigError as error:
        # A name with a space, which is none of a key.
        return error.problems[0].hint or ""
    return f"Leave it away, and write each entry by itself: {alone}"


def _without_plus(override: Override) -> str:
    return f"Leave the plus away: {(override.input_line or '').lstrip('+')}"


@dataclass(frozen=True)
class _Checker:
    """Checks words with a single value."""

    loader: ConfigLoader
    groups: frozenset[str]

    def check(self, override: Override) -> Problem | None:
        """Return what is wrong with an override, or None."""
        key = override.key_or_group
        if override.package is not None:
            what = "a choice goes where its file says, not to another package"
            return Problem(key=key, what=what, hint=f"Leave away @{override.package}.")
        if key in ALIASES:
            what = "is another name for a thing that has its own key"
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
        """Return the override that a misspelled choice most likely means, or nothing."""
        group, value = override.key_or_group, override.value()
        if group not in self.groups or not isinstance(value, str):
            return []
        options = self.loader.get_group_options(group, ObjectType.CONFIG)
        return [f"{group}={name}" for name in get_close_matches(value, options, n=1)]

    def _check_choice(self, override: Override) -> Problem | None:
        group, value = override.key_or_group, override.value()
        options = self.loader.get_group_options(group, ObjectType.CONFIG)
        listed = f"There are: {', '.join(options)}." if options else "It has none."
        if override.is_delete():
            what = "a group cannot be taken away"
            return Problem(key=group, what=what, hint=f"Choose another of its files. {listed}")
        if override.is_add() or override.is_force_add():
            what = "is there already, so nothing is added"
            return Problem(key=group, what=what, hint=_without_plus(override))
        if isinstance(value, dict):
            hint = f"Set single keys as {group}.KEY=VALUE. {listed}"
            return Problem(key=group, what="takes the name of a file", hint=hint)
        if isinstance(value, list):
            hint = f"Choose one of its files. {listed}"
            return Problem(key=group, what="takes one name, not a list", hint=hint)
        name = "" if value is None else str(value)
        if name in options:
            return None
        near = nearest(_OTHER_NAMES.get(name, name), options)
        hint = " ".join(filter(None, (near or _no_choice_but(group, name), listed)))
        return Problem(key=group, what=f"there is no {group} {shown(value)}", hint=hint)

    def _check_key(self, override: Override, key: str) -> Problem | None:
        """Refuse a key that the schema does not have, and attempts to add or take one away."""
        if key in SECTIONS:
            what, hint = "is a group of keys", f"Set single keys: {key}.KEY=VALUE"
            return Problem(key=key, what=what, hint=hint)
        outer = declared(key)
        if outer is None:
            return Problem(key=key, what="there is no such key", hint=self._near(key))
        if override.is_delete():
            unset = f", or leave it unset: {key}=null" if "None" in type_names(outer) else ""
            hint = f"Leave it away, and the key has its default{unset}."
            return Problem(key=key, what="a key cannot be taken away", hint=hint)
        if (override.is_add() or override.is_force_add()) and not is_mapping(outer):
            what = "is there already, so nothing is added"
            return Problem(key=key, what=what, hint=_without_plus(override))
        return None

    def _near(self, key: str) -> str:
        found = None if "." in key else nearest(key, self.groups)
        return found or nearest_key(key) or "python train.py --help lists every key."

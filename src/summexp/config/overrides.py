"""Check each word of the command line by itself, before anything is composed.

Hydra stops at its first objection and advises to append a misspelled key with a plus. Here each word is
held against the tree of choices and the typed schema, and every mistake is told with the nearest name.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.provenance import COMMAND_LINE
from summexp.config.refused import SECRET_KEYS, TRUE_NAMES, looks_secret
from summexp.config.schema import SECTIONS, known_keys
from summexp.config.values import value_problem
from summexp.errors import Problem, nearest


@dataclass(frozen=True)
class CheckedWords:
    """What is left of a command line after the check."""

    problems: list[Problem]
    """All that is wrong with the words."""
    jobs: list[list[str]]
    """The overrides of each job: one, or as many as the sweep has; words that are wrong left out."""


def check_words(
    words: list[str], loader: ConfigLoader, schema: DictConfig, *, multirun: bool
) -> CheckedWords:
    """Hold each word (`key=value`, `group=choice`) against the choices and the typed schema.

    Args:
        words: the overrides as typed.
        loader: Hydra's view of the folders of choices.
        schema: the typed tree, used up by trying values on it.
        multirun: whether `seed=1,2` is two jobs or a mistake.
    """
    parser = OverridesParser.create(config_loader=loader)
    problems: list[Problem] = []
    alternatives: list[list[str]] = []
    for word in words:
        found, values = _check_word(word, parser, loader, schema, multirun=multirun)
        problems += found
        if values:
            alternatives.append(values)
    jobs = [list(job) for job in itertools.product(*alternatives)]
    return CheckedWords(problems, jobs)


def _check_word(
    word: str, parser: OverridesParser, loader: ConfigLoader, schema: DictConfig, *, multirun: bool
) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with `word`, and the overrides that it stands for in the jobs."""
    secret = _secret_problem(word)
    if secret:
        return [secret], []
    try:
        override = parser.parse_override(word)
    except HydraException:
        return [_not_an_override(word)], []
    if not override.is_sweep_override():
        problem = _check_override(override, loader, schema)
        return ([problem], []) if problem else ([], [word])
    name = word.split("=", 1)[0]
    singles = [f"{name}={value}" for value in override.sweep_string_iterator()]
    if not multirun:
        hint = f"Add -m to run {len(singles)} jobs, or quote the value if the comma belongs to it."
        problem = Problem(
            key=name.lstrip("+"), what="has several values", where=COMMAND_LINE, hint=hint
        )
        return [problem], []
    checked = [(_check_override(parser.parse_override(one), loader, schema), one) for one in singles]
    problems = [problem for problem, _ in checked if problem]
    return problems, [one for problem, one in checked if not problem]


def _secret_problem(word: str) -> Problem | None:
    name = word.split("=", 1)[0].lstrip("+~-")
    if name.rsplit(".", 1)[-1].lower() not in SECRET_KEYS and not looks_secret(word):
        return None
    key = None if looks_secret(name) else name
    return Problem(
        key=key,
        what="a secret does not belong on the command line, where it would be saved with the run",
        where=COMMAND_LINE,
        hint="Set it in the environment instead: HF_TOKEN for the Hub, WANDB_API_KEY for wandb.",
    )


def _not_an_override(word: str) -> Problem:
    name = word.lstrip("-").split("=", 1)[0].replace("-", "_")
    return Problem(
        what=f"{word!r} cannot be read",
        where=COMMAND_LINE,
        hint=nearest_key(name)
        or "Write key=value; quote a value that holds spaces, commas or braces: 'key=\"a, b\"'.",
    )


def _check_override(
    override: Override, loader: ConfigLoader, schema: DictConfig
) -> Problem | None:
    key = override.key_or_group
    if key.startswith("hydra.") or key == "hydra":
        return _check_hydra_key(override)
    if _is_group(key, loader):
        return _check_choice(override, loader)
    problem = _check_key(override, key)
    return problem or _check_value(override, key, schema)


def _is_group(key: str, loader: ConfigLoader) -> bool:
    return "." not in key and bool(loader.get_group_options(key, ObjectType.CONFIG))


def _check_hydra_key(override: Override) -> Problem | None:
    key = override.key_or_group
    if key in TRUE_NAMES:
        return _double(key)
    if key.endswith("_target_"):
        return Problem(
            key=key,
            what="naming Python code to import is refused",
            where=COMMAND_LINE,
            hint="Choose one of the files in conf/hydra, such as hydra/launcher=basic.",
        )
    return None


def _double(key: str) -> Problem:
    return Problem(
        key=key,
        what="is another name for a thing that has its own key",
        where=COMMAND_LINE,
        hint=f"Set {TRUE_NAMES[key]} instead.",
    )


def _check_choice(override: Override, loader: ConfigLoader) -> Problem | None:
    group = override.key_or_group
    options = loader.get_group_options(group, ObjectType.CONFIG)
    listed = f"There are: {', '.join(options)}."
    if override.is_delete():
        return Problem(
            key=group,
            what="a group cannot be taken away",
            where=COMMAND_LINE,
            hint=f"Choose another of its files. {listed}",
        )
    value = override.value()
    if isinstance(value, dict):
        return Problem(
            key=group,
            what="takes the name of a file",
            where=COMMAND_LINE,
            hint=f"Set single keys as {group}.key=value. {listed}",
        )
    for name in value if isinstance(value, list) else [value]:
        if name is None and group in ("experiment",):
            continue
        if str(name) not in options:
            near = nearest(str(name), options)
            return Problem(
                key=group,
                what=f"there is no {group} {str(name)!r}",
                where=COMMAND_LINE,
                hint=f"{near} {listed}" if near else listed,
            )
    return None


def _check_key(override: Override, key: str) -> Problem | None:
    """Refuse a key that the schema does not have, and any attempt to add or take one away."""
    if key in TRUE_NAMES:
        return _double(key)
    if not _is_known(key):
        return Problem(
            key=key,
            what="there is no such key",
            where=COMMAND_LINE,
            hint=nearest_key(key) or "python train.py --help lists every key.",
        )
    if override.is_delete():
        return Problem(
            key=key,
            what="a key cannot be taken away",
            where=COMMAND_LINE,
            hint=f"Set it to another value; {key}=null where it may be unset.",
        )
    if override.is_add() and not _is_open(key):
        return Problem(
            key=key,
            what="is there already, so nothing is added",
            where=COMMAND_LINE,
            hint=f"Leave the plus away: {key}=…",
        )
    return None


def _is_known(key: str) -> bool:
    return _declared(key) is not None


def _declared(key: str) -> str | None:
    """Return the declared key that `key` is, or lies inside of if that one takes any content."""
    keys = set(known_keys())
    if key in keys:
        return key
    parts = key.split(".")
    outer = ".".join(parts[:2])
    return outer if len(parts) > 2 and outer in keys and _is_open(outer) else None


def _is_open(key: str) -> bool:
    """Tell whether `key` takes a mapping with any content."""
    section, _, name = key.partition(".")
    if section not in SECTIONS or not name:
        return False
    return SECTIONS[section].__annotations__.get(name.split(".")[0]) in ("Any", Any)


def nearest_key(name: str) -> str | None:
    """Return the sentence that names the keys nearest to `name`, its section left away or not."""
    keys = [key for key in known_keys() if key not in TRUE_NAMES]
    last = name.rsplit(".", 1)[-1]
    same = [key for key in keys if key.rsplit(".", 1)[-1] == last]
    if same:
        return f"Did you mean {' or '.join(map(repr, same[:3]))}?"
    section, _, rest = name.partition(".")
    if section in SECTIONS and rest:
        within = nearest(name, [key for key in keys if key.startswith(f"{section}.")])
        if within:
            return within
    return nearest(name, keys) or nearest_last(last, keys)


def nearest_last(last: str, keys: list[str]) -> str | None:
    """Return the sentence that names the keys whose last part is nearest to `last`."""
    by_last = {key.rsplit(".", 1)[-1]: key for key in keys}
    found = nearest(last, by_last)
    for part, key in by_last.items():
        found = found.replace(repr(part), repr(key)) if found else None
    return found


def _check_value(override: Override, key: str, schema: DictConfig) -> Problem | None:
    """Try the value on the typed tree, and hold it against the allowed ones."""
    value: Any = override.value()
    if isinstance(value, str) and "${" in value:
        return None
    try:
        OmegaConf.update(schema, key, value, merge=True)
    except OmegaConfBaseException as error:
        return value_problem(key, value, error)
    section, _, name = key.partition(".")
    return value_problem(key, value, None) if name else None

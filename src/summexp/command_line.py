"""What the words of a command line ask for: Hydra's own flags, and the overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from summexp.config.keys import declared, nearest_key, type_names
from summexp.config.provenance import COMMAND_LINE
from summexp.config.saved import root_name
from summexp.config.secrets import is_secret_key, looks_secret
from summexp.errors import ConfigError, Problem, nearest

_PLAIN_SETTING = re.compile(r"([\w./+@~-]+)=((?:[\w ./:+@%~-]|[^\x00-\x7f])+)", re.ASCII)
"""A setting whose value has nothing that Hydra's grammar gives a meaning to."""

_INSIDE = re.compile(
    r"""("[^"]*"|'[^']*')|(?<=[\[{,:\s])"""
    r"""([^\s,:\[\]{}"'\uff0c\uff1a][^,:\[\]{}"'\uff0c\uff1a]*)(?=\s*[,\]}])"""
)
"""In a list or a mapping a text in quotes, or one without that is an item or a value."""

_FLAGS = ("help", "version", "multirun", "cfg", "resolve", "package", "info", "config-dir")


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line of `train.py`."""

    overrides: list[str]
    """The words `key=value` and `group=choice`."""
    multirun: bool
    """Whether it is a sweep (`-m`)."""
    config_dir: str | None
    """The user's own folder of choices (`--config-dir`)."""
    config_name: str | None
    """Another root than `conf/config.yaml` (`--config-name`)."""
    wants_help: bool
    """Whether it asks for the help text."""
    wants_version: bool
    """Whether it asks for the version."""
    shows_job: bool
    """Whether it asks for the composed config (`--cfg job`)."""
    package: str | None
    """The part of the config that it asks for (`--package`)."""
    resolve: bool
    """Whether interpolations are filled in before the config is shown (`--resolve`)."""
    starts_a_run: bool
    """Whether it runs something, and not only shows a part of the config."""
    for_hydra: list[str]
    """The words to hand on to Hydra, flags first."""
    problems: list[Problem]
    """Flags that do not exist, or that are refused, and secrets; these are in no other field."""


def parse(arguments: Sequence[str]) -> CommandLine:
    """Parse the words that follow `train.py`.

    Raises:
        ConfigError: a flag of Hydra's lacks its value.
    """
    unreadable = [word for word in arguments if not _is_unicode(word)]
    readable = [word for word in arguments if _is_unicode(word)]
    words, problems = _without_secrets([_quoted(word) for word in _with_info(readable)])
    problems += map(_not_unicode, unreadable)
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    wants_version = "--version" in words
    try:
        args, unknown = parser.parse_known_intermixed_args([w for w in words if w != "--version"])
    except ConfigError as error:
        # A flag may lack its value because that was a secret, which is the mistake to report.
        raise ConfigError(problems or error.problems) from None
    flags = [word for word in unknown if word.startswith("-")]
    values = _values_of(flags, words)
    problems += [_unknown_flag(flag, values.get(flag)) for flag in flags]
    problems += _rejected_flags(args)
    positional = [*args.overrides, *(word for word in unknown if not word.startswith("-"))]
    return CommandLine(
        overrides=[word for word in positional if word not in values.values()],
        multirun=bool(args.multirun),
        config_dir=args.config_dir,
        config_name=args.config_name,
        wants_help=bool(args.help),
        wants_version=wants_version,
        shows_job=args.cfg == "job",
        package=args.package,
        resolve=bool(args.resolve),
        starts_a_run=not (args.cfg or args.info or args.hydra_help or args.shell_completion),
        for_hydra=_for_hydra(words, positional, args.config_dir, args.config_name),
        problems=problems,
    )


def _is_unicode(word: str) -> bool:
    """Return whether a word can be written to a file: Python keeps foreign bytes as surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_unicode(word: str) -> Problem:
    shown = word.encode(errors="backslashreplace").decode()
    hint = "Rename the file or folder that it names, or write the word in a UTF-8 terminal."
    what = f"'{shown}' holds bytes that are not UTF-8"
    return Problem(what=what, where=COMMAND_LINE, hint=hint)


def _with_info(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words, a bare `--info` with its value, for which argparse would take the next."""
    for word, following in pairwise([*arguments, ""]):
        is_other = not following or following.startswith("-") or "=" in following
        yield "--info=all" if word in ("--info", "-i") and is_other else word


def _quoted(word: str) -> str:
    """Return `data.text_column=본문` or `output_dir=~/a` in the quotes that Hydra (1.3) wants."""
    readable = word.isascii() and "=~" not in word
    found = None if readable else _PLAIN_SETTING.fullmatch(word)
    if found:
        return f'{found[1]}="{found[2]}"'
    name, equals, value = word.partition("=")
    if value[:1] in ("[", "{") and not value.isascii():
        return f"{name}{equals}{_INSIDE.sub(_quoted_inside, value)}"
    return word


def _quoted_inside(found: re.Match[str]) -> str:
    """Return an item of a list, or a value of a mapping, in quotes where it is not in ASCII."""
    plain = found[2]
    return found[0] if plain is None or plain.isascii() else f'"{plain.rstrip()}"'


def _for_hydra(
    words: list[str], positional: list[str], config_dir: str | None, config_name: str | None
) -> list[str]:
    """Return the words with the positional ones at the end: Hydra takes no flag between them.

    Where the root is the config of a run, another flag gives the name that Hydra knows it by.
    """
    rest = list(positional)
    flags = []
    for word in words:
        if rest and word == rest[0]:
            rest.pop(0)
        else:
            flags.append(word)
    root = root_name(config_dir, config_name)
    named = [] if root == config_name else [f"--config-name={root}"]
    return [*flags, *named, *positional]


def _refuse(message: str) -> NoReturn:
    hint = "Write one of them in full." if message.startswith("ambiguous") else None
    raise ConfigError(Problem(what=message, where=COMMAND_LINE, hint=hint))


def _without_secrets(arguments: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Return the words that hold no secret, and a problem for each of the others."""
    words: list[str] = []
    problems = []
    previous = ""
    for word in arguments:
        name = word.split("=", 1)[0].lstrip("+~-")
        # `--hub_token abc` has its secret in a word of its own.
        follows_secret_flag = previous.startswith("-") and is_secret_key(previous.lstrip("-"))
        if looks_secret(word) or is_secret_key(name) or follows_secret_flag:
            if not (word.startswith("-") and "=" not in word and not looks_secret(word)):
                key = name if is_secret_key(name) and not looks_secret(name) else None
                problems.append(_secret(key or previous.lstrip("-") or None))
        else:
            words.append(word)
        previous = "" if "=" in word or not word.startswith("-") else word
    return words, problems


def _secret(key: str | None) -> Problem:
    return Problem(
        key=key,
        what="a secret does not belong on the command line, where it would be saved with the run",
        where=COMMAND_LINE,
        hint="Set it in the environment instead: HF_TOKEN for the Hub, WANDB_API_KEY for wandb.",
    )


def _values_of(flags: list[str], words: list[str]) -> dict[str, str]:
    """Return the word after each unknown flag that looks like its value: `--seed 1`."""
    return {
        word: following
        for word, following in pairwise(words)
        if word in flags and not following.startswith("-") and "=" not in word + following
    }


def _unknown_flag(flag: str, following: str | None) -> Problem:
    name, _, value = flag.lstrip("-").partition("=")
    key = name.replace("-", "_")
    near = nearest(name, _FLAGS)
    if near and not value:
        hint = near.replace("'", "'--", 1)
    else:
        near_key = nearest_key(key) or ""
        found = re.findall(r"'([\w./]+)'", near_key) or ["KEY"]
        is_switch = declared(found[0]) and "bool" in type_names(found[0])
        written = value or following or ("true" if is_switch else "value")
        hint = f"{near_key} Keys have no dashes: {found[0]}={written}".strip()
    return Problem(what=f"there is no flag --{name}", where=COMMAND_LINE, hint=hint)


def _rejected_flags(args: object) -> list[Problem]:
    """Return the problems of Hydra's flags that are refused or contradict each other."""
    given = vars(args)
    problems = []
    if given["experimental_rerun"] is not None:
        what = "--experimental-rerun loads a pickle, which could run anything, and is refused"
        hint = "Run train.py with the words in the run's .hydra/overrides.yaml."
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    if given["config_path"] is not None:
        what = "--config-path would hide the choices that come with summexp"
        hint = f"Add a folder of your own with --config-dir {given['config_path']}"
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    if given["resolve"] and given["cfg"] != "job":
        # In Hydra's own node it would make the run folder.
        what, hint = "--resolve goes with --cfg job", "Write --cfg job --resolve."
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    modes = ("run", "multirun", "cfg", "info", "shell_completion")
    chosen = [f"--{name.replace('_', '-')}" for name in modes if given[name]]
    if len(chosen) > 1:
        what = f"{' and '.join(chosen)} exclude each other"
        problems.append(Problem(what=what, where=COMMAND_LINE, hint="Choose one of them."))
    return problems

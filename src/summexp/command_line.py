"""Parser of the command line: Hydra's flags and the overrides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from summexp.config.keys import declared, nearest_key, type_names
from summexp.config.provenance import COMMAND_LINE
from summexp.config.saved import root_name
from summexp.config.secrets import is_secret_key, looks_secret
from summexp.config.texts import quoted
from summexp.errors import ConfigError, Problem, nearest
from summexp.upstream.hydra import args_parser

_PLAIN_SETTING = re.compile(r"([\w./+@~-]+)=((?:[\w ./:+@%~-]|[^\x00-\x7f])+)", re.ASCII)
"""An override whose value has no special character of Hydra's grammar."""

_INSIDE = re.compile(
    r"""("[^"]*"|'[^']*')|(?<=[\[{,:\s])"""
    r"""([^\s,:\[\]{}"'\uff0c\uff1a][^,:\[\]{}"'\uff0c\uff1a]*)(?=\s*[,\]}])"""
)
"""Inside a list or mapping: a quoted text, or an unquoted item or value."""

_FLAGS = ("help", "version", "multirun", "cfg", "resolve", "package", "info", "config-dir")


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line of `train.py`."""

    overrides: list[str]
    """Overrides, `key=value` and `group=choice`."""
    multirun: bool
    """Whether it is a sweep (`-m`)."""
    config_dir: str | None
    """The user's folder of choices (`--config-dir`)."""
    config_name: str | None
    """Root config other than `conf/config.yaml` (`--config-name`)."""
    wants_help: bool
    """Whether `--help` is given."""
    wants_version: bool
    """Whether `--version` is given."""
    shows_job: bool
    """Whether to print the composed config (`--cfg job`)."""
    package: str | None
    """Part of the config to print (`--package`)."""
    resolve: bool
    """Whether to resolve interpolations before printing (`--resolve`)."""
    starts_a_run: bool
    """Whether it runs jobs, and does not only print information."""
    for_hydra: list[str]
    """Arguments for Hydra, flags first."""
    problems: list[Problem]
    """Unknown and rejected flags, and secrets; these are in no other field."""


def parse(arguments: Sequence[str]) -> CommandLine:
    """Parse the arguments of `train.py`.

    Raises:
        ConfigError: a flag of Hydra lacks its value.
    """
    unreadable = [word for word in arguments if not _is_unicode(word)]
    readable = [word for word in arguments if _is_unicode(word)]
    words, problems = _without_secrets([_quoted(word) for word in _with_info(readable)])
    problems += map(_not_unicode, unreadable)
    parser = args_parser(_raise_error)
    wants_version = "--version" in words
    try:
        args, unknown = parser.parse_known_intermixed_args([w for w in words if w != "--version"])
    except ConfigError as error:
        # The missing value of a flag may be a removed secret, which is reported instead.
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
    """Return whether a word is valid Unicode: Python decodes invalid bytes as surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_unicode(word: str) -> Problem:
    shown = word.encode(errors="backslashreplace").decode()
    hint = "Rename the file or folder, or type it in a UTF-8 terminal."
    what = f"'{shown}' is not valid UTF-8"
    return Problem(what=what, where=COMMAND_LINE, hint=hint)


def _with_info(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words, with a value for a bare `--info`: argparse would consume the next word."""
    for word, following in pairwise([*arguments, ""]):
        is_other = not following or following.startswith("-") or "=" in following
        yield "--info=all" if word in ("--info", "-i") and is_other else word


def _quoted(word: str) -> str:
    """Return a word with the quotes that Hydra (1.3) needs to read text as text.

    They are needed in `data.text_column=본문`, `output_dir=~/a` and `model.revision=1e4`.
    """
    readable = word.isascii() and "=~" not in word
    found = None if readable else _PLAIN_SETTING.fullmatch(word)
    if found:
        return f'{found[1]}="{found[2]}"'
    name, equals, value = word.partition("=")
    if value[:1] in ("[", "{") and not value.isascii():
        return quoted(f"{name}{equals}{_INSIDE.sub(_quoted_inside, value)}")
    return quoted(word)


def _quoted_inside(found: re.Match[str]) -> str:
    """Return an item of a list or mapping, quoted if it is not ASCII."""
    plain = found[2]
    return found[0] if plain is None or plain.isascii() else f'"{plain.rstrip()}"'


def _for_hydra(
    words: list[str], positional: list[str], config_dir: str | None, config_name: str | None
) -> list[str]:
    """Return the words with the overrides last: Hydra allows no flag between them.

    If the root is the config of a run, a further `--config-name` gives Hydra's name of it.
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


def _raise_error(message: str) -> NoReturn:
    hint = "Write the full name of one of them." if message.startswith("ambiguous") else None
    raise ConfigError.of(what=message, where=COMMAND_LINE, hint=hint)


def _without_secrets(arguments: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Return the words without secrets, and a problem for each secret."""
    words: list[str] = []
    problems = []
    previous = ""
    for word in arguments:
        name = word.split("=", 1)[0].lstrip("+~-")
        # In `--hub_token abc` the secret is a separate word.
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
        what="a secret on the command line would be saved with the run",
        where=COMMAND_LINE,
        hint="Set it in the environment instead: HF_TOKEN for the Hub, WANDB_API_KEY for wandb.",
    )


def _values_of(flags: list[str], words: list[str]) -> dict[str, str]:
    """Return the word after each unknown flag that may be its value: `--seed 1`."""
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
    """Return the problems of Hydra's flags that are not supported or exclude each other."""
    given = vars(args)
    problems = []
    if given["experimental_rerun"] is not None:
        what = "--experimental-rerun is not supported, since it loads a pickle"
        hint = "Run train.py with the overrides in the run's .hydra/overrides.yaml."
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    if given["config_path"] is not None:
        what = "--config-path is not supported, since it would hide the shipped choices"
        hint = f"Add your own folder with --config-dir {given['config_path']}"
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    if given["resolve"] and given["cfg"] != "job":
        # Resolving the `hydra` node would create the run folder.
        what, hint = "--resolve requires --cfg job", "Write --cfg job --resolve."
        problems.append(Problem(what=what, where=COMMAND_LINE, hint=hint))
    modes = ("run", "multirun", "cfg", "info", "shell_completion")
    chosen = [f"--{name.replace('_', '-')}" for name in modes if given[name]]
    if len(chosen) > 1:
        what = f"{' and '.join(chosen)} exclude each other"
        problems.append(Problem(what=what, where=COMMAND_LINE, hint="Choose one of them."))
    return problems


def asks_for_help(words: Sequence[str]) -> bool:
    """Return whether the words behind a verb ask for its help."""
    return "--help" in words or "-h" in words

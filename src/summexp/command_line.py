"""What the words of a command line ask for: Hydra's own flags, and the overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from summexp.config.overrides import nearest_key
from summexp.errors import ConfigError, Problem


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
    starts_a_run: bool
    """Whether it runs something, and not only shows a part of the config."""
    for_hydra: list[str]
    """The words to hand on to Hydra."""
    problems: list[Problem]
    """Flags that do not exist, or that are refused."""


def _refuse(message: str) -> NoReturn:
    raise ConfigError(Problem(what=message, where="command line"))


def parse(arguments: Sequence[str]) -> CommandLine:
    """Parse the words that follow `train.py`.

    Raises:
        ConfigError: a flag of Hydra's lacks its value.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    args, unknown = parser.parse_known_intermixed_args(list(arguments))
    problems = [_unknown_flag(word) for word in unknown if word.startswith("-")]
    if args.experimental_rerun is not None:
        problems.append(
            Problem(
                what="--experimental-rerun loads a pickle and is refused",
                hint="Run `summexp train` with the overrides in the run's .hydra/overrides.yaml.",
            )
        )
    if args.config_path is not None:
        problems.append(
            Problem(
                what="--config-path would hide the shipped choices",
                hint=f"Add a folder of your own with --config-dir {args.config_path}",
            )
        )
    shows = args.cfg or args.info or args.hydra_help or args.shell_completion
    return CommandLine(
        overrides=[*args.overrides, *(word for word in unknown if not word.startswith("-"))],
        multirun=bool(args.multirun),
        config_dir=args.config_dir,
        config_name=args.config_name,
        wants_help=bool(args.help),
        starts_a_run=not shows,
        for_hydra=list(arguments),
        problems=problems,
    )


def _unknown_flag(word: str) -> Problem:
    name, _, value = word.lstrip("-").partition("=")
    return Problem(
        what=f"there is no flag {word.split('=')[0]!r}",
        where="command line",
        hint=f"{nearest_key(name.replace('-', '_')) or ''} Keys have no dashes: key=value".strip(),
    )

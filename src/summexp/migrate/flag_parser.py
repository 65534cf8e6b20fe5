"""Parsing of the flags of an old command, as the script's own parser did it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from summexp.errors import ConfigError, Problem, nearest
from summexp.migrate.flags import Flag, Kind, Script, json_value
from summexp.migrate.script_flags import FLAGS

_TRUE = ("yes", "true", "t", "y", "1")
_FALSE = ("no", "false", "f", "n", "0")
_REQUIRED = {
    Script.TRAINER: ("model_name_or_path",),
    Script.NO_TRAINER: (),
    Script.TENSORFLOW: ("model_name_or_path",),
}


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether the old command only prints its help."""
    return "-h" in arguments or "--help" in arguments


def given_flags(script: Script, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the flags of a command, name to value; the last counts of a flag given twice.

    A JSON file as the only argument is read, as the scripts of the Trainer did.

    Raises:
        ConfigError: an unknown flag, an ambiguous abbreviation, an invalid value, or a missing JSON
            file.
    """
    if len(arguments) == 1 and arguments[0].endswith(".json"):
        arguments = _words_in_file(script, arguments[0])
    known, unknown = _parser(script).parse_known_args(_in_underscores(arguments), _LastOrder())
    given = vars(known)
    problems = [_unknown(script, word) for word in unknown if word.startswith("-")]
    if unknown and not problems:
        # Not shown: it may be the second half of a secret.
        what = "unrecognized argument" if _has_secret(script, given) else ""
        problems = [Problem(what=what or f"unrecognized argument: {unknown[0]}")]
    missing = [name for name in _REQUIRED[script] if name not in given]
    problems += [
        Problem(what=f"missing --{name}, which {script.value} requires") for name in missing
    ]
    if problems:
        raise ConfigError(problems)
    return given


def _has_secret(script: Script, given: dict[str, Any]) -> bool:
    return any(FLAGS[script][name].is_secret for name in given)


class _LastOrder(argparse.Namespace):
    """Keeps the flags in the order in which each was given last."""

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop(name, None)
        super().__setattr__(name, value)


class _Parser(argparse.ArgumentParser):
    """argparse that raises its errors as `ConfigError`."""

    def error(self, message: str) -> NoReturn:
        """Raise the error that argparse would print before it exits."""
        # An abbreviation comes with its value, which may be a secret.
        message = re.sub(r"=.* could match", " could match", message.removeprefix("argument "))
        hint = "Write its name in full." if "ambiguous" in message else None
        raise ConfigError.of(what=message, hint=hint)


@cache
def _parser(script: Script) -> _Parser:
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for flag in FLAGS[script].values():
        _add(parser, flag, script)
    return parser


def _add(parser: argparse.ArgumentParser, flag: Flag, script: Script) -> None:
    name = f"--{flag.name}"
    match flag.kind:
        case Kind.SWITCH:
            parser.add_argument(name, action="store_true")
        case Kind.BOOL:
            parser.add_argument(name, nargs="?", const=True, type=_boolean)
            if flag.default is True and script is not Script.NO_TRAINER:
                no = f"--no_{flag.name}"
                parser.add_argument(no, action="store_false", dest=flag.name)
        case Kind.TEXT_OR_BOOL:
            parser.add_argument(name, nargs="?", const=True, type=_text_or_boolean)
        case Kind.LIST:
            parser.add_argument(name, nargs="+")
        case _:
            parser.add_argument(name, type=_READ.get(flag.kind, str))


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise argparse.ArgumentTypeError(f"invalid value: {text!r}; use true or false")


def _text_or_boolean(text: str) -> str | bool:
    return text.lower() == "true" if text.lower() in ("true", "false") else text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid value: {text!r}; use an integer") from None


def _number(text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid value: {text!r}; use a number") from None
    return int(text) if text.strip().lstrip("+-").isdecimal() else number


def _json(text: str) -> Any:
    try:
        return json_value(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"invalid JSON: {error}") from None


_READ: dict[Kind, Callable[[str], Any]] = {
    Kind.INT: _whole,
    Kind.FLOAT: _number,
    Kind.TRUTHY: bool,
    Kind.JSON: _json,
}


def _in_underscores(arguments: Sequence[str]) -> list[str]:
    """Return the words with underscores instead of dashes in the names of flags.

    The script without a Trainer did not accept dashes; they are accepted here.
    """
    words = []
    for word in arguments:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            word = f"--{name.replace('-', '_')}{equals}{value}"
        words.append(word)
    return words


def _unknown(script: Script, word: str) -> Problem:
    name = word.split("=", 1)[0]
    flags = [f"--{flag}" for flag in FLAGS[script]]
    near = nearest(name, flags)
    others = [
        other.value
        for other, theirs in FLAGS.items()
        if other is not script and name.lstrip("-") in theirs
    ]
    elsewhere = f"It is a flag of {others[0]}." if others else None
    return Problem(
        what=f"{script.value} has no flag {name}",
        hint=elsewhere or near or "docs/coming-from-the-scripts.md lists every flag.",
    )


def _words_in_file(script: Script, name: str) -> list[str]:
    """Return the flags in a JSON file, as words of a command."""
    if script is Script.NO_TRAINER:
        raise ConfigError(f"{script.value} does not read a JSON file of flags: {name}")
    try:
        content = json.loads(Path(name).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        what, hint = f"no such file: {name}", "Run this in the folder that the path starts from."
        raise ConfigError.of(what=what, hint=hint) from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError.of(what=f"{name}: invalid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError.of(what=f"{name}: not a JSON object of flags")
    # A file has no abbreviations.
    unknown = [_unknown(script, f"--{key}") for key in content if key not in FLAGS[script]]
    if unknown:
        raise ConfigError(unknown)
    return [word for key, value in content.items() for word in _flag_words(key, value)]


def _flag_words(name: str, value: Any) -> list[str]:
    """Return the words of a flag with a value of a JSON file; none for null or an empty list."""
    if isinstance(value, str):
        return [f"--{name}={value}"]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [f"--{name}", *value] if value else []
    return [] if value is None else [f"--{name}={json.dumps(value)}"]

"""The flags of an old command, read as the script's own parser read them."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
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
    """Return whether the old command only printed its help."""
    return "-h" in arguments or "--help" in arguments


def given_flags(script: Script, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the flags that a command has, name to value; of a flag given twice the last counts.

    A JSON file as the only argument is read, as the scripts of the Trainer did.

    Raises:
        ConfigError: a flag that the script does not have, an abbreviation of several, a value that
            it does not take, or a JSON file that is not there.
    """
    if len(arguments) == 1 and arguments[0].endswith(".json"):
        return _from_file(script, arguments[0])
    known, unknown = _parser(script).parse_known_args(_in_underscores(arguments), _LastOrder())
    given = vars(known)
    problems = [_unknown(script, word) for word in unknown if word.startswith("-")]
    if unknown and not problems:
        # Not shown: it may be the second half of a secret.
        what = "a word belongs to no flag" if _has_secret(script, given) else ""
        problems = [Problem(what=what or f"{unknown[0]!r} belongs to no flag")]
    missing = [name for name in _REQUIRED[script] if name not in given]
    problems += [
        Problem(what=f"--{name} is missing, which {script.value} needs") for name in missing
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
    """argparse, with its objections in our words."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would have printed before it ended the process."""
        # An abbreviation comes with its value, which may be a secret.
        message = re.sub(r"=.* could match", " could match", message.removeprefix("argument "))
        hint = "Write its name in full." if "ambiguous" in message else None
        raise ConfigError(Problem(what=message, hint=hint))


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
    raise argparse.ArgumentTypeError(f"takes true or false, not {text!r}")


def _text_or_boolean(text: str) -> str | bool:
    return text.lower() == "true" if text.lower() in ("true", "false") else text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a whole number, not {text!r}") from None


def _number(text: str) -> int | float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {text!r}") from None
    return int(text) if text.strip().lstrip("+-").isdecimal() else number


def _json(text: str) -> Any:
    try:
        return json_value(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"this is not JSON: {error}") from None


_READ: dict[Kind, Callable[[str], Any]] = {
    Kind.INT: _whole,
    Kind.FLOAT: _number,
    Kind.TRUTHY: bool,
    Kind.JSON: _json,
}


def _in_underscores(arguments: Sequence[str]) -> list[str]:
    """Return the words with underscores for the dashes inside the names of flags.

    The script without a Trainer took no dashes; a command that has them never ran, and means it.
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


def _from_file(script: Script, name: str) -> dict[str, Any]:
    """Return the flags that stand in a JSON file."""
    if script is Script.NO_TRAINER:
        raise ConfigError(f"{script.value} took no JSON file, as {name} is")
    try:
        content = json.loads(Path(name).expanduser().read_text(encoding="utf-8"))
    except FileNotFoundError:
        what, hint = f"there is no file {name} here", "Go to the folder that it is named from."
        raise ConfigError(Problem(what=what, hint=hint)) from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(Problem(what=f"{name} is not JSON: {error}")) from error
    if not isinstance(content, dict):
        raise ConfigError(Problem(what=f"{name} holds no object of flags"))
    problems = [_unknown(script, f"--{key}") for key in content if key not in FLAGS[script]]
    problems += [
        Problem(what=f"--{key} is missing, which {script.value} needs")
        for key in _REQUIRED[script]
        if key not in content
    ]
    given = {}
    for key, value in content.items():
        if key in FLAGS[script] and value is not None:
            try:
                given[key] = _as_kind(FLAGS[script][key].kind, value)
            except argparse.ArgumentTypeError as error:
                problems.append(Problem(what=f"{key} {error}", where=name))
    if problems:
        raise ConfigError(problems)
    return given


def _as_kind(kind: Kind, value: Any) -> Any:
    """Return a value of a JSON file as the kind of its flag has it."""
    if kind is Kind.LIST:
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]
    if kind is Kind.BOOL:
        return value if isinstance(value, bool) else _boolean(str(value))
    if isinstance(value, str):
        return _READ.get(kind, str)(value) if kind is not Kind.TEXT_OR_BOOL else value
    if kind is Kind.INT and not isinstance(value, int):
        return _whole(str(value))
    return value if kind is not Kind.TEXT else str(value)

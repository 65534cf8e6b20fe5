"""The whole way: a text with an old command in, the words of the new one out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from summexp.errors import ConfigError, Problem
from summexp.migrate.expansion import printable
from summexp.migrate.flag_parser import asks_for_help, given_flags
from summexp.migrate.launchers import (
    Invocation,
    invocation,
    names_script,
    not_a_script,
    script_index,
)
from summexp.migrate.quoting import shell_line
from summexp.migrate.shell import Statement, leading_assignments, statements
from summexp.migrate.translation import translated

_OF_NO_INTEREST = ("set", "tee", "shift", ":", "[", "[[", "test", "echo", "printf", "exit")


@dataclass
class Migration:
    """A new command, and what is to be known about it."""

    words: list[str]
    """The words that follow `python train.py`."""
    environment: dict[str, str]
    """Variables that stand in front of it."""
    remarks: list[str] = field(default_factory=list)
    """What changed, a sentence each."""

    @property
    def line(self) -> str:
        """The new command, for the shell."""
        return shell_line(self.environment, ["python", "train.py", *self.words])


def migrate(command: str | Sequence[str], *, parity: bool = False) -> Migration:
    """Turn a command of the old scripts into the one of `train.py` that says the same.

    Args:
        command: a shell text that holds one such command; or its words.
        parity: give the old script's own numbers (`experiment=hf_parity`), traps and all.

    Raises:
        ConfigError: it holds none, or several, or what the scripts did not take; or there is no
            parity with its script.
    """
    found, remarks = _found(command)
    if asks_for_help(found.arguments):
        remarks.append("-h: this lists every key; docs/coming-from-the-scripts.md every old flag")
        return Migration(["--help"], {}, remarks)
    given = given_flags(found.script, found.arguments)
    words, environment, more = translated(found, given, parity=parity)
    return Migration(words, environment, remarks + more)


def _found(command: str | Sequence[str]) -> tuple[Invocation, list[str]]:
    """Return the one call of an old script that a command holds, and remarks."""
    parts = statements(command) if isinstance(command, str) else [_statement(command)]
    calls = _calls(parts)
    if not calls:
        inner = [
            one
            for part in parts
            for text in part.texts
            if names_script(text)
            for one in statements(text, part.variables)
        ]
        parts, calls = [*parts, *inner], _calls(inner)
    if not calls:
        raise not_a_script(word for part in parts for word in part.words)
    if len(calls) > 1:
        what = f"there are {len(calls)} commands of the old scripts"
        lines = ", ".join(str(call.line) for call in calls)
        raise ConfigError(Problem(what=what, where=f"lines {lines}", hint="Give one at a time."))
    (call,) = calls
    remarks = []
    if call.is_in_loop:
        remarks.append("a loop: not unrolled; the new command is one turn of it")
    if call.is_joined:
        remarks.append(
            "a line lacks its backslash; what follows it was read as one command with it"
        )
    if call.is_redirected or call.ends_with in ("|", "|&"):
        remarks.append("> or |: left out; train.log in the run folder has what is said")
    if call.branches:
        names = ", ".join(f"${name}" for name in dict.fromkeys(call.branches))
        remarks.append(f"if: a branch sets {names}, and was read as taken; the last one of several")
    others_left = [part for part in parts if part is not call]
    others_left = [part for part in others_left if part.words[0] not in _OF_NO_INTEREST]
    if others_left:
        names = ", ".join(dict.fromkeys(printable(part.words[0]) for part in others_left))
        remarks.append(f"other commands of the text are left out: {names}")
    return invocation(call), remarks


def _statement(words: Sequence[str]) -> Statement:
    """Return a command that came word by word."""
    environment, words = leading_assignments(list(words))
    return Statement(words, environment)


def _calls(parts: Sequence[Statement]) -> list[Statement]:
    return [part for part in parts if script_index(part.words) is not None]

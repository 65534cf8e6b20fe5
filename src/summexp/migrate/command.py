"""The whole way: a shell text with old commands in, a line for each new command out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from summexp.config.compose import choice_tree
from summexp.config.overrides import check_overrides
from summexp.config.schema import Config
from summexp.config.secrets import looks_secret
from summexp.config.typed import read_tree
from summexp.errors import ConfigError, Problem
from summexp.migrate.expansion import HIDDEN, reject_unexpanded, with_source
from summexp.migrate.flag_parser import asks_for_help, given_flags
from summexp.migrate.launchers import read_invocation
from summexp.migrate.loops import command_words
from summexp.migrate.quoting import shell_line
from summexp.migrate.scripts import no_script_error
from summexp.migrate.shell import Statement, read_shell
from summexp.migrate.translation import translate
from summexp.runs.resume import check_checkpoint

_NOT_REPORTED = ("set", "tee", "shift", ":", "test", "echo", "printf", "exit", "wait")


@dataclass
class Migration:
    """A new command, and what to know about it."""

    words: list[str]
    """The words that follow `python train.py`."""
    environment: dict[str, str]
    """Variables in front of it."""
    remarks: list[str] = field(default_factory=list)
    """What changed, was left out or differs, a sentence each."""

    @property
    def line(self) -> str:
        """The new command, for a shell."""
        return shell_line(self.environment, ["python", "train.py", *self.words])


def migrate(command: str | Sequence[str], *, parity: bool = False) -> list[Migration]:
    """Translate the commands of the old scripts in a text, in order.

    Args:
        command: a shell text, or the words of one command.
        parity: whether to keep the old script's own numbers (`experiment=hf_parity`).

    Raises:
        ConfigError: the text has no such command, or a construct that is not supported; a flag or
            value that the script did not accept; a loop that is no sweep.
    """
    text = read_shell(command if isinstance(command, str) else shlex.join(command))
    if not text.calls and not text.problems:
        raise no_script_error(word for words in text.others for word in words)
    found, problems = [], list(text.problems)
    for statements in text.calls:
        try:
            found.append(_migration(statements, parity=parity))
        except ConfigError as error:
            where = f"line {statements[0].line}" if len(text.calls) > 1 else None
            problems += [_located(problem, where) for problem in error.problems]
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    if len(found) > 1:
        for statements, one in zip(text.calls, found, strict=True):
            one.remarks = [f"line {statements[0].line}: {remark}" for remark in one.remarks]
    names = dict.fromkeys(with_source(words[0]) for words in text.others)
    others = ", ".join(name for name in names if name not in _NOT_REPORTED)
    if others:
        found[0].remarks.insert(0, f"skipping the other commands: {others}")
    return found


def _located(problem: Problem, where: str | None) -> Problem:
    """Return a problem with the line of its command, unless it has a place of its own."""
    if problem.where or where is None:
        return problem
    return Problem(what=problem.what, key=problem.key, where=where, hint=problem.hint)


def _migration(statements: list[Statement], *, parity: bool) -> Migration:
    """Translate one command, which has a statement for each turn of the loops around it."""
    remarks = _remarks(statements)
    turns = []
    for statement in statements:
        call = read_invocation(statement)
        if asks_for_help(call.arguments):
            remark = "-h: lists every key; docs/coming-from-the-scripts.md lists every old flag"
            return Migration(["--help"], {}, [*remarks, remark])
        given = given_flags(call.script, call.arguments)
        turns.append(translate(call, given, parity=parity))
    words, more = command_words(turns, statements[0].line)
    remarks += dict.fromkeys(remark for turn in turns for remark in turn.remarks)
    remarks += more + _check(words)
    return Migration(words, turns[0].environment, remarks)


def _remarks(statements: list[Statement]) -> list[str]:
    remarks = []
    if any(one.is_joined for one in statements):
        remarks.append("a line lacks its backslash; joined with the lines of flags below it")
    if any(one.is_redirected for one in statements):
        remarks.append("<, > or |: left out; the log is train.log in the run folder")
    return remarks


def _check(words: list[str]) -> list[str]:
    """Compose the new command, and return a remark for each checkpoint that is missing.

    Raises:
        ConfigError: the schema rejects it, or it holds a secret.
    """
    reject_unexpanded(words)
    if any(looks_secret(word) or HIDDEN in word for word in words):
        raise ConfigError.of(
            what="the old command has a secret where none belongs",
            hint="A variable counts as one if its name has a part such as KEY or TOKEN; "
            "write the value of one that is none.",
        )
    checkpoints = {job.training.resume_from_checkpoint for job in _composed(words)}
    missing = [one for name in checkpoints for one in check_checkpoint(name)]
    return [f"--resume_from_checkpoint: {one.what} yet" for one in missing]


def _composed(words: list[str]) -> list[Config]:
    """Compose the jobs of a new command; neither files nor devices need be there.

    Raises:
        ConfigError: the schema rejects a key or a value.
    """
    configs, problems = [], []
    with choice_tree() as tree:
        overrides = [word for word in words if word != "-m"]
        checked = check_overrides(overrides, tree.loader, multirun=len(overrides) < len(words))
        for job in checked.jobs if not checked.problems else []:
            composed, found = tree.compose(job)
            reading = read_tree(composed)
            problems += [*found, *tree.locate(reading.problems, job)]
            configs.append(reading.config)
    if checked.problems or problems:
        raise ConfigError(dict.fromkeys([*checked.problems, *problems]))
    return [config for config in configs if config is not None]

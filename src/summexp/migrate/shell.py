"""Old commands as they stand in shell scripts: statements, line continuations, loops, variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from summexp.errors import ConfigError, Problem
from summexp.migrate.expansion import (
    UnclosedError,
    Unknown,
    Variables,
    closing_end,
    fields,
    is_known,
    piece_end,
    value_of,
)

_SEPARATORS = ("&&", "||", ";;", "|&", ";", "|", "&", ")", "\n")
_REDIRECTION = re.compile(r"(\d*|&)(>>|>&|>\||>|<<<|<<-|<<|<)(&\d|-)?")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)", re.DOTALL)
_ARRAY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_DECLARATIONS = ("export", "declare", "local", "readonly", "typeset")
_TESTS = ("[", "[[", "test")
_LOOP_HEADS = ("for", "select")
_COUNTING_HEAD = re.compile(r"for\s*\(\(\s*(\w+)[^)]*\)\)")

# Blanks behind the backslash keep a shell from continuing the line, but it was meant to; the other
# marks continue a line in the shells of Windows.
_CONTINUED = r"[\\^`][ \t]*(?:\n|\Z)"
_BLANK = re.compile(rf"(?:[ \t\u00a0]|{_CONTINUED}|#[^\n]*)*")
_END_OF_WORD = re.compile(rf"[ \t\u00a0\n;|&<>()]|{_CONTINUED}")
_FLAG_IN_FRONT = re.compile(r"\A-+[\w-]+=")
_PROMPT = re.compile(r"[$%]\s+|!\s*")
_KEYWORD = re.compile(
    r"(time[ \t]+-p|time|if|then|elif|else|fi|while|until|do|done|case|esac|\{|\})(?=[\s;&|<>)]|\Z)"
)
_FUNCTION = re.compile(r"function[ \t]+[\w-]+[ \t]*(\([ \t]*\))?|[\w-]+[ \t]*\([ \t]*\)")
_PATTERN = re.compile(r"\(?(?:\"[^\"]*\"|'[^']*'|[^\s();&\"'])+\)")


@dataclass
class Statement:
    """One simple command of a shell text."""

    words: list[str] = field(default_factory=list)
    """Its words, quotes and variables resolved, assignments and redirections left out."""
    environment: dict[str, str] = field(default_factory=dict)
    """The variables that the text sets for it: in front of it, or exported before it."""
    line: int = 1
    """The line that it begins in, from 1."""
    ends_with: str = "\n"
    """What parts it from the next one."""
    is_redirected: bool = False
    """Whether its output goes to a file."""
    is_joined: bool = False
    """Whether a backslash was missing at the end of one of its lines."""
    is_in_loop: bool = False
    """Whether it stands between `do` and `done`."""
    branches: list[str] = field(default_factory=list)
    """The variables in it that have the value of a branch, such as that of an `if`."""
    texts: list[str] = field(default_factory=list)
    """What may be a text of commands in it: words with blanks, and what stands behind `<<`."""
    variables: Variables = field(default_factory=dict)
    """Every variable that is known where it stands."""


def leading_assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Part the `NAME=value` in front of a command from the command."""
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            return found, words[at:]
        found[match[1]] = match[3]
    return found, []


def statements(
    text: str, variables: Variables | Mapping[str, str] | None = None
) -> list[Statement]:
    """Take a shell text apart.

    A line that begins with a dash belongs to the command above it, whose line then lacks its
    backslash, as some of the guide's commands do. The shell's own words, such as `then` and `do`,
    are no part of a statement, and the head of a loop is none. Every branch counts as taken.

    Args:
        text: one command, or a script.
        variables: what the text may use; this process's environment where not given.

    Raises:
        ConfigError: a quote or a bracket is not closed.
    """
    reader = _Reader(text, _Shell(dict(os.environ if variables is None else variables)))
    found: list[Statement] = []
    for one in reader.statements():
        if found and one.words[0].startswith("-") and found[-1].ends_with == "\n":
            found[-1].words += one.words
            found[-1].branches += one.branches
            found[-1].is_redirected |= one.is_redirected
            found[-1].ends_with = one.ends_with
            found[-1].is_joined = True
        else:
            found.append(one)
    return found


@dataclass
class _Shell:
    """What a shell would know at a place of the text."""

    variables: Variables
    """Those of the text, and those from before it."""
    assigned: set[str] = field(default_factory=set)
    """The names that the text gives a value."""
    exported: set[str] = field(default_factory=set)
    """The names that it hands on to commands."""
    from_branches: set[str] = field(default_factory=set)
    """The names whose value a branch has set."""


@dataclass
class _Draft:
    """A statement that is being read."""

    statement: Statement
    assignments: Variables = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    is_begun: bool = False


class _Reader:
    """Reads a text once, from its beginning to its end."""

    def __init__(self, text: str, shell: _Shell) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._shell = shell
        self._loops = self._ifs = self._cases = 0
        # The texts behind `<<` that begin on the next line: who gets them, and where they end.
        self._documents: list[tuple[Statement, str]] = []
        self._before = Statement()

    def statements(self) -> Iterator[Statement]:
        draft = _Draft(Statement(line=self._line))
        while self._at < len(self._text):
            self._skip_blanks()
            if self._at >= len(self._text):
                break
            if separator := self._take_separator():
                draft.statement.ends_with = separator
                yield from self._ended(draft)
                if separator == "\n":
                    self._read_documents()
                draft = _Draft(Statement(line=self._line))
            elif not self._is_substitution() and (
                match := _REDIRECTION.match(self._text, self._at)
            ):
                self._redirect(match, draft.statement)
            elif draft.is_begun or not self._skip_in_front():
                self._take_word(draft)
        yield from self._ended(draft)

    def items(self, read: set[str]) -> list[str]:
        """Return the items of an array, whose brackets the text stands between."""
        found: list[str] = []
        while True:
            self._skip_blanks()
            if self._at >= len(self._text):
                return found
            if self._take_separator() is None:
                found += fields(self._source(), self._shell.variables, read)

    def _take_word(self, draft: _Draft) -> None:
        statement = draft.statement
        if not draft.is_begun:
            draft.is_begun = True
            statement.line, statement.is_in_loop = self._line, self._loops > 0
        source = self._source()
        assignment = _ASSIGNMENT.fullmatch(source)
        if assignment and (not statement.words or statement.words[0] in _DECLARATIONS):
            self._assign(draft, *assignment.groups())
            return
        found = fields(source, self._shell.variables, draft.read)
        statement.words += found
        texts = (_FLAG_IN_FRONT.sub("", word) for word in found)
        statement.texts += [text for text in texts if " " in text or "\n" in text]

    def _assign(self, draft: _Draft, name: str, plus: str, source: str) -> None:
        # What adds to itself begins empty; elsewhere, what is not set may be set in another shell.
        variables = {name: "", **self._shell.variables}
        value: str | list[str]
        if source.startswith("("):
            value = _Reader(source[1:-1], _Shell(variables)).items(draft.read)
        else:
            value = value_of(source, variables, draft.read)
        if plus:
            held = self._shell.variables.get(name, "" if isinstance(value, str) else [])
            draft.read.add(name)
            if isinstance(held, str) and isinstance(value, str):
                value = held + value
            else:
                value = [*_listed(held), *_listed(value)]
        draft.assignments[name] = value

    def _ended(self, draft: _Draft) -> Iterator[Statement]:
        """Give a statement, or keep what it says of variables and loops."""
        one, words = draft.statement, draft.statement.words
        if not words or words[0] in _DECLARATIONS:
            if draft.is_begun:
                self._keep(draft)
            return
        if words[0] in _LOOP_HEADS and len(words) > 1:
            self._begin_loop(words)
            return
        if words[0] == "eval":
            yield from _Reader(" ".join(words[1:]), self._shell).statements()
            return
        handed_on = sorted(self._shell.exported & self._shell.assigned)
        exported = {name: self._shell.variables[name] for name in handed_on}
        environment = {**exported, **draft.assignments}
        one.environment = {key: text for key, text in environment.items() if isinstance(text, str)}
        one.branches = sorted(draft.read & self._shell.from_branches)
        one.variables = dict(self._shell.variables)
        self._before = one
        yield one

    def _keep(self, draft: _Draft) -> None:
        """Keep the variables that a statement sets, and the names that it exports."""
        before, words = self._before, draft.statement.words
        is_after_test = before.ends_with in ("&&", "||") and before.words[:1] != []
        is_in_branch = self._ifs > 0 or self._cases > 0
        is_in_branch |= is_after_test and before.words[0] in _TESTS
        shell, names = self._shell, set(draft.assignments)
        if is_in_branch or draft.read & shell.from_branches:
            shell.from_branches |= names
        else:
            shell.from_branches -= names
        shell.variables |= draft.assignments
        shell.assigned |= names
        if words[:1] == ["export"] or "-x" in words:
            shell.exported |= {*names, *words[1:]}
        self._before = Statement()

    def _begin_loop(self, words: list[str]) -> None:
        """Read the head of a loop: `for m in …`."""
        name = words[1]
        is_single = words[2:3] == ["in"] and len(words) == 4 and is_known(words[3])
        self._shell.variables[name] = words[3] if is_single else Unknown.TURN.part(f"${name}")

    def _skip_in_front(self) -> bool:
        """Skip a prompt, a notebook's mark or the shell's own word, and tell whether it was one."""
        if self._cases and (pattern := _PATTERN.match(self._text, self._at)):
            self._at = pattern.end()
            return True
        if head := _COUNTING_HEAD.match(self._text, self._at):
            self._shell.variables[head[1]] = Unknown.TURN.part(f"${head[1]}")
            self._at = head.end()
            return True
        keyword = _KEYWORD.match(self._text, self._at)
        marks = (_FUNCTION, _PROMPT, re.compile(r"\("))
        matches = (mark.match(self._text, self._at) for mark in marks)
        match = keyword or next(filter(None, matches), None)
        if match is None:
            return False
        self._at = match.end()
        if keyword:
            self._loops += {"do": 1, "done": -1}.get(keyword[1], 0)
            self._ifs += {"if": 1, "fi": -1}.get(keyword[1], 0)
            self._cases += {"case": 1, "esac": -1}.get(keyword[1], 0)
            if keyword[1] == "case":
                self._skip_blanks()
                self._source()
                self._skip_blanks()
                self._at += len("in") * self._text.startswith("in", self._at)
        return True

    def _redirect(self, match: re.Match[str], statement: Statement) -> None:
        self._at = match.end()
        mark = match[2]
        statement.is_redirected |= ">" in mark
        if match[3] is not None:
            return
        self._skip_blanks()
        source = self._source()
        if mark in ("<<", "<<-"):
            self._documents.append((statement, value_of(source, {})))

    def _read_documents(self) -> None:
        """Read the texts behind `<<` of the line that has ended."""
        for statement, end in self._documents:
            lines = []
            while self._at < len(self._text):
                line, _, _ = self._text[self._at :].partition("\n")
                self._at += len(line) + 1
                if line.strip() == end:
                    break
                lines.append(line)
            statement.texts.append("\n".join(lines))
        self._documents = []

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _is_substitution(self) -> bool:
        return self._text.startswith(("<(", ">("), self._at)

    def _take_separator(self) -> str | None:
        for mark in _SEPARATORS:
            if self._text.startswith(mark, self._at):
                # `&>` sends output to a file.
                if mark == "&" and self._text.startswith("&>", self._at):
                    return None
                self._at += len(mark)
                return mark
        return None

    def _skip_blanks(self) -> None:
        """Skip spaces, continued line ends and comments."""
        match = _BLANK.match(self._text, self._at)
        assert match
        self._at = match.end()

    def _source(self) -> str:
        """Return the word that begins here, quotes and all."""
        start = self._at
        opened = self._line
        try:
            while self._at < len(self._text):
                is_array = self._text[self._at] == "(" and _ARRAY.fullmatch(
                    self._text[start : self._at]
                )
                if is_array:
                    self._at = closing_end(self._text, self._at + 1, ")")
                elif _END_OF_WORD.match(self._text, self._at) and not (
                    self._at == start and self._is_substitution()
                ):
                    break
                else:
                    opened = self._line
                    self._at = piece_end(self._text, self._at)
        except UnclosedError:
            what = "a quote or a bracket is not closed"
            raise ConfigError(Problem(what=what, where=f"line {opened}")) from None
        if self._at == start:
            # A bracket where no word has one.
            self._at += 1
        return self._text[start : self._at]


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []

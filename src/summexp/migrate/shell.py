"""Old commands as they stand in shell scripts: quotes, comments, line continuations, variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from summexp.errors import ConfigError, Problem

_SEPARATORS = ("&&", "||", ";;", "|&", ";", "|", "&", "\n")
_REDIRECTION = re.compile(r"(\d*|&)(>>|>&|>\||>|<<<|<)(&\d|-)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NAME_OR_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(=|\Z)")
_VARIABLE = re.compile(r"\$(?:(\w+|[@*#?])|\{(\w+|[@*])(?::?-([^}]*))?\})")
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_PROMPT = re.compile(r"[$%]\s+|!\s*")
_KEYWORD = re.compile(
    r"(time[ \t]+-p|time|if|then|elif|else|fi|while|until|do|done|\{|\})(?=[\s;&|<>]|\Z)"
)
_LOOP_HEADS = ("for", "select")
ARGUMENTS = "\0arguments"
"""Stands for what a script is given, `"$@"`."""
HIDDEN = "(a secret)"
"""Stands for the value of a variable that would be a secret."""
_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASS|KEY|APIKEY|CREDENTIALS?|PAT|AUTH)(_|$)",
    re.IGNORECASE,
)
_TURN = re.compile("\0\\$(\\w+)\0")


def _turn(variable: str) -> str:
    """Return what stands for the value of a loop's variable, which differs from turn to turn."""
    return f"\0${variable}\0"


def loop_variable(words: Iterable[str]) -> str | None:
    """Return the name of the first loop's variable that words hold, or None."""
    return next((found[1] for found in map(_TURN.search, words) if found), None)


def printable(word: str) -> str:
    """Return a word as the text had it, where it stands for what is not known."""
    return word.replace(ARGUMENTS, "$@").replace("\0", "")


def names_secret(variable: str) -> bool:
    """Tell whether the value of a variable of this name would be a secret."""
    return bool(_SECRET.search(variable))


@dataclass
class Statement:
    """One simple command of a shell text."""

    words: list[str] = field(default_factory=list)
    """Its words, quotes and variables resolved, redirections left out."""
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

    @property
    def is_export(self) -> bool:
        """Tell whether it hands variables on to the commands behind it."""
        return self.words[:1] == ["export"]

    @property
    def assignments(self) -> dict[str, str]:
        """The variables that it sets: all of it, or what stands in front of its command."""
        words: Iterable[str] = takewhile(_ASSIGNMENT.match, self.words)
        if self.is_export:
            words = filter(_ASSIGNMENT.match, self.words)
        pairs = (word.partition("=") for word in words)
        return {name: value for name, _, value in pairs}

    @property
    def is_assignment(self) -> bool:
        """Tell whether it does nothing but set or export variables."""
        if self.is_export:
            return all(map(_NAME_OR_ASSIGNMENT.match, self.words))
        return bool(self.words) and all(map(_ASSIGNMENT.match, self.words))


def exported(before: Iterable[Statement]) -> dict[str, str]:
    """Return the variables that statements set for the commands behind them."""
    held: dict[str, str] = {}
    names: set[str] = set()
    for one in before:
        if one.is_assignment:
            held |= one.assignments
        if one.is_export:
            names |= {word.partition("=")[0] for word in one.words[1:]}
    return {name: value for name, value in held.items() if name in names}


def statements(text: str, environment: Mapping[str, str] | None = None) -> list[Statement]:
    """Take a shell text apart.

    A line that begins with a dash belongs to the command above it, whose line then lacks its
    backslash, as some of the guide's commands do. The shell's own words, such as `then` and `do`,
    are no part of a statement, and the head of a loop is none.

    Args:
        text: one command, or a script.
        environment: variables that the text may use; this process's where not given.

    Raises:
        ConfigError: a quote is not closed, or a variable or the output of a command is used that
            nobody can know here.
    """
    reader = _Reader(text, dict(os.environ if environment is None else environment))
    found: list[Statement] = []
    for one in reader.statements():
        if found and one.words[0].startswith("-") and found[-1].ends_with == "\n":
            found[-1].words += one.words
            found[-1].is_redirected |= one.is_redirected
            found[-1].ends_with = one.ends_with
            found[-1].is_joined = True
        else:
            found.append(one)
    return found


class _Reader:
    """Reads a text once, from its beginning to its end."""

    def __init__(self, text: str, variables: dict[str, str]) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._variables = variables
        self._loops = 0

    def statements(self) -> Iterator[Statement]:
        current = Statement(line=self._line)
        while self._at < len(self._text):
            self._skip_blanks()
            if self._at >= len(self._text):
                break
            if separator := self._take_any(_SEPARATORS):
                current.ends_with = separator
                if current.words and not self._kept(current):
                    yield current
                current = Statement(line=self._line)
            elif match := _REDIRECTION.match(self._text, self._at):
                self._at = match.end()
                if match[3] is None:
                    self._skip_blanks()
                    self._word()
                current.is_redirected = True
            elif current.words or not self._skip_in_front():
                if not current.words:
                    current.line, current.is_in_loop = self._line, self._loops > 0
                current.words.append(self._word())
        if current.words:
            yield current

    def _kept(self, statement: Statement) -> bool:
        """Keep the variables that a statement sets, and tell whether it is a loop's head."""
        if statement.is_assignment:
            self._variables |= statement.assignments
        if statement.words[0] not in _LOOP_HEADS or len(statement.words) == 1:
            return False
        # `for m in …` or `for ((i=0; …))`.
        name = statement.words[1].lstrip("(").partition("=")[0]
        self._variables[name] = _turn(name)
        return True

    def _skip_in_front(self) -> bool:
        """Skip a prompt, a notebook's mark or a keyword, and tell whether there was one."""
        keyword = _KEYWORD.match(self._text, self._at)
        match = keyword or _PROMPT.match(self._text, self._at)
        if match is None:
            return False
        self._at = match.end()
        if keyword:
            self._loops += {"do": 1, "done": -1}.get(keyword[1], 0)
        return True

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _take_any(self, marks: tuple[str, ...]) -> str | None:
        for mark in marks:
            if self._text.startswith(mark, self._at):
                # `&>` sends output to a file.
                if mark == "&" and self._text.startswith("&>", self._at):
                    return None
                self._at += len(mark)
                return mark
        return None

    def _skip_blanks(self) -> None:
        """Skip spaces, continued line ends and comments."""
        # Blanks behind the backslash keep a shell from continuing the line, but it was meant to.
        blank = re.compile(r"(?:[ \t]|\\[ \t]*\n|\\[ \t]*\Z|#[^\n]*)*")
        match = blank.match(self._text, self._at)
        assert match
        self._at = match.end()

    def _word(self) -> str:
        parts: list[str] = []
        start = self._at
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in " \t\n;|&<>":
                break
            if char == "'":
                parts.append(self._until("'"))
            elif char == '"':
                parts.append(self._in_double_quotes())
            elif self._text.startswith("$'", self._at):
                self._at += 1
                parts.append(self._in_ansi_quotes())
            elif char == "\\":
                if re.match(r"\\[ \t]*(\n|\Z)", self._text[self._at :]):
                    break
                parts.append(self._text[self._at + 1])
                self._at += 2
            elif char in "$`":
                parts.append(self._variable())
            elif char == "~" and self._at == start:
                parts.append(self._home())
            else:
                parts.append(char)
                self._at += 1
        return "".join(parts)

    def _until(self, quote: str) -> str:
        end = self._text.find(quote, self._at + 1)
        if end < 0:
            raise self._unclosed()
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return inner

    def _in_double_quotes(self) -> str:
        parts: list[str] = []
        opened = self._at
        self._at += 1
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return "".join(parts)
            following = self._text[self._at + 1 : self._at + 2]
            if char == "\\" and following and following in '"\\$`\n':
                parts.append("" if following == "\n" else following)
                self._at += 2
            elif char in "$`":
                parts.append(self._variable())
            else:
                parts.append(char)
                self._at += 1
        self._at = opened
        raise self._unclosed()

    def _in_ansi_quotes(self) -> str:
        match = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self._text, self._at)
        if match is None:
            raise self._unclosed()
        self._at = match.end()
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), match[1])

    def _variable(self) -> str:
        """Return the value of the variable that is read here."""
        match = _VARIABLE.match(self._text, self._at)
        if match is None:
            if self._text.startswith(("$(", "${", "`"), self._at):
                raise ConfigError(
                    Problem(
                        what="a shell works out a part of this command when it runs",
                        where=f"line {self._line}",
                        hint="Put what comes out of $(…), ${…} or `…` in its place.",
                    )
                )
            self._at += 1
            return "$"
        self._at = match.end()
        name, instead = match[1] or match[2], match[3]
        if name in ("@", "*"):
            return ARGUMENTS
        if names_secret(name):
            return HIDDEN
        value = self._variables.get(name) or instead
        if value is None:
            raise ConfigError(
                Problem(
                    what=f"the variable ${name} is not set here",
                    where=f"line {self._line}",
                    hint=f"Set it in front of the command ({name}=…), or write its value.",
                )
            )
        return value

    def _home(self) -> str:
        match = re.compile(r"~(?=[/\s]|\Z)").match(self._text, self._at)
        self._at += 1
        return str(Path.home()) if match else "~"

    def _unclosed(self) -> ConfigError:
        return ConfigError(Problem(what="a quote is not closed", where=f"line {self._line}"))

"""What a word of a shell text comes to: quotes, variables, arrays, and what nobody can know yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from summexp.errors import ConfigError, Problem

Variables = dict[str, str | list[str]]
"""Name to value; the items of an array."""

HIDDEN = "(secret)"
"""Stands for the value of a variable that would be a secret."""
_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASS|KEY|APIKEY|CREDENTIALS?|PAT|AUTH)(_|$)",
    re.IGNORECASE,
)

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PLAIN_PIECE = re.compile(
    rf"""
    \0[^\0]*\0                      # what is not known, of a text read before
    | '[^']*' | \$'(?:[^'\\]|\\.)*' # quotes
    | \\.
    | `(?:[^`\\]|\\.)*`
    | \$(?:{_NAME}|[0-9@*\#?$!-])
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(?<=[\s(])#[^\n]*")
_CLOSED_BY = {"$(": ")", "<(": ")", ">(": ")", "${": "}", '"': '"'}
_BRACED = re.compile(
    rf"(?P<length>\#)?(?P<name>{_NAME}|[0-9]+|[@*])(?:\[(?P<item>[@*]|-?[0-9]+)\])?"
    r"(?P<operation>:?[-=?+]|%%?|\#\#?|//?|,,|\^\^)?(?P<rest>.*)",
    re.DOTALL,
)
_VALUE = re.compile(rf"`|\$(?:[({{]|{_NAME}|[0-9@*#?$!-])")
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_UNKNOWN = re.compile("\0(\\w+) ([^\0]*)\0", re.DOTALL)
_FIELD = re.compile("(?:\0[^\0]*\0|[^ \t\n])+")


class Unknown(Enum):
    """Why a part of a word is not known before a shell has run."""

    UNSET = "unset"
    """A variable that has no value here."""
    ARGUMENT = "argument"
    """What the script is given: `$1`."""
    OUTPUT = "output"
    """What the shell works out: `$(date)`."""
    TURN = "turn"
    """A loop's variable, which differs from turn to turn."""

    def part(self, source: str) -> str:
        """Return what stands in a word for `source`, the shell's text of this part."""
        return f"\0{self.value} {source}\0"

    def problem(self, source: str, line: int | None = None) -> Problem:
        """Return what is to be said where a command, which begins in `line`, needs `source`."""
        what, hint = {
            Unknown.UNSET: (
                f"the variable {source} is not set here",
                f"Set it in front of the command ({source.strip('${}')}=…), or write its value.",
            ),
            Unknown.ARGUMENT: (
                f"{source} is what the shell script is given, which is not known here",
                f"Write its value in place of {source}.",
            ),
            Unknown.OUTPUT: (
                f"a shell works out {source} when it runs",
                f"Write what comes out in place of {source}.",
            ),
            Unknown.TURN: (
                f"{source} differs from turn to turn of a loop, and loops are not unrolled",
                f"Give the command of one turn, a value in place of {source}. The new command "
                "takes several values by itself: python train.py -m key=a,b.",
            ),
        }[self]
        return Problem(
            what=" ".join(what.split()), where=f"line {line}" if line else None, hint=hint
        )


ARGUMENTS = Unknown.ARGUMENT.part("$@")
"""Stands for all that a script is given, `"$@"`."""


def refuse_unknown(words: Iterable[str], line: int | None = None) -> None:
    """Say what is not known in words that are needed.

    Args:
        words: they.
        line: the line of the text that their command begins in.

    Raises:
        ConfigError: they hold something that only a shell can tell.
    """
    parts = dict.fromkeys(found.groups() for word in words for found in _UNKNOWN.finditer(word))
    if parts:
        raise ConfigError([Unknown(kind).problem(source, line) for kind, source in parts])


def is_known(word: str) -> bool:
    """Return whether nothing in a word waits for a shell."""
    return _UNKNOWN.search(word) is None


def printable(word: str) -> str:
    """Return a word as the text had it, where it stands for what is not known."""
    return _UNKNOWN.sub(lambda found: found[2], word)


def split_unknown(word: str) -> list[tuple[str, bool]]:
    """Return the parts of a word, each with whether it is known; what is not, as the text had it.

    >>> split_unknown("a/" + Unknown.UNSET.part("$B"))
    [('a/', True), ('$B', False)]
    """
    parts = re.split("(\0[^\0]*\0)", word)
    return [(printable(part), is_known(part)) for part in parts if part]


def names_secret(variable: str) -> bool:
    """Return whether the value of a variable of this name would be a secret."""
    return bool(_SECRET.search(variable))


class UnclosedError(Exception):
    """A quote or a bracket has no end."""


def piece_end(text: str, at: int) -> int:
    """Return where the piece of a word ends that begins at `at`: a quote, a variable, a character.

    Raises:
        UnclosedError: it has no end.
    """
    opening = next((one for one in _CLOSED_BY if text.startswith(one, at)), None)
    if opening is not None:
        return closing_end(text, at + len(opening), _CLOSED_BY[opening])
    found = _PLAIN_PIECE.match(text, at)
    if found is None and (text[at] in "'`" or text.startswith("$'", at)):
        raise UnclosedError
    return found.end() if found else at + 1


def closing_end(text: str, at: int, closing: str) -> int:
    """Return where what was opened before `at` is closed: behind `closing`.

    Raises:
        UnclosedError: nothing closes it.
    """
    while at < len(text):
        if text[at] == closing:
            return at + 1
        if closing == ")" and text[at] == "(":
            at = closing_end(text, at + 1, ")")
        elif closing == ")" and (comment := _COMMENT.match(text, at)):
            at = comment.end()
        elif closing == '"' and (text[at] not in "\\$`\0" or text.startswith("$'", at)):
            at += 1
        else:
            at = piece_end(text, at)
    raise UnclosedError


def fields(source: str, variables: Variables, read: set[str] | None = None) -> list[str]:
    """Return the words that a word of a shell text comes to.

    Args:
        source: it, as the text has it.
        variables: the values that are known; `${NAME:=value}` adds to them.
        read: the names that were read are added to it.

    >>> fields("a$B'$B'", {"B": "1 2"})
    ['a1', '2$B']
    """
    return _Expansion(variables, read if read is not None else set()).fields(source)


def value_of(source: str, variables: Variables, read: set[str] | None = None) -> str:
    """Return what a word comes to where nothing is split, as behind `NAME=`.

    The other arguments are those of `fields`.
    """
    return _Expansion(variables, read if read is not None else set()).value(source)


@dataclass
class _Fields:
    """Words in the making."""

    done: list[str] = field(default_factory=list)
    current: str | None = None

    def add(self, text: str) -> None:
        self.current = (self.current or "") + text

    def add_split(self, text: str) -> None:
        """Add what was not quoted: blanks part words."""
        if text[:1].isspace():
            self.end()
        self.add_items(_FIELD.findall(text))
        if text[-1:].isspace():
            self.end()

    def add_items(self, items: Iterable[str]) -> None:
        for number, item in enumerate(items):
            if number:
                self.end()
            self.add(item)

    def end(self) -> None:
        if self.current is not None:
            self.done.append(self.current)
        self.current = None


@dataclass
class _Expansion:
    variables: Variables
    read: set[str]

    def fields(self, source: str) -> list[str]:
        found = _Fields()
        for piece in self._pieces(source):
            if piece.startswith('"'):
                self._add_quoted(piece[1:-1], found)
            elif _holds_value(piece):
                self._add_value(piece, found, is_quoted=False)
            elif piece in " \t\n":
                # Of what stands behind `:-`.
                found.end()
            else:
                found.add(self._plain(piece))
        found.end()
        return found.done

    def value(self, source: str) -> str:
        parts = []
        for piece in self._pieces(source):
            inner = _Fields()
            if piece.startswith('"'):
                self._add_quoted(piece[1:-1], inner)
            elif _holds_value(piece):
                self._add_value(piece, inner, is_quoted=True)
            else:
                inner.add(self._plain(piece))
            inner.end()
            parts.append(" ".join(inner.done))
        return "".join(parts)

    def _pieces(self, source: str) -> Iterator[str]:
        at = 0
        home = re.match(r"~(?=/|\Z)", source)
        if home:
            at = 1
            # In quotes: what is in it is no part of the text.
            yield f"'{Path.home()}'"
        while at < len(source):
            end = piece_end(source, at)
            yield source[at:end]
            at = end

    def _plain(self, piece: str) -> str:
        """Return what a piece stands for that holds no variable."""
        if piece.startswith("$'"):
            return re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[0]), piece[2:-1])
        if piece.startswith("'"):
            return piece[1:-1]
        if piece.startswith("\\"):
            return piece[1:].removeprefix("\n")
        if piece.startswith(("<(", ">(")):
            return Unknown.OUTPUT.part(piece)
        return piece

    def _add_quoted(self, inner: str, found: _Fields) -> None:
        """Add what stands between double quotes."""
        if not (_holds_value(inner) and piece_end(inner, 0) == len(inner)):
            # The items of an array may be none at all; anything else is a word.
            found.add("")
        at = 0
        while at < len(inner):
            if _holds_value(inner[at:]):
                end = piece_end(inner, at)
                self._add_value(inner[at:end], found, is_quoted=True)
            elif inner[at] == "\\" and inner[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
                end = at + 2
                found.add(inner[at + 1].removeprefix("\n"))
            else:
                end = at + 1
                found.add(inner[at])
            at = end

    def _add_value(self, piece: str, found: _Fields, *, is_quoted: bool) -> None:
        """Add what `$…` comes to."""
        inner = piece[2:-1] if piece.startswith("${") else piece[1:]
        braced = None if piece.startswith("`") else _BRACED.fullmatch(inner)
        if braced and (instead := self._instead(braced)) is not None:
            found.add_items([self.value(instead)] if is_quoted else self.fields(instead))
            if braced["operation"].endswith("="):
                self.variables[braced["name"]] = self.value(instead)
            return
        for number, item in enumerate(self._values(piece, braced)):
            if number:
                found.end()
            if is_quoted:
                found.add(item)
            else:
                found.add_split(item)

    def _instead(self, braced: re.Match[str]) -> str | None:
        """Return the word behind `:-`, `:=` or `:+` if it counts, not the value; or None."""
        operation, name = braced["operation"] or "", braced["name"]
        if operation.strip(":") not in tuple("-=+"):
            return None
        self.read.add(name)
        held = self.variables.get(name)
        is_there = bool(held) if operation.startswith(":") else held is not None
        if operation.endswith("+"):
            return str(braced["rest"]) if is_there else ""
        return None if is_there else str(braced["rest"])

    def _values(self, piece: str, braced: re.Match[str] | None) -> list[str]:
        """Return the items of an array, or one value."""
        if braced is None:
            return [Unknown.OUTPUT.part(piece)]
        name, item = braced["name"], braced["item"]
        if name in ("@", "*"):
            return [ARGUMENTS]
        self.read.add(name)
        held = self.variables.get(name)
        if braced["length"]:
            is_counted = isinstance(held, list) and item in ("@", "*")
            return [str(len(held or [])) if is_counted else Unknown.OUTPUT.part(piece)]
        if isinstance(held, list) and item in ("@", "*") and not braced["operation"]:
            return held if item == "@" else [" ".join(held)]
        if isinstance(held, list):
            index = int(item) if item and item not in "@*" else 0
            held = held[index] if -len(held) <= index < len(held) else None
        if names_secret(name):
            return [HIDDEN]
        if held is None:
            kind = Unknown.ARGUMENT if name.isdecimal() else Unknown.UNSET
            return [kind.part(piece)]
        operation, rest = braced["operation"] or "", braced["rest"]
        if operation.strip(":") in tuple("-=?") or not (operation or rest):
            return [held]
        if not is_known(held) or not operation:
            return [Unknown.OUTPUT.part(piece)]
        return [self._cut(held, operation, rest)]

    def _cut(self, held: str, operation: str, rest: str) -> str:
        """Return a value without what a pattern finds in it, or with something in its place."""
        if operation in (",,", "^^"):
            return held.lower() if operation == ",," else held.upper()
        if operation.startswith("/"):
            pattern, _, instead = _at_slash(rest)
            found = _pattern(self.value(pattern), "*")
            value = self.value(instead)
            return re.sub(found, lambda _: value, held, count=len(operation) == 1, flags=re.DOTALL)
        pattern = self.value(rest)
        is_greedy = len(operation) == 2
        if operation.startswith("#"):
            found = _pattern(pattern, "*" if is_greedy else "*?")
            return re.sub(rf"\A{found}", "", held, count=1, flags=re.DOTALL)
        before = "(.*?)" if is_greedy else "(.*)"
        match = re.fullmatch(before + _pattern(pattern, "*"), held, re.DOTALL)
        return match[1] if match else held


def _holds_value(text: str) -> bool:
    """Return whether a variable, or what a command prints, begins a text."""
    return _VALUE.match(text) is not None


def _at_slash(text: str) -> tuple[str, str, str]:
    """Part `pattern/instead` at the slash that is not escaped."""
    match = re.fullmatch(r"((?:\\.|[^\\/])*)(/?)(.*)", text, re.DOTALL)
    return (match[1], match[2], match[3]) if match else (text, "", "")


def _pattern(glob: str, repeated: str) -> str:
    """Return a shell's pattern as a regular expression."""
    special = {"*": f".{repeated}", "?": "."}
    return "".join(special.get(char, re.escape(char)) for char in glob)

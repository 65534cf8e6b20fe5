"""Expansion of a shell word: quotes and plain variables; everything else is marked unexpanded.

What another construct would give is never guessed: its source stays in the word between two NUL
characters, and is rejected where the value is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from tree_sitter import Node

from summexp.errors import ConfigError, Problem, shortened

HIDDEN = "(secret)"
"""Stands for the value of a variable that would be a secret."""
_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASS|KEY|APIKEY|CREDENTIALS?|PAT|AUTH)(_|$)",
    re.IGNORECASE,
)
_UNEXPANDED = re.compile("\0([^\0]*)\0")
_BLANKS = re.compile(r"[ \t\n]+")
_GLOB = re.compile(r"[*?]")
_BRACES = re.compile(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}")

_VALUE = r"""
    \$ (?: (?P<name> [A-Za-z_]\w* | [0-9@*] ) | \{ (?P<braced> [A-Za-z_]\w* | [0-9]+ | [@*] ) \} )
    | (?P<other> \$[{(#?$!-] | ` )
"""
_FRAGMENT = re.compile(
    rf"""
    '(?P<raw> [^']* )'
    | \$'(?P<ansi> (?: [^'\\] | \\. )* )'
    | (?P<translated> \$" )
    | "(?P<quoted> (?: [^"\\] | \\. )* )"
    | \\(?P<escaped> . )
    | {_VALUE}
    | (?P<text> [^\\'"$`]+ | . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_FRAGMENT_IN_QUOTES = re.compile(
    rf"""\\(?P<escaped> ["\\$`\n] ) | {_VALUE} | (?P<text> [^\\$`]+ | . )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ANSI_C = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}

_UNSET = "variable is not set"
_NODES = {
    "command_substitution": "command substitution",
    "process_substitution": "process substitution",
    "arithmetic_expansion": "arithmetic expansion",
    "translated_string": "translated string",
    "subscript": "array",
    "array": "array",
}
_HINTS = {
    "array": "Write its items out, or set a plain variable: ARGS='--fp16 --seed 1'.",
    "glob pattern": "Quote it, or write the names out.",
    "brace expansion": "Quote it, or write the values out.",
}


def unexpanded(source: str, what: str, line: int) -> str:
    """Return the mark that stands in a word for text that is not expanded.

    Args:
        source: the text, as the shell text has it.
        what: why it is not expanded, such as "array is not supported".
        line: the line that it begins in, from 1.
    """
    return f"\0{quote(f'{line}:{what}:{source}', safe='')}\0"


ARGUMENTS = unexpanded("$@", "the script's own arguments are not known", 0)
"""Stands for all arguments of a shell script, `"$@"`."""


def is_expanded(word: str) -> bool:
    """Return whether a word has no unexpanded part."""
    return _UNEXPANDED.search(word) is None


def with_source(word: str) -> str:
    """Return a word with the source of its unexpanded parts."""
    return _UNEXPANDED.sub(lambda found: unquote(found[1]).split(":", 2)[2], word)


def split_unexpanded(word: str) -> list[tuple[str, bool]]:
    """Return the parts of a word, each with whether it is expanded; what is not, as its source.

    >>> split_unexpanded("a/" + unexpanded("$B", "variable is not set", 1))
    [('a/', True), ('$B', False)]
    """
    parts = re.split("(\0[^\0]*\0)", word)
    return [(with_source(part), is_expanded(part)) for part in parts if part]


def reject_unexpanded(words: Iterable[str]) -> None:
    """Raise an error if the values of `words` are not known before a shell runs.

    Raises:
        ConfigError: a word has unexpanded parts; the error names each, its line and what to do.
    """
    found = dict.fromkeys(part for word in words for part in _UNEXPANDED.findall(word))
    if found:
        raise ConfigError([_problem(*unquote(part).split(":", 2)) for part in found])


def _problem(line: str, what: str, source: str) -> Problem:
    shown = shortened(" ".join(source.split()), 60)
    hint = _HINTS.get(what.partition(" is not")[0], f"Write its value in place of {shown}.")
    if what == _UNSET:
        hint = f"Set it before the command, as in {source.strip('${}')}=…, or write its value."
    where = f"line {line}" if line != "0" else None
    return Problem(what=f"{what}: {shown}", where=where, hint=hint)


def is_secret_variable(name: str) -> bool:
    """Return whether the value of a variable of this name would be a secret.

    >>> is_secret_variable("WANDB_API_KEY"), is_secret_variable("TOKENIZERS_PARALLELISM")
    (True, False)
    """
    return bool(_SECRET.search(name))


def line_of(node: Node) -> int:
    """Return the line that a node begins in, from 1."""
    return node.start_point.row + 1


def source_of(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode(errors="surrogateescape")


def fields(nodes: Sequence[Node], variables: Mapping[str, str]) -> list[str]:
    """Return the words that a word of a command expands to: several where a variable is split.

    Args:
        nodes: the adjacent nodes that the word consists of.
        variables: name to value.
    """
    word = _Word(nodes, variables)
    if word.unsupported:
        return [word.mark(word.unsupported)]
    words: list[str | None] = [None]
    bare = ""
    for fragment in word.fragments():
        is_value = fragment.lastgroup in ("name", "braced")
        text = word.expanded(fragment)
        bare += text if is_value or fragment.lastgroup == "text" else "x"
        for number, part in enumerate(_BLANKS.split(text) if is_value else [text]):
            if number:
                words.append(None)
            if part or not is_value:
                words[-1] = (words[-1] or "") + part
        if is_value:
            # Braces in a value are no pattern.
            bare = bare.replace("{", "x")
    for pattern, construct in ((_GLOB, "glob pattern"), (_BRACES, "brace expansion")):
        if pattern.search(bare):
            return [word.mark(f"{construct} is not supported")]
    return [word for word in words if word is not None]


def value_of(node: Node, variables: Mapping[str, str]) -> str:
    """Return the value that an assignment gives, which is never split."""
    word = _Word([node], variables)
    if word.unsupported:
        return word.mark(word.unsupported)
    return "".join(map(word.expanded, word.fragments()))


class _Word:
    """One word of a shell text."""

    def __init__(self, nodes: Sequence[Node], variables: Mapping[str, str]) -> None:
        self._source = "".join(map(source_of, nodes)).lstrip()
        self._line = line_of(nodes[0])
        self._variables = variables
        names = (_unsupported(one) for node in nodes for one in walk(node))
        self.unsupported = next(filter(None, names), None)
        """Why the word is not expanded as a whole, or None."""

    def mark(self, what: str, source: str | None = None) -> str:
        """Return the mark for the word, or for a part of its source."""
        return unexpanded(self._source if source is None else source, what, self._line)

    def fragments(self) -> Iterator[re.Match[str]]:
        """Yield quoted texts, escaped characters, variables and plain texts."""
        return _FRAGMENT.finditer(self._source)

    def expanded(self, fragment: re.Match[str]) -> str:
        """Return the text that a fragment stands for."""
        text = fragment[fragment.lastgroup or 0]
        match fragment.lastgroup:
            case "quoted":
                return "".join(map(self.expanded, _FRAGMENT_IN_QUOTES.finditer(text)))
            case "escaped":
                return text.strip("\n")
            case "ansi":
                if set(re.findall(r"\\(.)", text)) - set(_ANSI_C):
                    return self.mark("escape sequence is not supported")
                return re.sub(r"\\(.)", lambda found: _ANSI_C[found[1]], text)
            case "name" | "braced":
                return self._value(text, fragment[0])
            case "other" | "translated":
                return self.mark("this expansion is not supported")
        is_home = (
            fragment.re is _FRAGMENT
            and re.match(r"~(?=/|\Z)", self._source)
            and not fragment.start()
        )
        return str(Path.home()) + text[1:] if is_home else text

    def _value(self, name: str, source: str) -> str:
        if name in ("@", "*"):
            return ARGUMENTS
        if name.isdecimal():
            return self.mark("positional parameter is not known", source)
        if name not in self._variables:
            return self.mark(_UNSET, source)
        return HIDDEN if is_secret_variable(name) else self._variables[name]


def _unsupported(node: Node) -> str | None:
    """Return why a word with this node is not expanded, or None."""
    construct = _NODES.get(node.type)
    if node.type == "expansion" and not re.fullmatch(r"\$\{(\w+|[@*])\}", source_of(node).strip()):
        is_array = any(child.type == "subscript" for child in node.children)
        construct = "array" if is_array else "parameter expansion"
    return f"{construct} is not supported" if construct else None


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    yield node
    for child in node.children:
        yield from walk(child)

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

_VARIABLE = (
    r"\$(?P<name>[A-Za-z_]\w*|[0-9@*])|\$\{(?P<braced>[A-Za-z_]\w*|[0-9]+|[@*])\}"
    r"|(?P<special>\$[\#?$!-]|`)"
)
_FRAGMENT = re.compile(
    rf"""
    '(?P<raw> [^']* )'
    | (?P<translated> \$" )
    | "(?P<quoted> (?: [^"\\] | \\. )* )"
    | \\(?P<escaped> . )
    | {_VARIABLE}
    | (?P<text> [^\\'"$`]+ | . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_IN_QUOTES = re.compile(rf"""\\(?P<escaped>["\\$`\n])|{_VARIABLE}""", re.ASCII)

_UNSET = "variable is not set"
_NODES = {
    "command_substitution": "command substitution",
    "process_substitution": "process substitution",
    "arithmetic_expansion": "arithmetic expansion",
    "ansi_c_string": "$'…' string",
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
    fragments = _fragments(nodes, variables)
    # What bash looks for patterns in: braces only in the word itself, globs in values too.
    written = "".join(text if kind == "text" else "x" for kind, text in fragments)
    globbed = "".join(text if kind in ("text", "value") else "x" for kind, text in fragments)
    for pattern, bare, construct in (
        (_GLOB, globbed, "glob pattern"),
        (_BRACES, written, "brace expansion"),
    ):
        if pattern.search(bare):
            return [_mark(nodes, f"{construct} is not supported")]
    words: list[str | None] = [None]
    for kind, text in fragments:
        for number, part in enumerate(_BLANKS.split(text) if kind == "value" else [text]):
            if number:
                words.append(None)
            if part or kind != "value":
                words[-1] = (words[-1] or "") + part
    return [word for word in words if word is not None]


def value_of(node: Node, variables: Mapping[str, str]) -> str:
    """Return the value that an assignment gives, which is never split."""
    return "".join(text for _, text in _fragments([node], variables))


def _fragments(nodes: Sequence[Node], variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the expanded parts of a word, each with its kind.

    It is "value" for a variable that may be split, "text" for what is not quoted, and "quoted". A
    word with an unsupported construct is one quoted part, its mark.
    """
    construct = next(filter(None, (_unsupported(one) for node in nodes for one in walk(node))), "")
    if construct:
        return [("quoted", _mark(nodes, f"{construct} is not supported"))]

    def expanded(found: re.Match[str]) -> str:
        name = found["name"] or found["braced"]
        if found["special"]:
            return unexpanded(found[0], "this expansion is not supported", line_of(nodes[0]))
        if name is None:
            return found["escaped"].strip("\n")
        if name in ("@", "*"):
            return ARGUMENTS
        if name.isdecimal() or name not in variables:
            what = "positional parameter is not known" if name.isdecimal() else _UNSET
            return unexpanded(found[0], what, line_of(nodes[0]))
        return HIDDEN if is_secret_variable(name) else variables[name]

    fragments = []
    source = _source(nodes)
    for found in _FRAGMENT.finditer(source):
        text = found[found.lastgroup or 0]
        match found.lastgroup:
            case "name" | "braced" | "special":
                fragments.append(("value", expanded(found)))
            case "escaped":
                fragments.append(("quoted", expanded(found)))
            case "translated":
                return [("quoted", _mark(nodes, '$"…" string is not supported'))]
            case "quoted":
                fragments.append(("quoted", _IN_QUOTES.sub(expanded, text)))
            case "text" if not found.start() and re.match(r"~(/|\Z)", source):
                fragments += [("quoted", str(Path.home())), ("text", text[1:])]
            case kind:
                fragments.append(("text" if kind == "text" else "quoted", text))
    return fragments


def _source(nodes: Sequence[Node]) -> str:
    return "".join(map(source_of, nodes)).lstrip()


def _mark(nodes: Sequence[Node], what: str) -> str:
    return unexpanded(_source(nodes), what, line_of(nodes[0]))


def _unsupported(node: Node) -> str | None:
    """Return the construct that a node is, if words with it are not expanded."""
    source = source_of(node).strip()
    if node.type == "expansion" and not re.fullmatch(r"\$\{(\w+|[@*])\}", source):
        is_array = any(child.type == "subscript" for child in node.children)
        return "array" if is_array else "parameter expansion"
    return _NODES.get(node.type)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it."""
    yield node
    for child in node.children:
        yield from walk(child)

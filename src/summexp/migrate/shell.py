"""Calls of the old scripts in a shell text: quotes, plain variables, one command after another.

tree-sitter-bash parses the text. A `for` loop gives a statement for each of its values. Around a
call every other construct is rejected; elsewhere it is skipped, and the variables that it may set
count as not known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from summexp.errors import Problem
from summexp.migrate.expansion import (
    fields,
    is_expanded,
    line_of,
    source_of,
    unexpanded,
    value_of,
    walk,
)
from summexp.migrate.scripts import mentions_script, script_index

_PARSER = Parser(Language(tree_sitter_bash.language()))
_FILE_TOOLS = ("eval", "echo", "wget", "curl", "cp", "mv", "ln", "rm", "cat", "ls", "chmod", "git")
"""Commands that may name a script and do not run it, and `eval`."""

_TRANSPARENT = (
    *("program", "list", "pipeline", "negated_command", "redirected_statement", "do_group"),
    *("compound_statement", "subshell", "variable_assignments", "heredoc_redirect"),
)
"""Nodes whose commands run one after another, as if they stood alone."""
_CONSTRUCTS = {
    "if_statement": ("an if statement", "Paste the command of the branch that applies."),
    "case_statement": ("a case statement", "Paste the command of the case that applies."),
    "list": ("a condition", "Paste the command without the test before it."),
    "function_definition": ("a function", "Paste the command, with values for its arguments."),
    "while_statement": ("a while loop", "Loop over values: for seed in 1 2 3; do …"),
    "c_style_for_statement": ("a counting loop", "Loop over values: for seed in 1 2 3; do …"),
    "for_statement": ("a select loop", "Loop over values: for seed in 1 2 3; do …"),
    "do_group": ("a loop with break or continue", "Leave the values out that the loop skips."),
    "heredoc_body": ("a here-document", "Paste its lines alone."),
    "command": ("eval", "Paste the command without eval."),
    "string": ("a command in quotes", "Paste the command without what runs it, and its quotes."),
}
"""Nodes around which a call is rejected: name, and what to do."""

_PASTED = re.compile(
    r"""
    \\ (?P<blank> [ \t] (?=[ \t]*\S) ) | (?<!\S) \\ (?P<first> [^\s'] )
    | (?P<kept> \\[^\s] | (?<!\S)\#[^\n]*
        | \$'(?:[^'\\]|\\.)*' | '[^']*(?:'|\Z) | "(?:[^"\\]|\\.)*(?:"|\Z) )
    | (?P<space> \u00a0 )
    | (?P<within> (?<=\S) \\ \r?\n (?=[^\s-]) )
    | (?P<continued> \\ [ \t]* (?:\r?\n|\Z) | (?<=[ \t])[\^`] [ \t]* \r?\n )
    | (?P<prompt> ^[ \t]* (?: [$%][ \t]+ | ![ \t]* ) )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
"""What a pasted text may have that bash has not: blanks behind a backslash, the continuation marks
of Windows, spaces that do not break, a prompt, a notebook's exclamation mark."""


@dataclass
class Statement:
    """One execution of a simple command."""

    words: list[str]
    """Its expanded words, without assignments and redirections."""
    environment: dict[str, str] = field(default_factory=dict)
    """The variables that the text sets for it: before it on its line, or exported."""
    line: int = 1
    """The line that it begins in, from 1."""
    is_redirected: bool = False
    """Whether it reads from or writes to a file or a pipe."""
    is_joined: bool = False
    """Whether a backslash was missing at the end of one of its lines."""


@dataclass
class ShellText:
    """The commands of a text: calls of the old scripts, and others."""

    calls: list[list[Statement]]
    """For each call its statements: one, or one for each turn of the loops around it."""
    others: list[list[str]]
    """The words of each other command."""
    problems: list[Problem]
    """Syntax errors, and unsupported constructs around calls."""


def read_shell(text: str, variables: Mapping[str, str] | None = None) -> ShellText:
    """Find the calls of the old scripts in a command or a whole script.

    A line that begins with a dash belongs to the call above it, whose line then lacks its
    backslash, as in three commands of the guide.

    Args:
        text: the text.
        variables: those set before it; this process's environment if None.
    """
    reader = _Reader(text, os.environ if variables is None else variables)
    reader.read()
    problems = list(dict.fromkeys(reader.problems))
    return ShellText(list(reader.calls.values()), reader.others, problems)


class _Reader:
    """A walk over the syntax tree of one text, in the order of execution."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._source = _PASTED.sub(_as_bash, text).encode(errors="surrogateescape")
        self._variables = dict(variables)
        self._assigned: set[str] = set()
        self._exported: set[str] = set()
        # The call that a line with a dash may belong to, and the byte that it ends at.
        self._last: tuple[Statement, int] | None = None
        # By position; filled in turn by turn.
        self.calls: dict[int, list[Statement]] = {}
        self.others: list[list[str]] = []
        self.problems: list[Problem] = []
        # Commands whose quoted words name a script, such as `bash -c "python …"`.
        self._quoted: list[Node] = []

    def read(self) -> None:
        root = _PARSER.parse(self._source).root_node
        if root.has_error or b"\0" in self._source:
            self.problems.append(_syntax_problem(root))
            return
        self._visit(root)
        if not self.calls:
            for node in self._quoted:
                self._reject(node, "string")

    def _visit(self, node: Node) -> None:
        kind = node.type
        if kind == "command":
            self._command(node)
        elif kind == "variable_assignment":
            self._assign(node, self._variables)
        elif kind == "declaration_command":
            self._declare(node)
        elif kind == "for_statement" and node.children[0].type == "for":
            self._loop(node)
        elif kind == "subshell":
            before = dict(self._variables)
            self._visit_children(node)
            self._variables = before
        elif kind in _TRANSPARENT and not _is_conditional(node):
            self._visit_children(node)
        elif kind in _CONSTRUCTS:
            self._skip(node)

    def _visit_children(self, node: Node) -> None:
        for child in node.named_children:
            self._visit(child)

    def _reject(self, node: Node, kind: str) -> None:
        """Report a construct around a call, of a kind that `_CONSTRUCTS` has."""
        construct, hint = _CONSTRUCTS[kind]
        what = f"{construct} is not supported around a command of the scripts"
        self.problems.append(Problem(what=what, where=f"line {line_of(node)}", hint=hint))

    def _skip(self, node: Node) -> None:
        """Skip a construct without calls; what it assigns is not known behind it."""
        if _has_call(node):
            self._reject(node, node.type)
        construct, _ = _CONSTRUCTS[node.type]
        for one in walk(node):
            if one.type == "variable_assignment" and (name := one.child_by_field_name("name")):
                source = f"${source_of(name)}"
                mark = unexpanded(source, f"variable is set in {construct}", line_of(one))
                self._variables[source[1:]] = mark

    def _assign(self, node: Node, into: dict[str, str]) -> None:
        name_node, value_node = node.child_by_field_name("name"), node.child_by_field_name("value")
        assert name_node
        name = source_of(name_node)
        # What adds to itself begins empty; elsewhere, a variable may be set in another shell.
        known = {name: "", **self._variables}
        value = value_of(value_node, known) if value_node else ""
        if name_node.type == "subscript":
            name = name.partition("[")[0]
            value = unexpanded(source_of(node), "array is not supported", line_of(node))
        if any(child.type == "+=" for child in node.children):
            value = self._variables.get(name, "") + value
        into[name] = value
        if into is self._variables:
            self._assigned.add(name)

    def _declare(self, node: Node) -> None:
        """Read `export A B=1` and its relatives."""
        names = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assign(child, self._variables)
            name = child.child_by_field_name("name") or child
            names.append(source_of(name))
        if node.children[0].type == "export" or "-x" in names:
            self._exported |= set(names)

    def _loop(self, node: Node) -> None:
        name_node, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        assert name_node
        assert body
        name = source_of(name_node)
        sources = node.children_by_field_name("value")
        values = [word for group in _adjacent(sources) for word in fields(group, self._variables)]
        if all(child.type != "in" for child in node.children):
            values = [unexpanded(f"${name}", "the loop has no values", line_of(node))]
        unknown = [value for value in values if not is_expanded(value)]
        for value in unknown[:1] or values:
            self._variables[name] = value
            self._last = None
            self._visit(body)
        commands = [source_of(one).split()[0] for one in walk(body) if one.type == "command"]
        if _has_call(body) and ("break" in commands or "continue" in commands):
            self._reject(node, "do_group")

    def _command(self, node: Node) -> None:
        sources: list[Node] = []
        assigned: dict[str, str] = {}
        for child in [*node.children, *_words_behind_redirection(node)]:
            if child.type == "variable_assignment":
                self._assign(child, assigned)
            elif not child.type.endswith("_redirect"):
                sources.append(child)
        words = [word for group in _adjacent(sources) for word in fields(group, self._variables)]
        if not words:
            return
        last, self._last = self._last, None
        if words[0].startswith("-") and last and self._is_next_line(last[1], node):
            statement = last[0]
            statement.words += words
            statement.is_joined = True
        elif script_index(words) is not None and words[0] not in _FILE_TOOLS:
            statement = Statement(words, {**self._exports(), **assigned}, line_of(node))
            self.calls.setdefault(node.start_byte, []).append(statement)
            if any(re.match(r"[ \t]+--\w", word) for word in words):
                # A line break is lost: to bash, the blank is the first character of the flag.
                what, hint = "a backslash and a blank before a flag", "Leave the backslash out."
                where = f"line {line_of(node)}"
                self.problems.append(Problem(what=what, where=where, hint=hint))
        else:
            if words[0] == "eval" and _has_call(node):
                self._skip(node)
            elif any(mentions_script(word) and len(word.split()) > 1 for word in words):
                self._quoted.append(node)
            self.others.append(words)
            return
        statement.is_redirected |= _is_redirected(node)
        self._last = statement, node.end_byte

    def _exports(self) -> dict[str, str]:
        names = sorted(self._exported & self._assigned)
        return {name: self._variables[name] for name in names}

    def _is_next_line(self, end: int, node: Node) -> bool:
        between = self._source[end : node.start_byte].decode(errors="surrogateescape")
        return re.fullmatch(r"[ \t]*(?:#[^\n]*)?\n(?:\s|#[^\n]*\n)*", between) is not None


def _as_bash(found: re.Match[str]) -> str:
    if found["kept"] is not None:
        return found["kept"]
    if character := found["blank"] or found["first"]:
        # The parser loses a backslash that begins a word, and some that stand before a blank.
        return f"'{character}'"
    if found["space"]:
        return " "
    if found["continued"] is not None:
        return "\\\n" if "\n" in found["continued"] else ""
    return ""


def _syntax_problem(root: Node) -> Problem:
    first = next((one for one in walk(root) if one.is_error or one.is_missing), root)
    hint = "Close every quote and bracket, or paste the command of the script alone."
    return Problem(what="bash syntax error", where=f"line {line_of(first)}", hint=hint)


def _adjacent(nodes: list[Node]) -> Iterator[list[Node]]:
    """Yield the nodes of each word; the parser splits some words at an escaped character."""
    group: list[Node] = []
    for node in nodes:
        if group and (group[-1].end_byte != node.start_byte or source_of(node)[:1].isspace()):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _has_call(node: Node) -> bool:
    """Return whether a command inside a node names one of the scripts."""
    kinds = ("command", "heredoc_body")
    return any(one.type in kinds and mentions_script(source_of(one)) for one in walk(node))


def _is_conditional(node: Node) -> bool:
    """Return whether a list begins with a test: `[ -f x ] && A=1`."""
    if node.type != "list":
        return False
    first = node.children[0]
    return first.type == "test_command" or source_of(first).startswith("test ")


def _words_behind_redirection(node: Node) -> list[Node]:
    """Return the words that stand behind a redirection: `python x > log --fp16`."""
    parent = node.parent
    if parent is None or parent.type != "redirected_statement":
        return []
    files = [child for child in parent.children if child.type == "file_redirect"]
    return [word for one in files for word in one.children_by_field_name("destination")[1:]]


def _is_redirected(node: Node) -> bool:
    """Return whether a command reads from or writes to a file or a pipe."""
    parent = node.parent
    if parent is None or parent.type not in _TRANSPARENT:
        return False
    return parent.type in ("redirected_statement", "pipeline") or _is_redirected(parent)

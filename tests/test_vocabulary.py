"""Names and messages use the terms of torch.distributed, Hydra, transformers, pip and git."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "tests", "tools", "benchmarks")
EXCLUDED = ("tools/news_briefs",)
"""The sentences of the bundled corpus."""

OLD_WORDS = {
    "aloud": "log or print",
    "blame": "cause or source",
    "blamed": "cause or source",
    "cutting": "chunker",
    "damage": "corruption",
    "damaged": "corrupt",
    "gathered": "all_gather_object",
    "honoured": "supported",
    "honours": "supports",
    "obey": "exit or apply",
    "obeyed": "applied",
    "objection": "error",
    "objections": "errors",
    "onlooker": "callback",
    "onlookers": "callbacks",
    "piece": "chunk",
    "pieces": "chunks",
    "refusal": "rejection or error",
    "refuse": "reject",
    "refused": "rejected",
    "refuses": "rejects",
    "said": "reported, logged or printed",
    "say": "log, print or report",
    "saying": "reporting",
    "says": "reports",
    "seal": "write_manifest",
    "sealed": "complete",
    "speak": "log, print or report",
    "speaks": "reports",
    "spoken": "reported",
    "tell": "log, print or report",
    "telling": "reporting",
    "tells": "reports",
    "told": "reported",
    "toy": "tiny",
}
"""A part of an identifier (`what_it_says`, `RefusedKey`) to the usual word."""
OLD_NAMES = {
    "any_rank": "any_reduce",
    "from_main": "broadcast_object",
    "goes_on": "resumes",
    "going_on": "resuming",
    "hand_out": "broadcast",
    "in_words": "format",
    "made_up": "synthetic",
    "prompt_end": "target_prefix",
    "stand_in": "synthetic or local",
    "wait_for_all": "barrier",
    "word_counter": "word_tokenizer",
}
"""Parts of identifiers that are old together."""
OLD_IDENTIFIERS = {
    "Assignment": "RunSpec",
    "DOUBLES": "ALIASES",
    "Evaluated": "EvaluationResult",
    "Fitted": "FitResult",
    "HandOut": "RunSpecBroadcast",
    "Meeting": "Rendezvous",
    "Prepared": "RunContext",
    "TrainingWatch": "TrainingGuard",
    "WordCounter": "WordTokenizer",
    "dismiss": "abort",
    "meeting": "rendezvous",
}
"""Identifiers that are old as they are, though their parts are ordinary words."""
OLD_MODULES = {
    "callback_watchers": "callbacks",
    "honoured": "supported_fields",
    "hub_stand_in": "local_hub",
    "meeting": "rendezvous",
    "objections": "hydra_errors",
    "parts": "roles",
    "pieces": "chunking",
    "preflight": "a name that says which checks: launch_checks, data_checks, …",
    "refused": "aliases or secrets",
    "stand_in": "synthetic",
    "watch": "training_guard",
}
OLD_PHRASES = {
    r"\baloud\b": "logged or printed",
    r"\bfrom .* on speaks?\b": "reports",
    r"\bgo(?:es|ing)? on\b": "continue or resume",
    r"\bhonour": "support",
    r"\bin plain words\b": "readable",
    r"\bin words\b": "formatted",
    r"\b(?:is|are|was|were) told\b": "logged or reported",
    r"\bleave .{1,40} away\b": "remove",
    r"\bmade-up\b": "synthetic",
    r"\bpassed over\b": "skipping",
    r"\brefuse": "reject",
    r"\bspeaks? (?:against|for)\b": "all checks passed, or the problem itself",
    r"\btells? (?:it|them|the|of|how|what|which|each)\b": "log, report or set",
    r"\bwhole (?:checkpoint|one|model|number)\b": "complete, or integer",
    r"\bworks? aloud\b": "log",
}
"""A phrase of log lines, errors, prints and help texts to what replaces it."""


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(EXCLUDED):
                yield path


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each function, class, parameter, variable, attribute and import."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def usual(name: str) -> str | None:
    """Return the usual word for an old one in an identifier, or None."""
    if name in OLD_IDENTIFIERS:
        return OLD_IDENTIFIERS[name]
    words = [one.lower() for one in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]
    snake = f"_{'_'.join(words)}_"
    together = (new for old, new in OLD_NAMES.items() if f"_{old}_" in snake)
    single = (OLD_WORDS[word] for word in words if word in OLD_WORDS)
    return next(together, None) or next(single, None)


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each string that is not a docstring; values in f-strings are left out.

    Docstrings of config fields are among them, since `--help` shows them.
    """
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.lineno, node.value


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def old_names(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, name in identifiers(tree):
        if (new := usual(name)) is not None:
            yield f"{where(path, line)}: {name}: use {new}"


def old_phrases(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, text in messages(tree):
        for pattern, new in OLD_PHRASES.items():
            if found := re.search(pattern, text, re.IGNORECASE):
                yield f"{where(path, line)}: {found[0]!r}: use {new}"


def test_identifiers_use_the_usual_words() -> None:
    assert [one for path in sources(*FOLDERS) for one in old_names(path)] == []


def test_modules_use_the_usual_words() -> None:
    names = ((path, path.stem.removeprefix("test_")) for path in sources(*FOLDERS))
    assert [
        f"{where(p, 1)}: use {OLD_MODULES[name]}" for p, name in names if name in OLD_MODULES
    ] == []


def test_messages_use_the_usual_phrases() -> None:
    assert [one for path in sources("src") for one in old_phrases(path)] == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def what_it_says(): ...", "x.py:1: what_it_says: use reports"),
        ("class RefusedKey: ...", "x.py:1: RefusedKey: use rejected"),
        ("def f(told=1): ...", "x.py:1: told: use reported"),
        ("from a import b as in_words", "x.py:1: in_words: use format"),
        ("self.goes_on = 1", "x.py:1: goes_on: use resumes"),
        ("class Meeting: ...", "x.py:1: Meeting: use Rendezvous"),
        ("lead, whole, lesson, history = 1, 2, 3, 4", None),
    ],
)
def test_an_old_word_is_found_in_an_identifier(
    code: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_vocabulary.ROOT", tmp_path)
    (tmp_path / "x.py").write_text(code)
    assert list(old_names(tmp_path / "x.py")) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('log.info("the run goes on in %s", folder)', "goes on"),
        ('raise RunError(f"{name} is refused")', "refuse"),
        ('print("nothing speaks against it")', "speaks against"),
        ('"""Prose goes on, and may."""', None),
    ],
)
def test_an_old_phrase_is_found_in_a_message(
    code: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_vocabulary.ROOT", tmp_path)
    (tmp_path / "x.py").write_text(code)
    reported = list(old_phrases(tmp_path / "x.py"))
    assert [repr(found) in one for one in reported] == ([] if found is None else [True])

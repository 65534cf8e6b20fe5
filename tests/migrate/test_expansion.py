"""Words of a shell text: held against bash, and marked where they are not expanded."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from summexp.errors import ConfigError
from summexp.migrate.expansion import (
    ARGUMENTS,
    HIDDEN,
    is_expanded,
    is_secret_variable,
    reject_unexpanded,
    split_unexpanded,
    with_source,
)
from summexp.migrate.shell import read_shell

SHOW = "run_summarization.py"
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def calls(text: str, **variables: str) -> list[list[str]]:
    """Return the words behind the script in each call of a text."""
    found = read_shell(text, variables)
    assert found.problems == []
    return [one.words[1:] for statements in found.calls for one in statements]


def words(text: str, **variables: str) -> list[str]:
    return calls(text, **variables)[-1]


def in_bash(text: str) -> list[list[str]]:
    """Return the words that bash gives to each call."""
    script = f"{SHOW}() {{ printf '%s\\0' \"$@\"; printf '\\1'; }}\n{text}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        check=True,
        env={"HOME": "/home/you", "LC_ALL": "C.UTF-8"},
    )
    return [call.split("\0")[:-1] for call in done.stdout.decode().split("\1")[:-1]]


TEXTS = [
    # Quotes.
    "run a 'b c' \"d e\" f\\ g",
    'run "quote \\" and \\\\ and \\n" \'\\\'',
    "run a'b'\"c\"d '' \"\" a\\\\",
    "run \"it's $'a'\"",
    'run --x="y z" "two\\\nlines" a$ "$" $ 가 \'나 다\' "a$ b"',
    "run {b} [c] d=e,f b#c '#d' '{e,f}' \\{g,h} '*' # e",
    'run a"b"\\[c "d"\\]',
    "run ]\\ -b x\\ \\ y a\\  c \\ d ~\\'e \\'f }\\\\%",
    "run ''\"'\"'' --a=\"it's\"",
    # Variables, split where they are not quoted.
    'A="--x 1 --y 2"; run $A "$A" \'$A\' \\$A',
    'A=" 1 2 "; run a$A"b"$A "$A "  " $A" "$A$A" ',
    'A=\'a  b\'; B=$A; run "$B" ${B}c "${B} c"',
    'A=; run $A b "$A" a$A',
    "A='\"q r\"'; run $A",
    "A=x; A=y$A; A+=z; run $A $A-$A/${A}_b",
    'A="--one"; A="$A --two"; run $A',
    "A='a\nb\tc'; run $A",
    "A=~/a; run $A ~ ~/b --x=~/c '~' a~ \"~/d\"",
    "for m in a 'b c' \"\"; do run $m; done; run $m x",
    'A=1; for m in $A 2; do for n in x; do run "$m$n"; done; done',
]


@needs_bash
def test_words_are_those_of_bash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/you")
    text = "\n".join(TEXTS).replace("run ", f"{SHOW} ")
    ours = [call or [""] for call in calls(text, HOME="/home/you")]
    assert ours == in_bash(text)


FRAGMENTS = st.sampled_from(
    [
        "-a",
        "'b c'",
        '"d $A e"',
        "$A",
        '"$A"',
        "${A}",
        "-\\ -",
        "\\$",
        "''",
        "=",
        "가",
        "/",
        ":",
        "-",
    ]
)


@needs_bash
@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.lists(FRAGMENTS, min_size=1, max_size=6).map(lambda one: "".join([*one, "/x"])),
        min_size=1,
        max_size=60,
    )
)
def test_any_words_are_those_of_bash(fragments: list[str]) -> None:
    text = "A=' 1  2'\n" + "\n".join(f"{SHOW} {fragment}" for fragment in fragments)
    assert [call or [""] for call in calls(text)] == in_bash(text)


def test_secrets_stay_hidden() -> None:
    assert words(f"{SHOW} $HF_TOKEN x${{WANDB_API_KEY}}", HF_TOKEN="x", WANDB_API_KEY="y") == [
        HIDDEN,
        f"x{HIDDEN}",
    ]


@pytest.mark.parametrize(
    ("source", "reported"),
    [
        ("$ABSENT", "variable is not set: $ABSENT [line 2]\n    Set it before the command, as in "),
        ("${ABSENT}", "ABSENT=…"),
        ("$1", "positional parameter is not known: $1 [line 2]"),
        ("$(date +%F)", "command substitution is not supported: $(date +%F) [line 2]"),
        ('"a `date` b"', 'command substitution is not supported: "a `date` b" [line 2]'),
        ("$((1 + 2))", "arithmetic expansion is not supported: $((1 + 2)) [line 2]"),
        ("<(ls)", "process substitution is not supported: <(ls) [line 2]"),
        ("${A[@]}", "array is not supported: ${A[@]} [line 2]\n    Write its items out"),
        ('"${#A[@]}"', "array is not supported"),
        ("${A:-b}", "parameter expansion is not supported: ${A:-b} [line 2]"),
        ("${A//a/b}", "parameter expansion is not supported: ${A//a/b} [line 2]"),
        ("${A##*/}", "parameter expansion is not supported"),
        ('"${#A}"', 'parameter expansion is not supported: "${#A}" [line 2]'),
        ("$$", "this expansion is not supported: $$ [line 2]"),
        ("{1..3}", "brace expansion is not supported: {1..3} [line 2]\n    Quote it, or write"),
        ("{a,b}", "brace expansion is not supported: {a,b} [line 2]"),
        ('{"a":1,"b":2}', "brace expansion is not supported"),
        ("*.csv", "glob pattern is not supported: *.csv [line 2]\n    Quote it, or write"),
        ("$G", "glob pattern is not supported: $G [line 2]"),
        ("$'a'", "$'…' string is not supported: $'a' [line 2]"),
        ("x$'a\\tb'", "$'…' string is not supported"),
        ('$"a"', '$"…" string is not supported: $"a" [line 2]'),
        ('x$"a"', '$"…" string is not supported'),
        ("{$A,b}", "brace expansion is not supported"),
    ],
)
def test_what_is_not_expanded_is_rejected(source: str, reported: str) -> None:
    found = words(f"A=1\n{SHOW} {source}", G="a*", B="c")
    assert not all(map(is_expanded, found))
    with pytest.raises(ConfigError) as raised:
        reject_unexpanded(found)
    assert reported in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("A=$(date +%F)\nB=x$A", "command substitution is not supported: $(date +%F) [line 1]"),
        ("A=(1 2); B=$A", "array is not supported: (1 2) [line 1]"),
        ("B[0]=1", "array is not supported: B[0]=1 [line 1]"),
        ("if [ -n $C ]; then\n  B=2\nfi", "variable is set in an if statement: $B [line 2]"),
        ("B=1; [ -n $C ] && B=2", "variable is set in a condition: $B [line 1]"),
        ("case $1 in a) B=2;; esac", "variable is set in a case statement: $B [line 1]"),
        ("for B in $(ls); do ls; done", "command substitution is not supported: $(ls) [line 1]"),
        ("for B in *; do ls; done", "glob pattern is not supported: * [line 1]"),
        ("for B; do ls; done", "the loop has no values: $B [line 1]"),
        ('B="$@"', "the script's own arguments are not known: $@"),
    ],
)
def test_a_variable_is_not_known_where_its_value_is_not(text: str, reported: str) -> None:
    found = words(f"{text}\n{SHOW} --x=$B")
    with pytest.raises(ConfigError) as raised:
        reject_unexpanded(found)
    assert reported in str(raised.value)


def test_unexpanded_parts_keep_their_source() -> None:
    found = words(f'{SHOW} "$@" $A/b "$(date +\'%F %T\')" `a b` x$1')
    assert found[0] == ARGUMENTS
    sources = ["$@", "$A/b", "\"$(date +'%F %T')\"", "`a b`", "x$1"]
    assert [with_source(word) for word in found] == sources
    assert split_unexpanded(found[4]) == [("x", True), ("$1", False)]


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("KAGGLE_KEY", True),
        ("DB_PASSWD", True),
        ("DB_PASS", True),
        ("OPENAI_API_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", True),
        ("apikey", True),
        ("GH_PAT", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("MAX_TOKENS", False),
        ("KEYBOARD", False),
        ("PATH", False),
        ("DATA_PATH", False),
        ("AUTHOR", False),
        ("MONKEY", False),
        ("PASSES", False),
    ],
)
def test_a_secret_is_known_by_a_whole_part_of_its_name(name: str, is_secret: bool) -> None:
    assert is_secret_variable(name) is is_secret

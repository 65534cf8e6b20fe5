"""What words of a shell text come to, held against bash."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from summexp.errors import ConfigError
from summexp.migrate.expansion import (
    ARGUMENTS,
    HIDDEN,
    Unknown,
    fields,
    is_known,
    names_secret,
    printable,
    refuse_unknown,
    split_unknown,
)
from summexp.migrate.shell import statements


def words(text: str, **variables: str) -> list[str]:
    """Return the words of the last statement, its first aside."""
    return statements(text, variables)[-1].words[1:]


def in_bash(text: str) -> Sequence[str]:
    script = f"show() {{ printf '%s\\0' \"$@\"; }}\n{text}"
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, capture_output=True, check=True, env={"HOME": "/home/you"})
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    "text",
    [
        # Quotes.
        "show a 'b c' \"d e\" f\\ g",
        'show "quote \\" and \\\\ and \\n" \'\\\'',
        "show a'b'\"c\"d '' \"\"",
        "show $'tab\\tand \\'quote\\'' \"it's $'a'\"",
        'show --x="y z" "two\\\nlines" a$ "$" 가 \'나 다\'',
        "show {b} [c] d=e,f b#c '#d' # e",
        # Variables, split where they are not quoted.
        'A="--x 1 --y 2"; show $A "$A"',
        'A=" 1 2 "; show a$A"b"$A',
        "A='a  b'; B=$A; show \"$B\" ${B}",
        'A=; show a $A b "$A"',
        "A='\"q r\"'; show $A",
        "A=x; A=y$A; A+=z; show $A",
        'A="$A --one"; A="$A --two"; show $A',
        # Arrays.
        'A=(a "b c" $\'d\'); show "${A[@]}" ${A[@]} "${A[*]}" $A ${A[1]} "${A[-1]}" ${#A[@]}',
        "A=(a\n  # it's one\n  'b c'  # (two\n); A+=(d); show \"x${A[@]}y\"",
        'B="1 2"; A=($B "$B"); show "${A[@]}"',
        'A=(); show "${A[@]}" x',
        # Instead of a value.
        'show ${A:-b} ${A-c} "${A:-d e}" ${A:-$HOME} ${A:-"f g"} ${A:+h}i',
        'A=; show ${A:-b} "${A-c}" x${A:+d} ${A+e}',
        "A=a; show ${A:-b} ${A-c} ${A:+d} ${A+e} ${A:?f}",
        "show ${A:=b c}; show $A",
        "show ${A:-${B:-c}}",
        # Parts of a value.
        "M=google-t5/t5-small.v1.bin; show ${M##*/} ${M#*/} ${M%/*} ${M%%/*} ${M%.*} ${M%%.*}",
        "M=a/b/c; show ${M//\\//_} ${M/\\//-} ${M/b/} ${M//\\/} ${M/x/y}",
        "M=Ab; show ${M,,} ${M^^}",
        "M=in.txt; show ${M%.txt}.json ${M%.csv}",
        "M=a.b; show ${M//./_}",
    ],
)
def test_words_are_bashs(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/you")
    calls = [one.words[1:] for one in statements(text, {"HOME": "/home/you"})]
    assert [word for call in calls for word in call] == in_bash(text)


def test_home_is_filled_in() -> None:
    home = str(Path.home())
    assert words("run ~/a --x=~/b '~' a~") == [f"{home}/a", "--x=~/b", "~", "a~"]


def test_secrets_stay_hidden() -> None:
    text = "run $HF_TOKEN ${WANDB_API_KEY} ${HF_TOKEN:-none} ${MY_TOKEN:-none}"
    assert words(text, HF_TOKEN="x") == [HIDDEN, HIDDEN, HIDDEN, "none"]


def test_what_is_not_known_stands_as_the_text_had_it() -> None:
    text = 'run "$@" $1 $A/b "$(date +\'%F %T\')" `a b` $((1 + 2)) ${A:0:3} <(ls) $$'
    found = words(text)
    assert found[0] == ARGUMENTS
    assert [printable(word) for word in found] == [
        *("$@", "$1", "$A/b", "$(date +'%F %T')", "`a b`", "$((1 + 2))", "${A:0:3}", "<(ls)", "$$")
    ]
    assert not any(map(is_known, found))


def test_what_is_not_known_stays_so_in_another_variable() -> None:
    found = words('A=$(date); B="x $A"; run $B ${B##*/}')
    assert [printable(word) for word in found] == ["x", "$(date)", "${B##*/}"]
    assert split_unknown("a" + found[1]) == [("a", True), ("$(date)", False)]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("run $ABSENT", "ABSENT is not set.*line 3\\]\n.*ABSENT=…"),
        ("run ${ABSENT}", "ABSENT=…"),
        ("run $1", "what the shell script is given"),
        ("run $(date +%F)", r"works out \$\(date \+%F\) when it runs"),
        ("for m in a b; do run $m; done", "from turn to turn"),
        ("for ((m=0; m < 3; m++)); do run $m; done", "from turn to turn"),
    ],
)
def test_what_is_needed_and_not_known_is_reported(text: str, reported: str) -> None:
    with pytest.raises(ConfigError, match=reported):
        refuse_unknown(words(text), 3)


def test_a_loop_over_one_thing_has_its_value() -> None:
    assert words("for m in a; do run $m; done") == ["a"]


def test_reading_is_noticed() -> None:
    read: set[str] = set()
    assert fields("$A-${B:-$C}", {"A": "1", "C": "2"}, read) == ["1-2"]
    assert read == {"A", "B", "C"}


def test_a_part_of_a_kind_says_so() -> None:
    for kind in Unknown:
        part = kind.part("$x")
        assert printable(part) == "$x"
        with pytest.raises(ConfigError, match="x"):
            refuse_unknown([part])


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
    assert names_secret(name) is is_secret

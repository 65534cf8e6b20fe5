"""Old commands as they stand in shell scripts."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from summexp.errors import ConfigError
from summexp.migrate.shell import ARGUMENTS, HIDDEN, names_secret, statements

COMMAND = "python run_summarization.py"


def words(text: str, **variables: str) -> list[str]:
    (one,) = statements(text, variables)
    return one.words


@pytest.mark.parametrize(
    "text",
    [
        "a 'b c' \"d e\" f\\ g",
        'a "quote \\" and \\\\ and \\n" \'\\\'',
        "a'b'\"c\"d",
        "a $'tab\\tand \\'quote\\''",
        "a \\\n  b \\\n  c",
        "a # comment\n",
        "a b#c '#d'",
        "a --x=\"y z\" ''",
        'a "two\\\nlines"',
        "a {b} [c] d=e,f",
        "가 '나 다'",
        "A=1 B='2 3' a",
    ],
)
def test_words_are_bashs(text: str) -> None:
    script = f"show() {{ printf '%s\\0' \"$@\"; }}; show {text}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert words(text, HOME="/home/you") == done.stdout.decode().split("\0")[:-1]


def test_a_line_that_begins_with_a_dash_belongs_to_the_one_above() -> None:
    text = f"{COMMAND}\n  --do_train \\\n  --lang ko\n  --fp16\necho done\n"
    first, second = statements(text)
    assert first.words == [*COMMAND.split(), "--do_train", "--lang", "ko", "--fp16"]
    assert first.is_joined
    assert second.words == ["echo", "done"]


def test_blanks_behind_a_backslash_and_windows_line_ends() -> None:
    assert words(f"{COMMAND} \\ \n --do_train \\\r\n --fp16 \\") == [
        *COMMAND.split(),
        "--do_train",
        "--fp16",
    ]


@pytest.mark.parametrize("prompt", ["$ ", "!", "! ", "% "])
def test_a_prompt_is_no_word(prompt: str) -> None:
    assert words(f"{prompt}{COMMAND}") == COMMAND.split()


def test_statements_are_parted() -> None:
    text = "cd x && a 1; b 2 | tee log & # end\nc > log 2>&1\nd &> log\ne <<< in"
    found = statements(text)
    assert [one.words for one in found] == [
        ["cd", "x"],
        ["a", "1"],
        ["b", "2"],
        ["tee", "log"],
        ["c"],
        ["d"],
        ["e"],
    ]
    assert [one.ends_with for one in found][:4] == ["&&", ";", "|", "&"]
    assert [one.is_redirected for one in found][-4:] == [False, True, True, True]
    assert [one.line for one in found] == [1, 1, 1, 1, 2, 3, 4]


def test_variables_have_the_values_that_the_text_or_the_environment_gives() -> None:
    text = 'OUT=runs/a\nexport LR="1e-4"\nrun $OUT/x "${LR}" ${N:-8} "$@" \'$OUT\' \\$OUT'
    found = statements(text, {})
    assert found[-1].words == ["run", "runs/a/x", "1e-4", "8", ARGUMENTS, "$OUT", "$OUT"]
    assert words("run $A", A="b c") == ["run", "b c"]
    assert words("run $HF_TOKEN ${WANDB_API_KEY}", HF_TOKEN="x") == ["run", HIDDEN, HIDDEN]


def test_home_is_filled_in() -> None:
    home = str(Path.home())
    assert words("run ~/a --x=~/b '~'") == ["run", f"{home}/a", "--x=~/b", "~"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("run $ABSENT", "ABSENT is not set"),
        ("a\nrun $(date)", "line 2"),
        ("run `date`", "when it runs"),
        ("run 'open", "a quote is not closed"),
        ('run "open', "a quote is not closed"),
    ],
)
def test_what_cannot_be_known_is_told(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        statements(text, {})


def test_quoting_goes_there_and_back() -> None:
    given = ["a b", "c'd", 'e"f', "g\\h", "i\nj", "$k", "#l", ""]
    assert words(f"x {shlex.join(given)}")[1:] == given


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


def test_words_of_the_shell_are_no_commands() -> None:
    text = (
        "if [ -f x ]; then\n  a do 'if'\nelse b; fi\nfor i in 1 2; do c $i; 'time' d; done | e\n"
        "while f; do { time -p g; }; done < x\n"
    )
    found = statements(text, {})
    said = [(" ".join(one.words).replace("\0", ""), one.line, one.is_in_loop) for one in found]
    assert said == [
        ("[ -f x ]", 1, False),
        ("a do if", 2, False),
        ("b", 3, False),
        ("c $i", 4, True),
        ("time d", 4, True),
        ("e", 4, False),
        ("f", 5, False),
        ("g", 5, True),
    ]

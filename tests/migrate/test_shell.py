"""Old commands as they stand in shell scripts."""

from __future__ import annotations

import shlex

import pytest

from summexp.errors import ConfigError
from summexp.migrate.expansion import ARGUMENTS, printable
from summexp.migrate.shell import leading_assignments, statements

COMMAND = "python run_summarization.py"


def words(text: str, **variables: str) -> list[str]:
    (one,) = statements(text, variables)
    return one.words


def all_words(text: str) -> list[list[str]]:
    return [one.words for one in statements(text, {})]


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


@pytest.mark.parametrize("mark", ["^", "`"])
def test_lines_are_continued_as_on_windows(mark: str) -> None:
    assert words(f"{COMMAND} {mark}\r\n --do_train {mark} \n --lang ko") == [
        *COMMAND.split(),
        "--do_train",
        "--lang",
        "ko",
    ]


def test_a_space_that_does_not_break_is_a_space() -> None:
    assert words("run\u00a0--lang ko_KR") == ["run", "--lang", "ko_KR"]


@pytest.mark.parametrize("prompt", ["$ ", "!", "! ", "% "])
def test_a_prompt_is_no_word(prompt: str) -> None:
    assert words(f"{prompt}{COMMAND}") == COMMAND.split()


def test_statements_are_parted() -> None:
    text = "cd x && a 1; b 2 | tee log & # end\nc > log 2>&1\nd &> log\ne <<< in\nf > >(tee x) g"
    found = statements(text)
    assert [one.words for one in found] == [
        ["cd", "x"],
        ["a", "1"],
        ["b", "2"],
        ["tee", "log"],
        ["c"],
        ["d"],
        ["e"],
        ["f", "g"],
    ]
    assert [one.ends_with for one in found][:4] == ["&&", ";", "|", "&"]
    assert [one.is_redirected for one in found][-5:] == [False, True, True, False, True]
    assert [one.line for one in found] == [1, 1, 1, 1, 2, 3, 4, 5]


def test_variables_have_the_values_that_the_text_or_the_environment_gives() -> None:
    text = 'OUT=runs/a\nexport LR="1e-4"\nrun $OUT/x "${LR}" ${N:-8} "$@" \'$OUT\' \\$OUT'
    found = statements(text, {})
    assert found[-1].words == ["run", "runs/a/x", "1e-4", "8", ARGUMENTS, "$OUT", "$OUT"]
    assert words("run $A", A="b c") == ["run", "b", "c"]


def test_a_command_has_the_variables_that_the_text_sets_for_it() -> None:
    text = "A=1\nB=2\nexport B C=3\nD=4 E='5 6' run\nexport A\nrun\ndeclare -x F=$B\nlocal G=8\nrun"
    assert [one.environment for one in statements(text, {"H": "9"})] == [
        {"B": "2", "C": "3", "D": "4", "E": "5 6"},
        {"A": "1", "B": "2", "C": "3"},
        {"A": "1", "B": "2", "C": "3", "F": "2"},
    ]


def test_what_was_set_before_the_text_is_not_written_into_it() -> None:
    (one,) = statements("export HF_HOME A=1\nrun $HF_HOME", {"HF_HOME": "/home/you/hf"})
    assert one.words == ["run", "/home/you/hf"]
    assert one.environment == {"A": "1"}


def test_assignments_in_front_are_parted_from_a_command() -> None:
    assert leading_assignments(["A=1", "B=", "run", "C=2"]) == ({"A": "1", "B": ""}, ["run", "C=2"])
    assert leading_assignments(["A=1"]) == ({"A": "1"}, [])


@pytest.mark.parametrize(
    ("text", "line"),
    [("run 'open", 1), ('\nrun "open', 2), ("run $(open\nrun", 1), ("A=(1 2", 1), ("run ${A", 1)],
)
def test_what_is_not_closed_is_reported(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"is not closed \[line {line}\]"):
        statements(text, {})


def test_quoting_goes_there_and_back() -> None:
    given = ["a b", "c'd", 'e"f', "g\\h", "i\nj", "$k", "#l", ""]
    assert words(f"x {shlex.join(given)}")[1:] == given


def test_words_of_the_shell_are_no_commands() -> None:
    text = (
        "if [ -f x ]; then\n  a do 'if'\nelse b; fi\nfor i in 1 2; do c $i; 'time' d; done | e\n"
        "while f; do { time -p g; }; done < x\n"
    )
    found = statements(text, {})
    said = [(printable(" ".join(one.words)), one.line, one.is_in_loop) for one in found]
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


def test_functions_subshells_and_cases_are_taken_apart() -> None:
    text = (
        "one() {\n  a 1\n}\nfunction two {\n  b 2; }\n( cd x && c 3 )\n"
        'case "$1" in\n  x|y) d 4 ;;\n  "z z") e 5;;\n  *) f 6\nesac\ng 7'
    )
    assert all_words(text) == [
        *(["a", "1"], ["b", "2"], ["cd", "x"], ["c", "3"]),
        *(["d", "4"], ["e", "5"], ["f", "6"], ["g", "7"]),
    ]


def test_what_a_branch_sets_is_known_as_such() -> None:
    text = (
        "A=1 B=1\nif [ -f x ]; then A=2; fi\ncase $1 in x) C=3 ;; esac\n[ -f x ] && D=4\n"
        'E="$A and $B"\nF=$B\nA2=1 && G=1\nrun $A $B $C $D "$E" $F $G\nA=1\nrun $A'
    )
    *_, first, second = statements(text, {})
    assert first.words == ["run", "2", "1", "3", "4", "2 and 1", "1", "1"]
    assert first.branches == ["A", "C", "D", "E"]
    assert second.branches == []


def test_texts_in_a_text_are_kept() -> None:
    text = "A=1\ncat > x <<'EOF' && b 'c d'\nit's $A\n  one\nEOF\nlast <<-END\n\tx\n\tEND\nend"
    found = statements(text, {})
    assert [one.words for one in found] == [["cat"], ["b", "c d"], ["last"], ["end"]]
    assert [one.texts for one in found] == [["it's $A\n  one"], ["c d"], ["\tx"], []]
    assert found[0].variables == {"A": "1"}


def test_eval_is_read_again() -> None:
    (one,) = statements("export B; eval 'B=1; A=2'; run $A", {})
    assert (one.words, one.environment) == (["run", "2"], {"B": "1"})
    assert all_words("A='run \"b c\"'\neval \"$A d\"\neval e 'f  g'") == [
        ["run", "b c", "d"],
        ["e", "f", "g"],
    ]

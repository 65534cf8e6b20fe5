"""Calls in shell texts: as pasted, in scripts, and inside constructs that are not read."""

from __future__ import annotations

import pytest

from summexp.migrate.shell import Statement, read_shell

COMMAND = "python run_summarization.py"


def statements(text: str, **variables: str) -> list[Statement]:
    """Return the only statement of each call."""
    found = read_shell(text, variables)
    assert found.problems == []
    return [statement for (statement,) in found.calls]


def arguments(text: str, **variables: str) -> list[str]:
    (one,) = statements(text, **variables)
    return one.words[2:]


@pytest.mark.parametrize(
    "text",
    [
        f"{COMMAND}\n  --do_train \\\n  --lang ko\n\n  # half of it\n  --fp16\necho done\n",
        f"{COMMAND} \\ \n --do_train \\\r\n --lang ko \\\n  --fp16 \\",
        f"{COMMAND} ^\r\n --do_train ^ \n --lang ko --fp16",
        f"{COMMAND} `\r\n --do_train ` \n --lang ko --fp16",
        f"{COMMAND}\u00a0--do_train --lang \u00a0ko --fp16",
        f"$ {COMMAND} --do_train --lang ko --fp16",
        f"% {COMMAND} --do_train --lang ko --fp16",
        f"!{COMMAND} --do_train --lang ko --fp16",
        f"! {COMMAND} --do_train --lang ko --fp16",
        f"{COMMAND} --do_train --lang ko > log-$(date) --fp16 2>&1",
        f"{COMMAND} --do_train --lang k\\\no --fp16",
    ],
)
def test_a_command_is_read_as_it_is_pasted(text: str) -> None:
    assert arguments(text) == ["--do_train", "--lang", "ko", "--fp16"]


def test_a_missing_backslash_and_a_redirection_are_noticed() -> None:
    joined, plain = statements(f"{COMMAND}\n --fp16 &> log\n{COMMAND} # end\n")
    assert (joined.is_joined, joined.is_redirected) == (True, True)
    assert (plain.is_joined, plain.is_redirected) == (False, False)
    assert (joined.line, plain.line) == (1, 3)
    (other,) = statements(f"{COMMAND}; --fp16")
    assert other.words == COMMAND.split()


def test_commands_of_a_script_are_found() -> None:
    text = (
        "#!/bin/bash\n#SBATCH -n 1\nset -e\ncd x && "
        f"{COMMAND} 1; {COMMAND} 2 | tee log & # end\n( cd y; {COMMAND} 3 )\n"
        f"{{ {COMMAND} 4; }} > log\n{COMMAND} 5 || exit 1\nnohup {COMMAND} 6 < in\nls"
    )
    found = statements(text)
    assert [one.words[-1] for one in found] == ["1", "2", "3", "4", "5", "6"]
    assert [one.line for one in found] == [4, 4, 5, 6, 7, 8]
    assert [one.is_redirected for one in found] == [False, True, False, True, False, True]
    others = [words[0] for words in read_shell(text).others]
    assert others == ["set", "cd", "tee", "cd", "exit", "ls"]


def test_variables_have_the_values_of_the_text_or_of_the_environment() -> None:
    text = f"OUT=runs/a\nexport LR='1e-4'\nOUT+=/b\n{COMMAND} $OUT/x \"${{LR}}\" '$OUT' $A"
    assert arguments(text, A="b c") == ["runs/a/b/x", "1e-4", "$OUT", "b", "c"]
    assert arguments(f"A=1; ( A=2; ls ); {COMMAND} $A") == ["1"]


def test_a_command_has_the_variables_that_the_text_sets_for_it() -> None:
    text = (
        f"A=1\nB=2\nexport B C=3\nD=4 E='5 6' {COMMAND}\nexport A\n{COMMAND}\n"
        f"declare -x F=$B\nlocal G=8\n{COMMAND}"
    )
    assert [one.environment for one in statements(text, H="9")] == [
        {"B": "2", "C": "3", "D": "4", "E": "5 6"},
        {"A": "1", "B": "2", "C": "3"},
        {"A": "1", "B": "2", "C": "3", "F": "2"},
    ]


def test_what_was_set_before_the_text_is_not_written_into_it() -> None:
    (one,) = statements(f"export HF_HOME A=1\n{COMMAND} $HF_HOME", HF_HOME="/home/you/hf")
    assert one.words[-1] == "/home/you/hf"
    assert one.environment == {"A": "1"}


def test_a_loop_gives_a_statement_for_each_turn() -> None:
    text = (
        "for m in a 'b c'; do\n  N=$m\n  for s in 1 2\n  do\n"
        f'    {COMMAND} "$N"\n      --seed $s &\n  done\ndone\n{COMMAND} $m $s'
    )
    looped, after = read_shell(text, {}).calls
    turns = [one.words[2:] for one in looped]
    assert turns == [[m, "--seed", s] for m in ("a", "b c") for s in ("1", "2")]
    assert {one.line for one in looped} == {5}
    assert [one.words[2:] for one in after] == [["b", "c", "2"]]


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("if [ -f x ]; then\n{}\nfi", "an if statement", 1),
        ("if ! {}; then exit 1; fi", "an if statement", 1),
        ("\n[ -f x ] && {}", "a condition", 2),
        ("\n[[ -f x ]] || {}", "a condition", 2),
        ("test -f x && {}", "a condition", 1),
        ("case $1 in\n a) {} ;;\nesac", "a case statement", 1),
        ("run() {{\n {}\n}}\nrun", "a function", 1),
        ("function run {{ {}; }}", "a function", 1),
        ("while true; do {}; done", "a while loop", 1),
        ("until false; do {}; done", "a while loop", 1),
        ("for ((i=0; i<3; i++)); do {}; done", "a counting loop", 1),
        ("select m in a b; do {}; done", "a select loop", 1),
        ("ls\ncat > job.sh <<'EOF'\n{}\nEOF\nsbatch job.sh", "a here-document", 3),
        ("sbatch <<EOF && ls\n#SBATCH -n 1\n{}\nEOF", "a here-document", 2),
        ("eval {}", "eval", 1),
        ("eval '{}'", "eval", 1),
        ("ls\nbash -c '{}'", "a command in quotes", 2),
        ("sbatch -p gpu --wrap='cd x && {}'", "a command in quotes", 1),
        ('ssh host "$LAUNCH {}"', "a command in quotes", 1),
        ("for m in a b; do\n {}\n if x; then break; fi\ndone", "a loop with break or continue", 1),
        ("for m in a b; do [ $m = a ] && continue; {}; done", "a loop with break or", 1),
        ("for s in 1; do {} || break; done", "a loop with break or continue", 1),
        ("ls\n{} --do_train \\ --fp16", "a backslash and a blank before a flag", 2),
        ("{} 'open", "bash syntax error", 1),
        ('ls\n{} "open', "bash syntax error", 2),
        ("{} $(open", "bash syntax error", 1),
        ("{} ${{A", "bash syntax error", 1),
        ("for m in a; do {}", "bash syntax error", 1),
    ],
)
def test_what_is_not_read_is_named(text: str, what: str, line: int) -> None:
    problems = read_shell(text.format(COMMAND), {}).problems
    assert len(problems) == 1
    assert problems[0].what.startswith(what)
    assert problems[0].where == f"line {line}"
    assert problems[0].hint


@pytest.mark.parametrize(
    "text",
    [
        "if [ $# -lt 1 ]; then echo usage; exit 1; fi\n{}",
        "case $1 in a) ls ;; esac\nlog() {{ echo $1; }}\n{}",
        'while [ ! -f x ]; do sleep 1; done; cd $(dirname "$0")\n{}',
        'cat > ds.json <<EOF\n{{"it\'s": $DATE}}\nEOF\n{}',
        "for p in *.gz; do gunzip $p; done; A=(1 2); echo ${{A[@]}} `date` $((1+2))\n{}",
        "for s in 1; do {}; done; for f in a b; do ls $f || break; done",
        "[ -d out ] || mkdir out; let x=1; ((x++)); {}",
        "echo run_summarization.py is next; {}",
        "echo \\ x; {}",
        "{}\n\\rm -r y",
        "echo 'run_summarization.py is next'; {}",
    ],
)
def test_what_is_not_read_elsewhere_is_skipped(text: str) -> None:
    assert arguments(text.format(f"{COMMAND} --fp16")) == ["--fp16"]

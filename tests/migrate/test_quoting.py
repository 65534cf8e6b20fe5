"""Words of the new command come back as the values that they were made of."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.migrate.composed import composed, translated, value_at

from summexp.config.escaping import override, unescaped
from summexp.errors import ConfigError
from summexp.migrate.loops import command_words
from summexp.migrate.quoting import shell_line

TEXTS = [
    "summarize: ",
    "",
    " ",
    "a, b",
    "x=1, y={z}",
    "[a] (b) {c}",
    "it's",
    'say "yes"',
    "both ' and \"",
    "back\\slash",
    "ends with \\",
    'quote behind \\"',
    "요약: ",
    "要約: ",
    "résumé",
    "${HOME}",
    "a ${b.c} d",
    "$HOME `date` !x",
    "null",
    "true",
    "3",
    "3.0",
    "1e-4",
    "3.0.0",
    "no",
    "a#b",
    "@x|y*?~",
    "a:b",
    "tab\there",
    "/tmp/tst-summarization",
    "C:\\runs\\a b",
    "-dash",
    "range(1,3)",
    "choice(a,b)",
]


OLD = "python run_summarization.py --model_name_or_path t5-small --dataset_name xsum --do_train"
KEY = "model.source_prefix"
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), max_size=20)
"""Any text but line breaks, which an override cannot hold."""


def values_in(words: list[str]) -> list[Any]:
    """Return the values that Hydra reads for the prefix, several where it is a sweep."""
    parser = OverridesParser.create()
    (word,) = [word for word in words if word.startswith(f"{KEY}=")]
    found = parser.parse_override(word)
    if not found.is_sweep_override():
        return [unescaped(found.value())]
    items = [parser.parse_override(f"{KEY}={one}") for one in found.sweep_string_iterator()]
    return [unescaped(one.value()) for one in items]


@settings(max_examples=100, deadline=None)
@example("-dash")
@given(TEXT)
def test_any_text_survives_the_way_from_shell_to_shell(text: str) -> None:
    old = translated(f"{OLD} --source_prefix={shlex.quote(text)}")
    line = shell_line({"A": text}, ["python", "train.py", *old.words()])
    variable, *words = shlex.split(line)
    assert variable == f"A={text}"
    assert values_in(words) == [text]


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT, min_size=2, max_size=3, unique=True))
def test_any_texts_survive_as_a_sweep(texts: list[str]) -> None:
    turns = [translated(f"{OLD} --source_prefix={shlex.quote(text)}") for text in texts]
    words, _ = command_words(turns, 1)
    assert values_in(shlex.split(shell_line({}, words))) == texts


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_reads_the_same_words() -> None:
    words = [override(KEY, text) for text in TEXTS]
    script = (
        f'show() {{ printf \'%s\\0\' "$A" "$@"; }}\n{shell_line({"A": "x $y"}, ["show", *words])}'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == ["x $y", *words]


def test_texts_come_back_from_the_composed_config() -> None:
    texts = {f"k{number}": text for number, text in enumerate(TEXTS)}
    words = [override("training.lr_scheduler_kwargs", texts), override(KEY, "a ${b}, 'c'")]
    config = composed(shell_line({}, ["python", "train.py", *words]))
    assert value_at(config, "training.lr_scheduler_kwargs") == texts
    assert config.model.source_prefix == "a ${b}, 'c'"


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [True, None, 2.5], "c": {"d": "x, y"}},
        {"num_cycles": 2},
        {"key with spaces": 1, "a.b": "${c}", "c:d=e": "ㄴ"},
        [],
        ["a", "b c"],
        1e-08,
        0.0003,
        1e22,
        5e-05,
        7,
        True,
        None,
    ],
    ids=str,
)
def test_other_values_come_back(value: Any) -> None:
    (word,) = shlex.split(shell_line({}, [override("training.lr_scheduler_kwargs", value)]))
    found = OverridesParser.create().parse_override(word)
    assert not found.is_sweep_override()
    assert unescaped(found.value()) == value


def test_numbers_are_short() -> None:
    assert override("training.learning_rate", 5e-05) == "training.learning_rate=5e-5"
    assert override("training.learning_rate", 3e-4) == "training.learning_rate=0.0003"
    assert override("training.max_steps", 7) == "training.max_steps=7"


@pytest.mark.parametrize("value", ["a\nb", ["a\nb"], {"a": {"b": "c\nd"}}])
def test_a_line_break_is_rejected(value: Any) -> None:
    with pytest.raises(ConfigError, match="line break"):
        override("model.source_prefix", value)


def test_what_hydra_cannot_read_is_rejected() -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        override("training.fsdp_config", {"ㄱ": 1})


def test_variables_come_first() -> None:
    line = shell_line({"A": "1", "B": "x y"}, ["python", "train.py"])
    assert line == "A=1 B='x y' python train.py"

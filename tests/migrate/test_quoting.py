"""Words of the new command come back as the values that they were made of."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from tests.migrate.composed import composed, value_at

from summexp.config.escaping import override
from summexp.errors import ConfigError
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


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(text: str) -> None:
    line = shell_line({}, ["python", "train.py", "model=t5_small", "data=xsum"])
    line += " " + shlex.quote(override("model.source_prefix", text))
    assert value_at(composed(line), "model.source_prefix") == text


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
    line = shell_line({}, ["python", "train.py", override("training.lr_scheduler_kwargs", value)])
    if isinstance(value, dict):
        assert value_at(composed(line), "training.lr_scheduler_kwargs") == value
    (_, _, word) = shlex.split(line)
    assert word.startswith("training.lr_scheduler_kwargs=")


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


def test_variables_stand_in_front() -> None:
    line = shell_line({"A": "1", "B": "x y"}, ["python", "train.py"])
    assert line == "A=1 B='x y' python train.py"

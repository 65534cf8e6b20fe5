from __future__ import annotations

from pathlib import Path

import pytest

from summexp.config.aliases import ALIASES, NO_EFFECT
from summexp.config.compose import conf_dir
from summexp.config.help import WIDTH, help_text
from summexp.config.keys import declared_fields


@pytest.fixture(scope="module")
def text() -> str:
    return help_text()


def test_every_key_is_there_with_its_doc_or_among_the_rejected(text: str) -> None:
    listed = {
        line.split()[0] for line in text.splitlines() if line.startswith("  ") and line[2:3] != " "
    }
    rejected = set(ALIASES) | set(NO_EFFECT)
    assert set(declared_fields()) - rejected <= listed
    assert not rejected & listed
    assert "training.learning_rate (float) = 5e-05\n      Highest learning rate" in text
    assert "training.save_strategy (no|steps|epoch|best) = steps" in text


def test_every_choice_is_there_with_its_first_comment(text: str) -> None:
    for path in conf_dir().glob("*/*.yaml"):
        assert f"\n  {path.stem} " in text or f"\n  {path.stem}\n" in text
    assert "t5_small              T5 small, 60 M parameters: the model of the guide" in text


def test_it_fits_the_terminal(text: str) -> None:
    assert max(map(len, text.splitlines())) <= WIDTH


def test_choices_of_ones_own_are_among_them(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# @package _global_\n# the model of my own\n")
    assert "mine                  the model of my own" in help_text(str(tmp_path))

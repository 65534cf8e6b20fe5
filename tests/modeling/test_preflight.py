from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from summexp.modeling.config import ModelConfig
from summexp.modeling.preflight import check_model, is_cached


def keys(*, offline: bool = False, **config: Any) -> list[str | None]:
    config.setdefault("name_or_path", "owner/name")
    return [problem.key for problem in check_model(ModelConfig(**config), offline=offline)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--owner--name" / "snapshots" / "0123").mkdir(parents=True)
    return tmp_path


@pytest.mark.usefixtures("cache")
def test_offline_takes_only_what_was_downloaded() -> None:
    assert keys(offline=True) == []
    assert keys(offline=True, name_or_path="owner/other") == ["model.name_or_path"]
    assert keys(offline=True, tokenizer_name="owner/other") == ["model.tokenizer_name"]
    assert keys(name_or_path="owner/other") == []
    assert not is_cached("owner/name", cache_dir="elsewhere")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "my_model").mkdir()
    assert keys(name_or_path=str(tmp_path / "my_model"), offline=True) == []
    wrong = ModelConfig(name_or_path=str(tmp_path / "my_modl"))
    (problem,) = check_model(wrong, offline=False)
    assert problem.hint == "Did you mean 'my_model'?"
    assert keys(name_or_path="./absent") == ["model.name_or_path"]
    assert keys(name_or_path="~/absent") == ["model.name_or_path"]
    assert keys(name_or_path="my model") == ["model.name_or_path"]
